"""evaluate() on artifacts whose numbers are known by hand, and what notebooks show of it."""

from __future__ import annotations

import shlex

import gymnasium as gym
import pytest
from artifacts import BALANCES, FALLS, linear
from IPython.core.formatters import DisplayFormatter

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.evaluation import evaluate
from tfdrlprune.evidence.rollouts import roll_out, seeds_for
from tfdrlprune.evidence.terms import Terms


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("artifacts")
    for name, weights in {"good": BALANCES, "pruned": [0, 0, 1.0, 1.0], "falls": FALLS}.items():
        export(linear(weights), root / name)
    return root


@pytest.mark.parametrize(("name", "verdict"), [("good", "PASS"), ("falls", "FAIL")])
def test_the_gate_judges_an_artifact_beside_its_baseline(folders, name, verdict):
    report = evaluate(folders / name, "CartPole-v1", baseline=folders / "good", episodes=100)
    assert report.verdict == verdict
    returns = roll_out(
        runtime.load(folders / name), "CartPole-v1", seeds_for("judging", 0, 100)
    ).returns
    assert report.judged.returns["mean"] == pytest.approx(returns.mean())
    assert report.baseline.name == str(folders / "good")
    assert report.judged.name == str(folders / name) + " (2)" * (name == "good")


def test_without_a_baseline_there_are_returns_and_no_verdict(folders):
    report = evaluate(folders / "good", "CartPole-v1", episodes=5, seed=3)
    assert report.verdict is None
    assert report.seeds == tuple(seeds_for("judging", 3, 5))
    assert report.judged.returns["episodes"] == 5
    command = f"tfdrlprune evaluate {folders / 'good'} --env CartPole-v1 --episodes 5 --seed 3"
    assert report.command == command


def test_the_command_of_a_report_is_one_that_a_shell_takes(tmp_path):
    folder = tmp_path / "two words"
    export(linear(BALANCES), folder)
    report = evaluate(folder, "CartPole-v1", episodes=1)
    assert shlex.split(report.command)[:3] == ["tfdrlprune", "evaluate", str(folder)]


def test_a_folder_may_be_named_as_a_stage_that_stands_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(linear(BALANCES), "small_dense")
    export(linear(FALLS), "falls")
    report = evaluate("falls", "CartPole-v1", baseline="small_dense", episodes=1)
    assert [row.name for row in report.stages] == ["./small_dense", "falls"]
    assert report.small_dense is None


def test_terms_and_factories_are_taken(folders):
    terms = Terms(margin_return=499.0, bounds=(0.0, 500.0))
    report = evaluate(
        folders / "falls",
        lambda: gym.make("CartPole-v1"),
        baseline=folders / "good",
        terms=terms,
        until_decided=True,
    )
    assert report.verdict == "PASS"  # a loss of 499 is allowed
    assert len(report.judged.episodes) < 200
    assert report.command is None  # a factory cannot be named on a command line


def test_what_does_not_fit_is_said_before_anything_is_played(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        evaluate(tmp_path / "nothing", "CartPole-v1")
    with pytest.raises(ValueError, match="does not fit Pendulum-v1"):
        evaluate(folders / "good", "Pendulum-v1")
    with pytest.raises(ValueError, match="The gate needs bounds"):
        evaluate(
            folders / "good", lambda: gym.make("CartPole-v1"), baseline=folders / "good", episodes=1
        )


def test_a_notebook_shows_the_verdict_and_the_table_and_no_episodes(folders):
    report = evaluate(folders / "good", "CartPole-v1", baseline=folders / "pruned", episodes=100)
    bundle, _ = DisplayFormatter().format(report)
    assert bundle["text/markdown"].startswith("**PASS**: ")
    assert "| stage | return (95 % interval) |" in bundle["text/markdown"]
    assert "\n## " not in bundle["text/markdown"]
    assert bundle["text/plain"] == str(report)
