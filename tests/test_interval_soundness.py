"""No observation in a box leaves its bounds: 100,000 of them through the interpreter."""

from __future__ import annotations

import itertools
from functools import cache

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import randomize
from dense_nets import CHOICE, INPUTS, KINDS, exported, filling, made

from tfdrlprune.evidence.bounding import boxes
from tfdrlprune.evidence.bounding.differential import Difference
from tfdrlprune.evidence.bounding.interval_bounds import bound, bound_difference
from tfdrlprune.evidence.bounding.intervals import Interval
from tfdrlprune.evidence.bounding.propagation import Propagation
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.scores import Duel, ExpectedValue
from tfdrlprune.specs import ArraySpec, Head

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
COUNT = 100_000
# Some inputs hardly move, one not at all: there the bounds are tight.
LOW = np.array([-1.0, -0.2, 0.3, 0.5, -3.0])
HIGH = np.array([1.0, 0.1, 0.3, 0.55, 2.0])
SHORT = [
    *(("relu_wide", precision) for precision in ("float32", "dynamic", "int8")),
    ("tanh_deep", "dynamic"),
]
LONG = [each for each in itertools.product(KINDS, PRECISIONS) if each not in SHORT]


def box_of(network):
    return boxes.given(network.manifest.observation, LOW, HIGH)


def inside(values, low, high):
    flat = values.reshape(len(values), -1).astype(np.float64)
    return bool((flat >= low).all() and (flat <= high).all())


@cache
def dense_outputs(kind):
    policy, _ = made(kind, "float32")
    return policy.outputs(filling(LOW, HIGH, COUNT))


@pytest.mark.parametrize(
    ("kind", "precision"),
    [*SHORT, *(pytest.param(*each, marks=pytest.mark.slow) for each in LONG)],
)
def test_no_output_action_or_difference_leaves_its_bounds(kind, precision):
    (policy, network), (baseline, dense) = made(kind, precision), made(kind, "float32")
    observations = filling(LOW, HIGH, COUNT)
    outputs = dense_outputs(kind) if precision == "float32" else policy.outputs(observations)
    for splits in (0, 6):
        found = bound(network, box_of(network), splits=splits)
        assert inside(outputs, found.output_low, found.output_high)
    apart = bound_difference(network, dense, box_of(network), splits=6)
    difference = outputs.astype(np.float64) - dense_outputs(kind)
    assert inside(difference, apart.output_low, apart.output_high)
    assert apart.differential
    if KINDS[kind].discrete:
        gaps = difference[:, :, None] - difference[:, None]
        assert np.abs(gaps).max() <= apart.largest_gap
        return
    actions = policy.action(observations)
    assert inside(actions, found.action_low, found.action_high)
    moved = actions.astype(np.float64) - baseline.action(observations)
    assert inside(moved, apart.action_low, apart.action_high)
    assert np.abs(moved).max() <= apart.largest_action


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "kind",
    [
        "relu_deep",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "relu_deep"),
    ],
)
def test_each_point_alone_stays_within_what_rounding_allows(kind, precision):
    """Boxes of no width leave nothing but the slack, and some points saturate."""
    (policy, network), (baseline, dense) = made(kind, precision), made(kind, "float32")
    generator = np.random.default_rng(3)
    spread = generator.choice([0.1, 1.0, 4.0], (2_000, 1))
    points = (spread * generator.normal(size=(2_000, INPUTS))).astype(np.float32)
    given = Interval(*2 * [points.astype(np.float64)[:, None]])
    ours, theirs = (Propagation(n.graph, {"observation": given}) for n in (network, dense))
    held = ours.held(network.graph.outputs["outputs"])
    outputs = policy.outputs(points).astype(np.float64)
    assert (outputs >= held.low[:, 0]).all()
    assert (outputs <= held.high[:, 0]).all()
    if precision in ("float32", "float16"):
        assert (held.high - held.low).max() < 2e-3 * max(1.0, np.abs(outputs).max())
    apart = Difference(ours, theirs).of(
        network.graph.outputs["outputs"], dense.graph.outputs["outputs"]
    )
    difference = outputs - baseline.outputs(points)
    assert (difference >= apart.low[:, 0]).all()
    assert (difference <= apart.high[:, 0]).all()


@pytest.mark.parametrize(("kind", "precision"), [("relu_scores", "float32"), ("linear", "int8")])
def test_a_certain_choice_is_what_every_observation_of_the_box_gets(kind, precision):
    policy, network = made(kind, precision)
    generator = np.random.default_rng(5)
    certain = 0
    for centre in generator.normal(size=(20, INPUTS)):
        box = boxes.given(network.manifest.observation, centre - 0.02, centre + 0.02)
        found = bound(network, box)
        if found.choice is not None:
            certain += 1
            actions = policy.action(filling(box.low, box.high, 500))
            assert set(actions.tolist()) == {found.choice}
    assert certain >= 5


