"""What native code prints is held back, and given back when it matters."""

import contextlib
import io
import logging
import os
import subprocess
import sys

import pytest

from tfdrlprune._console import silent, without_notices


def test_notices_are_dropped_and_the_rest_comes_out(capfd):
    with without_notices():
        os.write(2, b"INFO: a delegate\nERROR: a fault\n")
        print("kept", file=sys.stderr)
        os.write(1, b"untouched\n")
    out, err = capfd.readouterr()
    assert out == "untouched\n"
    assert sorted(err.splitlines()) == ["ERROR: a fault", "kept"]


def test_silence_holds_everything_back(capfd):
    print("before")
    with silent():
        os.write(1, b"chatter\n")
        os.write(2, b"chatter\n")
    print("after")
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_what_python_prints_is_held_back_in_its_turn():
    script = "\n".join(
        [
            "from tfdrlprune._console import silent",
            "print('before')",
            "with silent(): print('chatter')",
            "print('after')",
        ]
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert result.stdout.split() == [b"before", b"after"]


def test_an_error_brings_back_what_was_said_before_it(capfd):
    with pytest.raises(ValueError, match="broken"):
        chatter_and_fail()
    assert capfd.readouterr() == ("out\n", "err\n")


def chatter_and_fail():
    with silent():
        os.write(1, b"out\n")
        os.write(2, b"err\n")
        raise ValueError("broken")


@contextlib.contextmanager
def notebook():
    """Streams that are no descriptors, and a logger that has kept one of them, as in a kernel."""
    out, err = io.StringIO(), io.StringIO()
    logger, handler = logging.getLogger("chatter"), logging.StreamHandler(out)
    logger.addHandler(handler)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err, logger
    logger.removeHandler(handler)


def test_in_a_notebook_python_and_its_loggers_are_held_back_too():
    with notebook() as (out, err, logger):
        logger.warning("before")
        with silent():
            logger.error("chatter")
            print("chatter")
            print("chatter", file=sys.stderr)
        logger.warning("after")
    assert (out.getvalue(), err.getvalue()) == ("before\nafter\n", "")


def test_in_a_notebook_an_error_brings_back_what_python_said():
    def fail():
        with silent():
            print("said")
            raise ValueError("broken")

    with notebook() as (out, err, logger):
        with pytest.raises(ValueError, match="broken"):
            fail()
        logger.warning("after")
    assert (out.getvalue(), err.getvalue()) == ("after\n", "said\n")


def test_no_descriptors_leak():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        with silent(), without_notices():
            pass
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
