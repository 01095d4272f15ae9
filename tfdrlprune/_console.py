"""What native code prints, held back at the file descriptors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Drops lines that begin with ``INFO:`` from what the body's native code writes to stderr.

    LiteRT announces its CPU delegate so for every interpreter and offers no switch for it. Other
    lines come out when the body ends.
    """
    with _held(2) as held:
        try:
            yield
        finally:
            _give_back(held, 2, drop=b"INFO:")


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Holds back all that the body prints; gives it back if the body raises an error.

    TFLite's converter reports to stdout and stderr from C++, past every logger's level.
    """
    with _held(1) as out, _held(2) as errors, _held_in_python():
        try:
            yield
        except Exception:
            _give_back(out, 1)
            _give_back(errors, 2)
            raise


@contextlib.contextmanager
def _held_in_python() -> Iterator[None]:
    """Holds back what Python says where its streams pass the descriptors by, as in a notebook.

    Loggers are told to be quiet: their handlers have streams of their own. (TensorFlow's says more
    in a notebook than elsewhere, and on both streams.)
    """
    if all(map(_is_descriptor, (sys.stdout, sys.stderr), (1, 2))):
        yield
        return
    import io
    import logging

    said, level = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except Exception:
        print(said.getvalue(), end="", file=sys.stderr)
        raise
    finally:
        logging.disable(level)


def _is_descriptor(stream: IO[str] | None, descriptor: int) -> bool:
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _held(descriptor: int) -> Iterator[tuple[IO[bytes], int] | None]:
    """Sends a descriptor into a file while the body runs; yields the file and the old descriptor.

    Yields None where there is no such descriptor, as in a process without a console.
    """
    stream = sys.stdout if descriptor == 1 else sys.stderr
    try:
        stream.flush()
        kept = os.dup(descriptor)
    except (OSError, ValueError, AttributeError):
        yield None
        return
    try:
        with _scratch() as held:
            os.dup2(held.fileno(), descriptor)
            try:
                yield held, kept
            finally:
                with contextlib.suppress(ValueError):
                    stream.flush()
                os.dup2(kept, descriptor)
    finally:
        os.close(kept)


def _scratch() -> IO[bytes]:
    """Returns a file without a name. In memory where that can be: tempfile's import takes 5 ms."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("held"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _give_back(held: tuple[IO[bytes], int] | None, descriptor: int, drop: bytes = b"") -> None:
    if held is None:
        return
    file, kept = held
    stream = sys.stdout if descriptor == 1 else sys.stderr
    with contextlib.suppress(ValueError):
        stream.flush()
    file.seek(0)
    for line in file:
        if not (drop and line.startswith(drop)):
            os.write(kept, line)
    file.seek(0)
    file.truncate()
