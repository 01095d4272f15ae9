"""Bounds of networks so small that they can be worked out by hand."""

from __future__ import annotations

import json

from tfdrlprune._tf import tf

import numpy as np
import pytest
from artifacts import BALANCES, FALLS, linear
from dense_nets import dense, exported, filling, made

from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.bounding import boxes
from tfdrlprune.evidence.bounding.interval_bounds import bound, bound_difference, load
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

ONE = ArraySpec("action", (1,), "float32")
AFFINE = Head("affine")


def network_of(*layers, head=AFFINE, action=ONE):
    return exported(dense(layers, head, action))[1]


def box_of(network, low, high):
    return boxes.given(network.manifest.observation, low, high)


def test_a_small_network_has_the_bounds_worked_out_by_hand():
    # h = relu(x0 + x1), relu(x0 - x1), each 0..2; h0 - h1 + 0.5.
    network = network_of(([[1, 1], [1, -1]], [0, 0]), ([[1], [-1]], [0.5]))
    found = bound(network, box_of(network, [-1, -1], [1, 1]))
    assert found.output_low == pytest.approx([-1.5], abs=1e-5)
    assert found.output_high == pytest.approx([2.5], abs=1e-5)
    assert (found.choice, found.certain, found.boxes) == (None, None, 1)


def test_a_linear_network_has_exact_bounds_but_for_rounding():
    generator = np.random.default_rng(0)
    kernel, bias = generator.normal(size=(5, 2)), generator.normal(size=2)
    network = network_of((kernel, bias), action=ArraySpec("action", (2,), "float32"))
    low, high = -generator.random(5), generator.random(5)
    found = bound(network, box_of(network, low, high))
    least = np.where(kernel > 0, low[:, None], high[:, None])
    exact = (np.float64(np.float32(kernel)) * least).sum(axis=0) + bias
    assert found.output_low == pytest.approx(exact, abs=2e-5)
    assert found.output_low <= tuple(exact)


def test_the_action_is_squashed_scaled_and_clipped():
    head = Head("tanh", 2.0, 1.0)
    action = ArraySpec("action", (1,), "float32", -1.0, 2.5)
    network = network_of(([[1.0]], [0.0]), head=head, action=action)
    found = bound(network, box_of(network, [-0.5], [3.0]))
    # 2 tanh(-0.5) + 1; 2 tanh(3) + 1 = 2.99 is clipped.
    assert found.action_low == pytest.approx([2 * np.tanh(-0.5) + 1], abs=1e-5)
    assert found.action_high == (2.5,)


def test_cutting_the_box_makes_bounds_tighter_down_to_what_is_true():
    # relu(x) + relu(-x) is abs(x): at most 1, but 2 for one who does not know what x is.
    network = network_of(([[1, -1]], [0, 0]), ([[1], [1]], [0.0]))
    box = box_of(network, [-1.0], [1.0])
    whole, halves = bound(network, box), bound(network, box, splits=1)
    assert whole.output_high == pytest.approx([2], abs=1e-5)
    assert halves.output_high == pytest.approx([1], abs=1e-5)
    assert halves.boxes == 2
    policy, wide = made("relu_wide", "float32")
    widths = []
    for splits in (0, 4, 8):
        found = bound(wide, box_of(wide, [-1] * 5, [1] * 5), splits=splits)
        widths.append(found.output_high[0] - found.output_low[0])
    true = np.ptp(policy.outputs(filling([-1] * 5, [1] * 5, 2_000))[:, 0])
    assert widths[0] > 1.3 * widths[1]
    assert widths[1] > 1.3 * widths[2]
    assert widths[2] > true


def test_a_choice_is_certain_where_the_whole_box_is_on_one_side():
    network = exported(linear([1.0, 0, 0, 0]))[1]
    right = bound(network, box_of(network, [0.5, -1, -1, -1], [1, 1, 1, 1]))
    assert (right.choice, right.certain) == (1, 1.0)
    assert (right.action_low, right.action_high) == (None, None)
    # Cut at 1: above it the choice is certain, below it it depends.
    half = bound(network, box_of(network, [-1, 0, 0, 0], [3, 0, 0, 0]), splits=1)
    assert (half.choice, half.certain) == (None, 0.5)


def test_what_scores_have_in_common_does_not_make_a_choice_uncertain():
    # Scores of -x0 + 100 x1 and x0 + 100 x1: their boxes overlap, their difference is 2 x0.
    action = ArraySpec("action", (), "int64", 4, 5)
    kernel = [[-1, 1], [100, 100]]
    network = network_of((kernel, [0, 0]), head=Head("argmax", offset=4.0), action=action)
    found = bound(network, box_of(network, [0.1, -1], [1, 1]))
    assert found.output_high[0] > found.output_low[1]
    assert (found.choice, found.certain) == (5, 1.0)


