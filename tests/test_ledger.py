"""Stages measured on artifacts whose numbers can be worked out by hand."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from artifacts import BALANCES, FALLS, linear

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.ledger import measure_stage
from tfdrlprune.evidence.rollouts import roll_out, seeds_for

SEEDS = seeds_for("judging", 0, 20)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A policy that balances, the same without its two small weights, and one that falls."""
    root = tmp_path_factory.mktemp("artifacts")
    weights = {"dense": BALANCES, "pruned": [0, 0, 1.0, 1.0], "bad": FALLS}
    for name, each in weights.items():
        export(linear(each), root / name)
    return root


@pytest.fixture(scope="module")
def dense(folders):
    return measure_stage("dense", folders / "dense", "CartPole-v1", SEEDS)


def test_a_stage_counts_what_is_in_the_file(folders, dense):
    content = (folders / "dense" / "policy.tflite").read_bytes()
    assert (dense.parameters, dense.nonzero, dense.sparsity) == (10, 10, 0.0)
    assert dense.size_bytes == len(content)
    assert gzip.decompress(gzip.compress(content, 9)) == content
    assert dense.gzip_bytes == len(gzip.compress(content, 9, mtime=0))


def test_a_stage_reports_the_returns_of_the_artifact_on_the_seeds_given(folders, dense):
    again = roll_out(runtime.load(folders / "dense"), "CartPole-v1", SEEDS)
    assert dense.episodes.seeds.tolist() == SEEDS.tolist()
    assert dense.returns["mean"] == pytest.approx(again.returns.mean())
    assert dense.returns["episodes"] == 20


def test_a_baseline_is_not_judged_and_agrees_with_nobody(dense):
    assert (dense.verdict, dense.gate, dense.agreement) == (None, None, None)


def test_a_policy_that_falls_fails_and_zeros_are_seen(folders, dense):
    bad = measure_stage("bad", folders / "bad", "CartPole-v1", SEEDS, baseline=dense)
    assert bad.verdict == "FAIL"
    assert bad.gate.margin == 0.05
    assert bad.sparsity == 0.75
    assert bad.nonzero == 2 + 2  # one weight for each action, and the biases


def test_agreement_is_measured_where_the_baseline_goes(folders, dense):
    pruned = measure_stage("pruned", folders / "pruned", "CartPole-v1", SEEDS, baseline=dense)
    by_hand = np.mean(
        (dense.visited @ np.float32([0.1, 0.2, 1, 1]) > 0)
        == (dense.visited @ np.float32([0, 0, 1, 1]) > 0)
    )
    assert pruned.agreement == pytest.approx(by_hand, abs=2 / len(dense.visited))
    assert 0.5 < pruned.agreement < 1


def test_a_stage_holds_the_keys_that_scripts_rely_on(dense):
    value = dense.to_json()
    assert list(value) == [
        *("name", "precision", "parameters", "nonzero", "sparsity", "size_bytes", "gzip_bytes"),
        *("latency_us", "agreement", "return", "verdict"),
    ]
    assert set(value["latency_us"]) == {"median", "p99"}
    assert {
        *("episodes", "mean", "iqm", "ci_low", "ci_high", "cvar10", "worst", "failures"),
    } <= set(value["return"])


def test_without_an_environment_the_test_vectors_are_measured_and_nothing_is_judged(folders):
    first = measure_stage("dense", folders / "dense", None, [])
    other = measure_stage("pruned", folders / "pruned", None, [], baseline=first)
    assert len(first.visited) == 64
    assert first.latency_us["median"] > 0
    assert (other.returns, other.verdict) == (None, None)
    assert other.agreement is not None


def test_an_environment_without_known_bounds_leaves_the_stage_inconclusive(folders, dense):
    import gymnasium as gym

    def unknown():
        return gym.make("CartPole-v1")

    stage = measure_stage("pruned", folders / "pruned", unknown, SEEDS, baseline=dense)
    assert (stage.verdict, stage.gate) == ("INCONCLUSIVE", None)


def test_bounds_that_do_not_hold_are_told_with_the_baseline_already(folders):
    with pytest.raises(ValueError, match="outside the return bounds 0 to 1"):
        measure_stage("dense", folders / "dense", "CartPole-v1", SEEDS, bounds=(0.0, 1.0))


def test_a_baseline_without_episodes_cannot_judge(folders):
    first = measure_stage("dense", folders / "dense", None, [])
    with pytest.raises(ValueError, match="measured without an environment"):
        measure_stage("pruned", folders / "pruned", "CartPole-v1", SEEDS, baseline=first)
