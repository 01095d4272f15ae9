"""Episodes on demand: none is played twice, and several processes give the table of one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import pytest
from artifacts import BALANCES, FALLS, linear

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.rollouts import roll_out, seeds_for
from tfdrlprune.evidence.series import Players, Series

ENV = "CartPole-v1"
SEEDS = seeds_for("judging", 5, 30).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series") / "falls"
    export(linear(FALLS), folder)
    return folder


def same(first, second):
    return first.to_json() == second.to_json()


def test_a_series_plays_what_is_missing_and_gives_what_one_roll_out_does(folder):
    told = []
    series = Series(Players(), folder, ENV, SEEDS, told.append)
    assert series.played is None
    first = series.first(10)
    assert told == list(range(1, 11))
    whole = series.first(30)
    assert told == list(range(1, 31))
    series.first(20)
    assert told == list(range(1, 31))
    expected = roll_out(runtime.load(folder), ENV, SEEDS)
    assert same(whole, expected)
    assert same(first, expected.first(10))
    assert same(series.played, expected)


def test_two_processes_give_the_table_of_one(folder):
    told = []
    with Players(2) as players:
        table = players.play(folder, ENV, SEEDS, told.append)
        again = players.play(folder, ENV, SEEDS[:3])
    expected = roll_out(runtime.load(folder), ENV, SEEDS)
    assert same(table, expected)
    assert same(again, expected.first(3))
    assert told[-1] == 30
    assert told == sorted(told)


def test_an_error_in_a_process_comes_out_as_it_was(folder):
    with Players(2) as players, pytest.raises(ValueError, match="No environment 'CartPole-v9'"):
        players.play(folder, "CartPole-v9", SEEDS)


def test_what_cannot_be_sent_to_a_process_is_told_with_the_remedy(folder):
    with (
        Players(2) as players,
        pytest.raises(ValueError, match="a registered id, or a function at the top of a module"),
    ):
        players.play(folder, lambda: gym.make(ENV), SEEDS)
    with pytest.raises(ValueError, match="workers=0"):
        Players(0)


def test_an_artifact_that_was_replaced_is_not_taken_for_the_old_one(tmp_path):
    export(linear(FALLS), tmp_path / "a")
    before = Players().play(tmp_path / "a", ENV, SEEDS[:5])
    export(linear(BALANCES), tmp_path / "a", force=True)
    after = Players().play(tmp_path / "a", ENV, SEEDS[:5])
    assert after.returns.min() > before.returns.max()


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [
        lambda process: os.killpg(process.pid, signal.SIGINT),
        lambda process: process.send_signal(signal.SIGTERM),
    ],
    ids=["Ctrl-C in a terminal", "SIGTERM to the command alone"],
)
def test_what_stops_a_command_ends_all_its_processes(tmp_path, stop):
    export(linear(BALANCES), tmp_path / "a")
    # Each of the first tasks would take minutes, and a pool has fetched further ones.
    script = (
        "from tfdrlprune.cli.app import listen\n"
        "from tfdrlprune.evidence.series import Players\n"
        "if __name__ == '__main__':\n"
        "    listen()\n"
        "    with Players(2) as players:\n"
        "        print('ready', flush=True)\n"
        f"        players.play('a', {ENV!r}, range(100_000))\n"
    )
    (tmp_path / "play.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, "play.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(8)  # until both play
        stop(process)
        assert process.wait(30) != 0
        # The pipe ends when the last process that could write to it has.
        assert process.stdout.read() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