def test_a_difference_is_followed_through_the_layers():
    # 2 relu(x) is up to 4, 1.5 relu(x) up to 3; their difference is 0..1, their boxes' -3..4.
    ours = network_of(([[1.0]], [0.0]), ([[2.0]], [0.0]))
    theirs = network_of(([[1.0]], [0.0]), ([[1.5]], [0.0]))
    found = bound_difference(ours, theirs, box_of(ours, [-1.0], [2.0]))
    assert found.output_low == pytest.approx([0], abs=1e-5)
    assert found.output_high == pytest.approx([1], abs=1e-5)
    assert found.largest_output == pytest.approx(1, abs=1e-5)
    assert found.largest_action == pytest.approx(1, abs=1e-5)
    assert found.differential
    assert (found.same_choice, found.other_choice) == (None, None)


def test_the_gap_between_scores_is_bounded_without_what_they_have_in_common():
    # The candidate's scores are all 50 + 100 x lower, and the second is 0.5 x higher besides.
    action, head = ArraySpec("action", (), "int64", 0, 1), Head("argmax")
    ours = network_of(([[1.0, -0.5]], [0, 0]), head=head, action=action)
    theirs = network_of(([[101.0, 99.0]], [50, 50]), head=head, action=action)
    found = bound_difference(ours, theirs, box_of(ours, [-1.0], [2.0]))
    assert found.largest_output == pytest.approx(250, abs=1e-3)
    assert found.largest_gap == pytest.approx(1, abs=1e-3)
    assert found.differential


def test_networks_that_are_not_alike_are_bounded_by_their_boxes():
    ours = network_of(([[1.0]], [0.0]), ([[2.0]], [0.0]))
    theirs = network_of(([[1.0, 0.0]], [0.0, 0.0]), ([[1.5], [1.0]], [0.0]))
    found = bound_difference(ours, theirs, box_of(ours, [-1.0], [2.0]))
    assert not found.differential
    assert found.output_low == pytest.approx([-3], abs=1e-5)
    assert found.output_high == pytest.approx([4], abs=1e-5)


def test_a_policy_beside_itself_is_off_by_rounding_only():
    for kind in ("relu_wide", "tanh_deep"):
        _, network = made(kind, "float32")
        found = bound_difference(network, network, box_of(network, [-1] * 5, [1] * 5))
        whole = bound(network, box_of(network, [-1] * 5, [1] * 5))
        assert found.largest_output < 1e-2
        assert found.largest_output < 1e-3 * max(whole.output_high)


def test_choices_are_compared_where_both_are_certain(tmp_path):
    for name, weights in (("balances", BALANCES), ("falls", FALLS)):
        export(linear(weights), tmp_path / name)
    ours, theirs = load(tmp_path / "balances"), load(tmp_path / "falls")
    # Both look at the angle here, with opposite signs; halves of it on either side of 0.1.
    box = box_of(ours, [0, 0, 0.1, 0], [0, 0, 0.2, 0])
    assert bound_difference(ours, ours, box).same_choice == 1.0
    apart = bound_difference(ours, theirs, box)
    assert (apart.same_choice, apart.other_choice) == (0.0, 1.0)


def test_results_are_json():
    network = exported(linear(BALANCES))[1]
    box = box_of(network, [-1] * 4, [1] * 4)
    value = json.loads(json.dumps(bound(network, box).to_json(), allow_nan=False))
    assert list(value) == [
        *("output_low", "output_high", "action_low", "action_high", "choice", "certain", "boxes"),
    ]
    assert len(value["output_low"]) == 2
    value = json.loads(
        json.dumps(bound_difference(network, network, box).to_json(), allow_nan=False)
    )
    assert list(value) == [
        *("output_low", "output_high", "largest_output", "largest_gap", "action_low"),
        *("action_high", "largest_action", "same_choice", "other_choice", "differential", "boxes"),
    ]


def image_policy(layer):
    given = tf.keras.Input((6, 6, 1), name="observation")
    tensor = tf.keras.layers.Flatten()(layer(given))
    outputs = tf.keras.layers.Dense(1, name="outputs")(tensor)
    observation = ArraySpec("observation", (6, 6, 1), "float32", 0.0, 1.0)
    return Policy(tf.keras.Model(given, outputs), AFFINE, observation, ONE)


def test_an_operation_that_is_not_known_is_refused_by_name():
    network = exported(image_policy(tf.keras.layers.Conv2D(2, 3)))[1]
    with pytest.raises(ValueError, match="Received: CONV_2D, whose bounds are not known"):
        bound(network, boxes.of_spec(network.manifest.observation))
    network = exported(image_policy(tf.keras.layers.MaxPooling2D()))[1]
    with pytest.raises(ValueError, match="MAX_POOL_2D"):
        bound(network, boxes.of_spec(network.manifest.observation))


def test_numbers_beyond_float32_are_refused():
    network = network_of(([[1e30]], [0.0]), ([[1e10]], [0.0]))
    with pytest.raises(ValueError, match="may leave what float32 holds in this box"):
        bound(network, box_of(network, [0.0], [1.0]))


def test_artifacts_of_other_observations_or_actions_are_not_compared():
    ours = network_of(([[1.0]], [0.0]))
    theirs = network_of(([[1.0], [2.0]], [0.0]))
    with pytest.raises(ValueError, match=r"float32\[1\] to a continuous action .*float32\[2\]"):
        bound_difference(ours, theirs, box_of(ours, [0.0], [1.0]))
