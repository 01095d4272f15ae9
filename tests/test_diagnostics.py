"""Two policies beside each other on states where everything can be worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dense_nets import dense, exported, made

from tfdrlprune.deployment import artifact
from tfdrlprune.evidence.diagnostics import Quantiles, agreement, diagnose
from tfdrlprune.specs import ArraySpec, Head

CHOICE = ArraySpec("action", (), "int64", 3, 5)
SCORES = Head("argmax", offset=3.0)


def chooser(kernel, bias=(0, 0, 0)):
    """Scores are kernel[0] * x + bias; the action is the best one's number plus 3."""
    return exported(dense([([kernel], bias)], SCORES, CHOICE))[0]


def mover(kernel, action, head=None):
    """The action is x times the kernel."""
    return exported(dense([([kernel], [0.0] * len(kernel))], head or Head("affine"), action))[0]


def column(*values):
    return np.float32(values)[:, None]


def test_flips_are_weighed_by_what_the_baseline_loses():
    baseline = chooser([1, 0, -2])  # at x = 1: 1, 0, -2; at -1: -1, 0, 2; at 3: 3, 0, -6
    other = chooser([0, 1, 2])  # always the last where x > 0, the first where x < 0
    found = diagnose(other, baseline, column(1, -1, 3, 0))
    # Lost: 1 - -2 = 3; 2 - -1 = 3; 3 - -6 = 9; nothing where all are equal.
    flips = found.flips
    assert flips.share == 0.75
    assert found.agreement == 0.25
    assert (flips.loss_mean, flips.loss_largest, flips.observation) == (15 / 4, 9, 2)
    # Best above second best: 1, 2, 3, 0.
    assert flips.gap_mean == 1.5
    assert (flips.loss_mean_relative, flips.loss_largest_relative) == (2.5, 6)
    assert (found.deviation, found.count) == (None, 4)


def test_a_flip_between_equals_costs_nothing():
    baseline, other = chooser([1, 1, 0]), chooser([0, 1, 0])
    found = diagnose(other, baseline, column(1, 2))
    assert (found.flips.share, found.flips.loss_largest, found.flips.gap_mean) == (1.0, 0, 0)
    assert (found.flips.loss_mean_relative, found.flips.loss_largest_relative) == (None, None)


def test_what_all_scores_have_in_common_is_no_centred_deviation():
    baseline, other = chooser([1, 0, -1]), chooser([1, 0, -1], (80, 80, 80))
    found = diagnose(other, baseline, column(1, 2, 3))
    assert found.outputs.p50 == found.outputs.largest == 80
    assert found.centred_outputs.largest == pytest.approx(0, abs=1e-4)
    assert found.agreement == 1


def test_deviations_are_fractions_of_the_range_and_the_largest_has_its_place():
    action = ArraySpec("action", (2,), "float32", (-10.0, -100.0), (10.0, 100.0))
    baseline, other = mover([0, 0], action), mover([1, 2], action)
    # 0.05 x in the first dimension, 0.01 x in the second.
    states = column(*range(11))
    found = diagnose(other, baseline, states)
    deviation = found.deviation
    assert deviation.fraction == Quantiles(*(pytest.approx(q) for q in (0.25, 0.45, 0.495, 0.5)))
    assert (deviation.value, deviation.observation, deviation.dimension) == (10, 10, 0)
    assert found.agreement == pytest.approx(1 / 11)  # at x = 0 alone
    assert (found.flips, found.centred_outputs) == (None, None)
    assert found.outputs.largest == 20


def test_an_action_without_bounds_has_the_range_that_the_baseline_spans():
    action = ArraySpec("action", (2,), "float32")
    baseline, other = mover([1, 0], action), mover([2, 5], action)
    found = diagnose(other, baseline, column(0, 1, 4))
    # The first spans 4, and is off by x; the second never moves, so it has no fraction.
    assert found.deviation.fraction.largest == 1
    assert (found.deviation.value, found.deviation.dimension) == (4, 0)
    still = diagnose(mover([0, 5], action), mover([0, 0], action), column(0, 1, 4))
    assert still.deviation.fraction is None
    assert (still.deviation.value, still.deviation.observation) == (20, 2)
    assert still.deviation.dimension == 1


def test_a_policy_beside_itself_differs_nowhere():
    for kind in ("relu_scores", "tanh"):
        policy, _ = made(kind, "float32")
        states = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
        found = diagnose(policy, policy, states)
        assert (found.agreement, found.outputs.largest) == (1.0, 0.0)


def test_results_are_json_and_keys_are_those_documented():
    states = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    for kind in ("relu_scores", "tanh"):
        found = diagnose(made(kind, "int8")[0], made(kind, "float32")[0], states)
        value = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert list(value) == [
            *("count", "agreement", "flips", "deviation", "outputs", "centred_outputs"),
        ]
        assert list(value["outputs"]) == ["p50", "p90", "p99", "largest"]
        assert 0 < value["outputs"]["p50"] <= value["outputs"]["largest"]
        if kind == "relu_scores":
            assert list(value["flips"]) == [
                *("share", "gap_mean", "loss_mean", "loss_largest"),
                *("loss_mean_relative", "loss_largest_relative", "observation"),
            ]
        else:
            assert list(value["deviation"]) == ["fraction", "value", "observation", "dimension"]


def test_what_cannot_be_compared_is_refused():
    ours, theirs = chooser([1, 0, -1]), mover([1.0], ArraySpec("action", (), "float32"))
    with pytest.raises(ValueError, match=r"to a choice .* to a continuous action"):
        diagnose(ours, theirs, column(1))
    with pytest.raises(ValueError, match="a batch of at least one"):
        diagnose(ours, ours, np.float32([1]))
    with pytest.raises(ValueError, match="a batch of at least one"):
        diagnose(ours, ours, np.zeros((0, 1), np.float32))


def test_outputs_that_are_not_finite_are_told():
    huge = mover([3e38], ArraySpec("action", (1,), "float32"))
    with pytest.raises(ValueError, match=r"candidate are finite.* 1 of 2 .* the first being 1"):
        diagnose(huge, mover([1.0], ArraySpec("action", (1,), "float32")), column(0, 10))


def manifest_of(action: ArraySpec) -> artifact.Manifest:
    return artifact.Manifest(
        observation=ArraySpec("observation", (1,), "float32"),
        action=action,
        head=Head("tanh"),
        precision="float32",
        sparsity=artifact.Sparsity(None, 0.0),
        parameters=artifact.Parameters(1, 1, 1),
        source="",
        recipe=None,
        versions={},
    )


def test_continuous_actions_agree_within_one_percent_of_their_range_in_every_dimension():
    manifest = manifest_of(ArraySpec("action", (2,), "float32", (-1.0, -10.0), (1.0, 10.0)))
    ours = np.float32([[0.0, 0.0], [0.019, 0.19], [0.021, 0.0], [0.0, 0.21]])
    assert agreement(ours, np.zeros((4, 2), np.float32), manifest) == 0.5


def test_unbounded_actions_agree_within_one_percent_of_what_the_baseline_spans():
    manifest = manifest_of(ArraySpec("action", (1,), "float32"))
    others = np.float32([[0.0], [100.0]])
    assert agreement(others + np.float32(0.9), others, manifest) == 1.0
    assert agreement(others + np.float32(1.1), others, manifest) == 0.0
