"""The sparsity sweep makes every run once, and says what the runs say."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tfdrlprune as tp

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import sparsity_runs as runs
import sparsity_summary as summary
import sparsity_sweep as sweep
import sparsity_trial as trial

FOUR = [env for env, task in runs.TASKS.items() if task.algo == "dqn"]


def line(cell, value=1.0):
    return dataclasses.asdict(cell) | {"settings": cell.key[-1], "return": value}


def trained(agent):
    return sum(int(np.prod(weight.shape)) for weight in agent.trainable_weights)


def test_a_partial_sweep_is_balanced():
    found = sweep.cells(FOUR, ["dense", "erk"], 5)
    # One dense run and two sparsities in each of four tasks.
    assert [cell.seed for cell in found] == [seed for seed in range(5) for _ in range(3 * 4)]
    assert {cell.env for cell in found[:12]} == set(FOUR)


def test_set_and_static_have_three_seeds_at_one_sparsity():
    found = sweep.cells(["Acrobot-v1"], ["set", "static"], 5)
    assert {(cell.sparsity, cell.seed) for cell in found} == {(0.95, seed) for seed in range(3)}
    assert len(found) == 6


def test_a_torn_last_line_is_dropped_for_good(tmp_path):
    first, second, third = sweep.cells(["Acrobot-v1"], ["dense"], 3)
    path = tmp_path / "runs.jsonl"
    sweep.append(path, line(first))
    with path.open("a") as file:
        file.write(json.dumps(line(second))[:-9])
    assert [run["seed"] for run in sweep.finished(path)] == [0]
    sweep.append(path, line(third))
    assert [json.loads(each)["seed"] for each in path.read_text().splitlines()] == [0, 2]


def test_runs_of_other_settings_do_not_count(tmp_path):
    cells = sweep.cells(["Acrobot-v1"], ["dense", "erk"], 1)
    path = tmp_path / "runs.jsonl"
    other = dataclasses.replace(runs.TASKS["Acrobot-v1"], begin=0.123)
    for cell in cells:
        sweep.append(path, line(cell) | {"settings": runs.digest(other, cell.method)})
    # A schedule is none of the dense run's settings.
    assert [run["method"] for run in sweep.finished(path)] == ["dense"]


def test_a_stopped_sweep_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    asked = []

    def train_all(todo, jobs):
        asked.append(list(todo))
        for number, cell in enumerate(asked[-1]):
            if len(asked) == 1 and number == 2:
                raise KeyboardInterrupt
            yield line(cell)

    monkeypatch.setattr(sweep, "RUNS", tmp_path / "runs.jsonl")
    monkeypatch.setattr(sweep, "train_all", train_all)
    monkeypatch.setattr(sweep, "summarize", lambda algo: None)
    monkeypatch.setattr(sys, "argv", ["sweep", "--only", "Acrobot-v1", "--methods", "dense"])
    sweep.main()
    sweep.main()
    assert [[cell.seed for cell in todo] for todo in asked] == [[0, 1, 2, 3, 4], [2, 3, 4]]
    assert [run["seed"] for run in sweep.finished(sweep.RUNS)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("sparsity", "width"), [(0.95, 58), (0.98, 39)])
def test_the_small_network_is_the_largest_within_the_parameters(sparsity, width):
    # Kernels of 4 x 256, 256 x 256 and 256 x 2 weights, 5 % of which are 3354 and 2 % 1341; 514
    # biases. Two layers of n units have n^2 + 8 n + 2 parameters: 58 are 3830 and 59 are 3955 of
    # 3868; 39 are 1835 and 40 are 1922 of 1855.
    task = dataclasses.replace(runs.TASKS["CartPole-v1"], hidden=(256, 256))
    assert runs.narrow("CartPole-v1", task, sparsity) == (width, width)


def test_a_small_actor_counts_its_standard_deviations():
    task = runs.Task("ppo", (64, 64), 1, 1)
    (width, _) = hidden = runs.narrow("Pendulum-v1", task, 0.9)
    budget = round(0.1 * (3 * 64 + 64 * 64 + 64)) + 64 + 64 + 1 + 1
    assert trained(tp.agents.ppo("Pendulum-v1", hidden=hidden).actor_net) <= budget
    wider = (width + 1, width + 1)
    assert trained(tp.agents.ppo("Pendulum-v1", hidden=wider).actor_net) > budget


def test_a_finished_run_has_the_sparsity_that_was_asked_for():
    task = runs.Task("dqn", (16, 16), 2_000, 8, trainer={"fused_steps": 64})
    found = runs.run(runs.Cell("CartPole-v1", "erk", 0.75, 3), task)
    # Of 4 x 16 + 16 x 16 + 16 x 2 = 352 weights 88 stay; 34 biases.
    assert (found["achieved"], found["nonzero"], found["parameters"]) == (0.75, 122, 386)
    assert (found["steps"], found["seed"], found["settings"]) == (
        1_000,
        3,
        runs.digest(task, "erk"),
    )
    assert 5 < found["return"] <= 500
    assert json.loads(json.dumps(found)) == found


def test_the_interquartile_mean_is_of_all_tasks_together():
    assert summary.estimate([[0.0, 1.0, 2.0, 3.0, 99.0]])["median"] == 2.0
    # Sorted 0 0 1 2 3 4 50 99: two are cut off at each end.
    assert summary.estimate([[0.0, 2.0, 4.0, 99.0], [50.0, 0.0, 1.0, 3.0]])["median"] == 2.5


def test_intervals_resample_within_tasks():
    # Across tasks these would vary.
    assert summary.estimate([[1.0, 1.0], [3.0, 3.0]]) == {
        **{"median": 2.0, "min": 2.0, "max": 2.0},
        "runs": 4,
    }


def test_intervals_are_those_of_a_plain_stratified_bootstrap():
    tasks = np.random.default_rng(0).normal([[0.0], [1.0], [5.0]], 1.0, (3, 5))
    generator = np.random.default_rng(1)
    middles = []
    for _ in range(4_000):
        drawn = np.concatenate([generator.choice(task, 5) for task in tasks])
        middles.append(np.sort(drawn)[3:12].mean())
    found = summary.estimate(list(tasks))
    low, high = np.quantile(middles, [0.025, 0.975])
    assert found["min"] == pytest.approx(low, abs=0.05)
    assert found["max"] == pytest.approx(high, abs=0.05)


def test_one_run_has_no_interval():
    assert summary.estimate([[0.5], [0.75, 1.0]]) == 0.75


def test_scores_are_shares_of_what_dense_gains_over_random():
    made = [
        {"env": env, "method": method, "sparsity": sparsity, "return": value, "nonzero": 10}
        for env, method, sparsity, values in [
            ("A", "random", 0.0, [-200.0]),
            ("A", "dense", 0.0, [-90.0, -110.0]),
            ("A", "erk", 0.9, [-150.0, -150.0]),
            ("B", "random", 0.0, [0.0]),
            ("B", "dense", 0.0, [10.0, 10.0]),
            ("B", "erk", 0.9, [10.0, 10.0]),
            ("A", "uniform", 0.9, [-200.0, -200.0]),
        ]
        for value in values
    ]
    rows = summary.summarize(made, runs.METHODS)
    assert [row["method"] for row in rows] == [
        *("random actions", "dense", "magnitude, ERK", "magnitude, uniform")
    ]
    erk, uniform = rows[2:]
    assert (erk["A"]["median"], erk["A, of dense"]["median"]) == (-150.0, 0.5)
    assert erk["B, of dense"]["median"] == 1.0
    # 0.5 0.5 1 1: one is cut off at each end.
    assert erk["of dense"]["median"] == 0.75
    assert uniform["A, of dense"]["median"] == 0.0
    assert "of dense" not in uniform  # not of all tasks


def test_the_committed_runs_are_whole_and_made_once():
    found = [json.loads(each) for each in sweep.RUNS.read_text(encoding="utf-8").splitlines()]
    keys = [runs.key_of(run) for run in found]
    assert len(set(keys)) == len(keys)
    sparse = [run for run in found if run["method"] not in ("random", "dense", "small")]
    for run in sparse:
        # What RigL grows starts at zero, and stays there in a unit that is dead.
        assert run["sparsity"] - 1e-4 < run["achieved"] < run["sparsity"] + 5e-3, run


def test_a_trial_says_what_it_changed():
    task = runs.TASKS["MountainCar-v0"]
    other = trial.changed(task, {"end": 0.5, "agent": {"learning_rate": 0.5, "gamma": 0.9}})
    assert (other.end, other.agent["n_step"]) == (0.5, task.agent["n_step"])
    there = json.loads(json.dumps(dataclasses.asdict(other)))
    assert trial.difference(there, task) == "end 0.5, gamma 0.9, learning_rate 0.5"
    assert trial.difference(json.loads(json.dumps(dataclasses.asdict(task))), task) == ""


def test_trials_never_use_the_seeds_of_results(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trial", "Acrobot-v1", "dense", "0", "--seeds", "99"])
    with pytest.raises(SystemExit):
        trial.main()
    assert "Received: [99]" in capsys.readouterr().err
