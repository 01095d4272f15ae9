"""compress from the command line: what is killed goes on, and what is in the way is left alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from students import balancer

from tfdrlprune.cli.app import run
from tfdrlprune.compression.store import EPISODES


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "policy"
    balancer().save(folder)
    return folder


def command(policy, out, *more):
    return [
        *("compress", str(policy), "--env", "CartPole-v1", "--route", "distil"),
        *("--sparsity", "0.8", "--distil-rounds", "2", "--distil-steps", "50"),
        *("--episodes", "100", "--out", str(out), *more),
    ]


def test_a_folder_that_is_needed_on_the_way_and_holds_something_else_is_left_alone(
    policy, tmp_path, capsys
):
    (tmp_path / "small.work").mkdir()
    (tmp_path / "small.work" / "thesis.tex").write_text("")
    assert run(command(policy, tmp_path / "small")) == 2
    assert "holds something else. Name another one by --work" in capsys.readouterr().err
    assert (tmp_path / "small.work" / "thesis.tex").exists()


@pytest.mark.slow
def test_a_compression_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(policy, tmp_path):
    work = tmp_path / "small.work"
    start = [sys.executable, "-m", "tfdrlprune"]
    process = subprocess.Popen([*start, *command(policy, tmp_path / "small")], env=os.environ)
    # The dense policy's episodes, then the student, then its trial: killed once there are two.
    while process.poll() is None and len(list(work.glob("*/result.json"))) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "small").exists()
    assert list((work / EPISODES).iterdir())
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*/result.json")}
    assert len(kept) == 2
    subprocess.run([*start, *command(policy, tmp_path / "small", "--work", str(work))], check=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    subprocess.run([*start, *command(policy, tmp_path / "whole")], check=True)
    ours, theirs = (
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("small", "whole")
    )
    for one, other in zip(ours["stages"], theirs["stages"], strict=True):
        assert (one["return"], one["size_bytes"]) == (other["return"], other["size_bytes"])
    assert not (tmp_path / "whole.work").exists()