def nested_policy():
    """A dueling network on numbers, bytes and a number without axes, put side by side."""
    keras = tf.keras.layers
    nest = {
        "arm": ArraySpec("arm", (3,), "float32"),
        "keys": ArraySpec("keys", (2,), "uint8", 0, 255),
        "time": ArraySpec("time", (), "float32"),
    }
    given = [tf.keras.Input(leaf.shape, dtype=leaf.dtype, name=name) for name, leaf in nest.items()]
    keys = keras.Rescaling(1 / 255, -0.5)(given[1])
    hidden = keras.Concatenate()([given[0], keys, keras.Reshape((1,))(given[2])])
    hidden = keras.Dense(24, "relu")(hidden)
    side = keras.Dense(24, "tanh")(hidden)
    hidden = keras.Maximum()([keras.Add()([hidden, side]), keras.Multiply()([hidden, side])])
    outputs = Duel(name="outputs")([keras.Dense(1)(hidden), keras.Dense(3)(hidden)])
    model = tf.keras.Model(given, outputs)
    randomize(model.trainable_variables)
    return Policy(model, Head("argmax"), nest, CHOICE, "test")


def distributional_policy():
    given = tf.keras.Input((INPUTS,), name="observation")
    logits = tf.keras.layers.Dense(3 * 7)(tf.keras.layers.Dense(24, "elu")(given))
    support = np.linspace(-2, 4, 7).tolist()
    model = tf.keras.Model(given, ExpectedValue(support, name="outputs")(logits))
    randomize(model.trainable_variables)
    return Policy(
        model, Head("argmax"), ArraySpec("observation", (INPUTS,), "float32"), CHOICE, "test"
    )


def nested_observations(low, high, count, seed=2):
    flat = filling(low, high, count, seed)
    return {"arm": flat[:, :3], "keys": np.round(flat[:, 3:5]).astype(np.uint8), "time": flat[:, 5]}


@pytest.mark.parametrize(
    "precision",
    [
        "float32",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ("float16", "dynamic", "int8", "int16x8")
        ),
    ],
)
def test_bounds_hold_for_nested_observations_and_dueling_networks(precision):
    policy = nested_policy()
    sample = nested_observations([-2] * 3 + [0] * 2 + [-2], [2] * 3 + [255] * 2 + [2], 200)
    observations = [sample[key] for key in policy.observation_spec]
    (acting, network), (baseline, dense) = (
        exported(policy, each, observations) for each in (precision, "float32")
    )
    low, high = [-1, 0.2, -0.5, 0, 30, -1], [1, 0.3, 0.5, 255, 40, -0.5]
    given = nested_observations(low, high, 5_000)
    box = boxes.of_visited(policy.observation_spec, given)
    found = bound(network, box, splits=6)
    outputs = acting.outputs(given)
    assert inside(outputs, found.output_low, found.output_high)
    apart = bound_difference(network, dense, box, splits=6)
    difference = outputs.astype(np.float64) - baseline.outputs(given)
    assert inside(difference, apart.output_low, apart.output_high)
    assert apart.differential
    # Boxes of no width leave nothing but the slack.
    rows = np.concatenate([given[key].reshape(5_000, -1) for key in given], axis=1, dtype=float)
    side = Propagation(network.graph, box.inputs(rows, rows))
    held = side.held(network.graph.outputs["outputs"])
    assert ((outputs >= held.low[:, 0]) & (outputs <= held.high[:, 0])).all()
    # Not by being so wide that nothing could leave them.
    if precision == "float32":
        width = np.subtract(found.output_high, found.output_low)
        assert (np.ptp(outputs, axis=0) > 0.05 * width).all()


def test_bounds_hold_for_distributional_networks_in_float32():
    acting, network = exported(distributional_policy())
    box = boxes.given(network.manifest.observation, LOW / 4, HIGH / 4)
    found = bound(network, box, splits=6)
    outputs = acting.outputs(filling(LOW / 4, HIGH / 4, 5_000))
    assert inside(outputs, found.output_low, found.output_high)
    assert (np.subtract(found.output_high, found.output_low) < 6).all()
    with pytest.raises(ValueError, match=r"SOFTMAX .* are known in float32.* Received: int8"):
        bound(exported(distributional_policy(), "int8")[1], box)


def test_the_dynamic_form_really_rounds_its_inputs():
    _, network = made("relu_wide", "dynamic")
    kernels = [
        network.graph.tensors[node.inputs[1]].dtype
        for node in network.graph.nodes
        if node.kind == "FULLY_CONNECTED"
    ]
    assert kernels == ["float32", "int8", "float32"]
