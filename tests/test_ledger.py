"""Stages measured on artifacts whose numbers can be worked out by hand."""

from __future__ import annotations

import dataclasses
import gzip

import numpy as np
import pytest
from artifacts import BALANCES, FALLS, linear

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.ledger import Ledger, broken_by, last_safe
from tfdrlprune.evidence.rollouts import roll_out, seeds_for
from tfdrlprune.evidence.terms import Terms

SEEDS = seeds_for("judging", 0, 20)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A policy that balances, the same without its two small weights, and one that falls."""
    root = tmp_path_factory.mktemp("artifacts")
    weights = {"dense": BALANCES, "pruned": [0, 0, 1.0, 1.0], "bad": FALLS}
    for name, each in weights.items():
        export(linear(each), root / name)
    return root


def beside_dense(folders, name, env="CartPole-v1", seeds=SEEDS, **options):
    """Returns the ledger's rows for the dense policy and another one."""
    with Ledger(env, seeds, **options) as ledger:
        ledger.add("dense", folders / "dense")
        ledger.add(name, folders / name)
    return ledger.rows()


@pytest.fixture(scope="module")
def dense(folders):
    return Ledger("CartPole-v1", SEEDS).add("dense", folders / "dense")


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
    bad = beside_dense(folders, "bad")[1]
    assert bad.verdict == "FAIL"
    assert bad.gate.margin == 0.05
    assert bad.sparsity == 0.75
    assert bad.nonzero == 2 + 2  # one weight for each action, and the biases


def test_agreement_is_measured_where_the_baseline_goes(folders, dense):
    dense, pruned = beside_dense(folders, "pruned")
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
        *("latency_us", "agreement", "return", "paired", "diagnostics", "verdict"),
        *("gate", "sha256", "layers"),
    ]
    assert value["layers"][0]["weights"] >= value["layers"][0]["nonzero"] > 0
    assert len(value["sha256"]) == 64
    assert set(value["latency_us"]) == {"median", "p99"}
    assert {
        *("episodes", "mean", "iqm", "ci_low", "ci_high", "cvar10", "worst", "failures"),
    } <= set(value["return"])


def test_without_an_environment_the_test_vectors_are_measured_and_nothing_is_judged(folders):
    first, other = beside_dense(folders, "pruned", None, [])
    assert len(first.visited) == 64
    assert first.latency_us["median"] > 0
    assert (other.returns, other.verdict) == (None, None)
    assert other.agreement is not None


def test_an_environment_without_known_bounds_leaves_the_stage_inconclusive(folders, dense):
    import gymnasium as gym

    def unknown():
        return gym.make("CartPole-v1")

    stage = beside_dense(folders, "pruned", unknown)[1]
    assert (stage.verdict, stage.gate) == ("INCONCLUSIVE", None)


def test_bounds_that_do_not_hold_are_told_with_the_baseline_already(folders):
    with pytest.raises(ValueError, match="outside the return bounds 0 to 1"):
        Ledger("CartPole-v1", SEEDS, Terms(bounds=(0.0, 1.0))).add("dense", folders / "dense")


def test_until_decided_both_play_only_as_long_as_the_gate_needs(folders):
    seeds = seeds_for("judging", 0, 200)
    dense, bad = beside_dense(folders, "bad", seeds=seeds, until_decided=True)
    assert bad.verdict == "FAIL"
    # In blocks of ten; the baseline plays what the comparison takes, and its summary is of that.
    assert len(bad.episodes) == len(dense.episodes) == dense.returns["episodes"] < 60
    assert len(bad.episodes) - bad.gate.decided_after < 10
    # What is decided is what all episodes decide, on the same seeds.
    whole = beside_dense(folders, "bad", seeds=seeds)[1]
    assert len(whole.episodes) == 200
    assert whole.gate.decided_after == bad.gate.decided_after
    assert whole.episodes.returns[: len(bad.episodes)].tolist() == bad.episodes.returns.tolist()


def test_a_candidate_that_is_not_judged_is_only_measured(folders):
    ledger = Ledger("CartPole-v1", SEEDS)
    ledger.add("bad", folders / "bad", judged=False)
    row = ledger.add("dense", folders / "dense", judged=False)
    assert (row.verdict, row.gate, row.agreement) == (None, None, None)
    assert row.returns["episodes"] == 20


def stage(dense, name, verdict):
    return dataclasses.replace(dense, name=name, verdict=verdict)


@pytest.mark.parametrize(
    ("verdicts", "broken", "safe"),
    [
        (("PASS", "PASS", "PASS"), None, "int8"),
        (("PASS", "PASS", "FAIL"), "int8", "float16"),
        (("PASS", "INCONCLUSIVE", "FAIL"), "int8", "pruned"),
        (("PASS", "INCONCLUSIVE", "PASS"), "float16", "pruned"),
        (("FAIL", "PASS", "PASS"), "pruned", None),
        ((None, None, None), None, None),
    ],
)
def test_the_ledger_names_what_broke_the_policy_and_the_last_safe_stage(
    dense, verdicts, broken, safe
):
    names = ("pruned", "float16", "int8")
    rows = [dense, *(stage(dense, *each) for each in zip(names, verdicts, strict=True))]
    assert (broken_by(rows), last_safe(rows)) == (broken, safe)


def test_a_judged_stage_says_how_it_stands_beside_the_baseline(folders):
    first, bad = beside_dense(folders, "bad")
    assert first.paired is None
    by_hand = bad.episodes.returns - first.episodes.returns
    assert bad.paired["difference"]["mean"] == pytest.approx(by_hand.mean())
    # It falls long before the other one does, in each episode.
    assert bad.paired["probability_of_improvement"]["mean"] == 0.0
