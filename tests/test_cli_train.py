"""Training by the command: the run folder, Ctrl-C, kill -9 and resuming."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tfdrlprune._tf import tf

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from tfdrlprune import policies
from tfdrlprune.cli import running
from tfdrlprune.cli.app import run as run_command
from tfdrlprune.cli.workshop import check_work, workshop
from tfdrlprune.deployment import artifact

FLAGS = (
    *("--algo", "dqn", "--hidden", "16,16", "--steps", "2048", "--epochs", "4"),
    *("--sparsity", "0.8", "--spare", "dense_2", "--seed", "7"),
)


def start(out: Path, *more: str) -> subprocess.Popen:
    # In a process of its own: it makes TensorFlow deterministic for good.
    command = [sys.executable, "-m", "tfdrlprune", "train", "CartPole-v1", *FLAGS, *more]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process: subprocess.Popen, text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"The run ended before it said {text!r}.")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "run"
    process = start(folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return folder


def test_actions_that_no_policy_can_give_are_told_before_the_training(tmp_path, monkeypatch):
    class TwoArms(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (3,))
        action_space = gymnasium.spaces.Dict(
            {name: gymnasium.spaces.Discrete(2) for name in ("left", "right")}
        )

    monkeypatch.setitem(gymnasium.registry, "TwoArms-v0", EnvSpec("TwoArms-v0", TwoArms))
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    wanted = running.Run("TwoArms-v0", "ppo", (4,), 64, None, 1, 0, None)
    with pytest.raises(ValueError, match=r"A policy has one action\. Received 2"):
        running.train(wanted, tmp_path / "out", resume=False, force=False)
    assert list(tmp_path.iterdir()) == []


def test_the_run_holds_what_the_readme_promises_and_nothing_is_left_beside_it(run):
    assert {path.name for path in run.iterdir()} == {
        *("checkpoint", "logs", "metrics.csv", "policy", "recipe.toml", "run.json", "saved_model"),
    }
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_run_json_says_what_was_done(run):
    value = json.loads((run / "run.json").read_text())
    assert (value["env"], value["algo"], value["hidden"]) == ("CartPole-v1", "dqn", [16, 16])
    assert value["optimizer_steps"] == 2048
    assert value["return"]["episodes"] == 20
    assert value["prunable"] == ["dense", "dense_1"]


def test_the_policy_has_exactly_the_zeros_that_the_recipe_asked_for(run):
    kernels = [weight for weight in policies.load(run).model.get_weights() if weight.ndim == 2]
    zeros = [int(np.sum(kernel == 0)) for kernel in kernels]
    assert sum(zeros[:2]) == round(0.8 * (4 * 16 + 16 * 16))
    assert zeros[2] == 0


def test_the_saved_model_of_tf_agents_is_the_same_policy(run):
    ours, theirs = policies.load(run), policies.load(run / "saved_model")
    observation = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    assert np.array_equal(ours.action(observation), theirs.action(observation))


def test_metrics_have_a_row_for_each_epoch(run):
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["step"] for row in rows] == ["512", "1024", "1536", "2048"]
    assert float(rows[-1]["sparsity"]) == pytest.approx(0.8, abs=1 / 320)
    assert "return" in rows[0]


def test_a_run_is_exported_with_its_zeros_counted(run, tmp_path):
    assert run_command(["export", str(run), "--out", str(tmp_path / "x")]) == 0
    manifest = artifact.verify(tmp_path / "x")
    assert manifest.sparsity == artifact.Sparsity(0.8, 0.8)
    assert manifest.recipe["spare"] == ["dense_2"]
    assert "CartPole-v1" in manifest.source


def test_an_existing_run_is_not_overwritten(run, capsys):
    before = (run / "run.json").read_bytes()
    assert run_command(["train", "CartPole-v1", *FLAGS, "--out", str(run)]) == 2
    assert "--force" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before


def test_a_full_disk_is_bad_input_and_keeps_what_can_be_resumed(tmp_path):
    run = running.Run("CartPole-v1", "dqn", None, 100, None, 1, 0, None)
    work = tmp_path / "runs" / "run.partial"
    message = "x.tempstate; No space left on device [Op:SaveV2]"
    made = workshop(work, run.to_json(), resume=False, force=False)
    with pytest.raises(OSError, match=r"Make room and go on by --resume.*partial"), made:
        raise tf.errors.ResourceExhaustedError(None, None, message)
    assert [path.name for path in work.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("flags", [[], ["--force"], ["--resume"]], ids=str)
def test_a_second_process_stays_out_of_a_run_that_is_going_on(flags, tmp_path, capsys):
    run = running.Run("CartPole-v1", "dqn", None, 100, None, 1, 0, None)
    work = tmp_path / "run.partial"
    again = ["train", "CartPole-v1", *FLAGS, "--out", str(tmp_path / "run"), *flags]
    with workshop(work, run.to_json(), resume=False, force=False):
        (work / "backup").write_text("what the first has done")
        assert run_command(again) == 2
        assert "run.partial is in use: another process is training" in capsys.readouterr().err
        assert (work / "backup").read_text() == "what the first has done"
        assert (work / "settings.json").is_file()


def test_force_spares_a_folder_of_the_users_where_backups_would_be(tmp_path, capsys):
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "thesis.tex").write_text("years of work")
    again = ["train", "CartPole-v1", *FLAGS, "--out", str(tmp_path / "run")]
    for flags in ([], ["--force"]):
        assert run_command([*again, *flags]) == 2
        assert "Name another --out" in capsys.readouterr().err
    assert (tmp_path / "run.partial" / "thesis.tex").read_text() == "years of work"


LONG = ("--steps", "500000", "--epochs", "1000")


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
)
def test_ctrl_c_and_sigterm_keep_what_can_be_resumed_and_say_so(tmp_path, sent, code, said):
    process = start(tmp_path / "run", *LONG)
    wait_for(process, "Epoch 2/")
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    (last,) = [line for line in output.splitlines() if said in line]
    assert last.endswith("run.partial keeps what was trained: go on by --resume.")
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]
    with pytest.raises(FileExistsError, match="Go on with it by --resume"):
        check_work(tmp_path / "run.partial", {}, resume=False, force=False)


def test_ctrl_c_before_the_first_backup_leaves_no_folder_behind(tmp_path):
    work = tmp_path / "runs" / "run.partial"
    made = workshop(work, {}, resume=False, force=False)
    with pytest.raises(KeyboardInterrupt, match=r"^$"), made:
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_in_the_beginning_leaves_no_folder_that_stands_in_the_way(
    tmp_path, monkeypatch
):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("tfdrlprune.cli.workshop.replace_file", full)
    made = workshop(tmp_path / "run.partial", {}, resume=False, force=False)
    with pytest.raises(OSError, match="No space left"), made:
        pytest.fail("the block must not run")
    assert list(tmp_path.iterdir()) == []


def test_damaged_settings_of_a_killed_run_are_told_in_one_line(tmp_path):
    (tmp_path / "settings.json").write_text("")
    with pytest.raises(ValueError, match=r"settings.json is damaged: .* Begin anew by --force"):
        check_work(tmp_path, {}, resume=True, force=False)


@pytest.mark.slow
def test_killed_and_resumed_a_run_ends_as_if_nothing_had_happened(run, tmp_path, capsys):
    out = tmp_path / "run"
    process = start(out)
    wait_for(process, "Epoch 3/")
    time.sleep(0.05)
    process.kill()
    process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]

    again = ["train", "CartPole-v1", *FLAGS, "--out", str(out)]
    assert run_command(again) == 2
    assert "Go on with it by --resume" in capsys.readouterr().err
    assert run_command([*again, "--hidden", "8,8", "--resume"]) == 2
    assert "its hidden is [16, 16]. Received: [8, 8]" in capsys.readouterr().err

    process = start(out, "--resume")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert "Epoch 1/" not in output
    for ours, theirs in zip(checkpoint(out), checkpoint(run), strict=True):
        assert ours[0] == theirs[0]
        assert np.array_equal(ours[1], theirs[1]), ours[0]
    assert (out / "metrics.csv").read_text() == (run / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_backup_of_another_network_is_one_line_and_stays_where_it_is(run, tmp_path):
    del run  # only so that a failure to train at all shows there
    out = tmp_path / "run"
    process = start(out, "--hidden", "8,8")
    wait_for(process, "Epoch 3/")
    process.kill()
    process.communicate()
    settings = json.loads((tmp_path / "run.partial" / "settings.json").read_text())
    changed = json.dumps(settings | {"hidden": [16, 16]})
    (tmp_path / "run.partial" / "settings.json").write_text(changed)
    process = start(out, "--resume")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "is of another network" in output.splitlines()[-1]
    assert "Traceback" not in output
    assert (tmp_path / "run.partial" / "backup").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "env_steps"), [("ppo", 16_384), ("sac", 2_048), ("td3", 2_048)])
def test_the_others_go_the_same_way_on_a_continuous_task(algo, env_steps, tmp_path):
    command = [sys.executable, "-m", "tfdrlprune"]
    flags = f"train Pendulum-v1 --algo {algo} --env-steps {env_steps} --sparsity 0.5"
    flags += " --hidden 32,32 --out run"
    subprocess.run([*command, *flags.split()], cwd=tmp_path, check=True, capture_output=True)
    assert run_command(["export", str(tmp_path / "run"), "--out", str(tmp_path / "x")]) == 0
    manifest = artifact.verify(tmp_path / "x")
    # The deviations of SAC, whose kernel is pruned too, are no part of its policy.
    tolerance = 0.03 if algo == "sac" else 1e-3
    assert manifest.sparsity.achieved == pytest.approx(0.5, abs=tolerance)
    assert (manifest.action.shape, manifest.action.low, manifest.action.high) == ((1,), -2.0, 2.0)
    flags = ["--env", "Pendulum-v1", "--episodes", "3"]
    assert run_command(["evaluate", str(tmp_path / "x"), *flags]) == 0


def checkpoint(run: Path) -> list[tuple[str, np.ndarray]]:
    from tfdrlprune._tf import tf

    stored = tf.train.load_checkpoint(str(run / "checkpoint" / "trainer"))
    return [(name, stored.get_tensor(name)) for name in sorted(stored.get_variable_to_shape_map())]
