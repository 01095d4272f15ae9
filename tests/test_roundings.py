"""How far interpreters stray, by hand and against the interpreter itself."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from dense_nets import dense, exported, made

from tfdrlprune.evidence.bounding.intervals import Interval
from tfdrlprune.evidence.bounding.propagation import Propagation
from tfdrlprune.evidence.bounding.roundings import input_rounding
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head


def layers(network):
    return [node for node in network.graph.nodes if node.kind == "FULLY_CONNECTED"]


def test_a_dynamic_kernel_rounds_its_input_to_half_a_step_of_its_range():
    _, network = made("relu_wide", "dynamic")
    first, second, _ = layers(network)
    x = Interval(np.full((1, 1, 40), 0.5), np.full((1, 1, 40), 2.0))
    # From 0, which always belongs to the range, to 2 in 255 steps.
    assert input_rounding(network.graph, second, x).item() == pytest.approx(0.51 * 2 / 255)
    both = Interval(np.full((1, 1, 40), -1.0), x.high)
    assert input_rounding(network.graph, second, both).item() == pytest.approx(0.51 * 3 / 255)
    # A float kernel rounds nothing.
    given = Interval(np.ones((1, 1, 5)), np.ones((1, 1, 5)))
    assert input_rounding(network.graph, first, given).item() == 0


def test_the_slack_of_a_float_layer_grows_with_its_sums():
    action = ArraySpec("action", (1,), "float32")
    policy = dense([(np.ones((5, 1)), [3.0])], Head("affine"), action)
    _, network = exported(policy)
    given = Interval(np.full((1, 1, 5), -2.0), np.full((1, 1, 5), 2.0))
    side = Propagation(network.graph, {"observation": given})
    # 5 + 4 roundings, each of up to 2**-23, of 5 products of up to 2 and a bias of 3.
    found = side.slack(network.graph.outputs["outputs"]).item()
    assert found == pytest.approx(9 * 2**-23 * 13)


def test_an_int8_layer_may_be_one_step_off():
    policy, network = made("linear", "int8")
    (layer,) = layers(network)
    output = network.graph.tensors[layer.output]
    given = Interval(np.zeros((1, 1, 5)), np.zeros((1, 1, 5)))
    side = Propagation(network.graph, {"observation": given})
    assert np.allclose(side.slack(layer.output), output.step, rtol=1e-3)
    assert output.step > 1e-3
    values = policy.outputs(np.zeros(5, np.float32))
    held = side.held(network.graph.outputs["outputs"])
    assert ((values >= held.low[0, 0]) & (values <= held.high[0, 0])).all()


def test_int16_sums_are_scaled_by_a_factor_of_15_bits():
    """All outputs are near 1, the end of the range, by kernels of 64 different scales."""
    first = np.linspace(0.5, 0.99, 64)
    kernel = np.stack([first, 1 - first])
    policy = dense([(kernel, np.zeros(64))], Head("affine"), ArraySpec("action", (64,), "float32"))
    sample = np.float32([[1, 1], [-1, -1], [0.5, -1]])
    acting, network = exported(policy, "int16x8", [sample])
    (layer,) = layers(network)
    points = np.float32(np.linspace(0.9, 0.999, 200))[:, None] * np.ones((1, 2), np.float32)
    given = Interval(*2 * [points[:, None].astype(np.float64)])
    side = Propagation(network.graph, {"observation": given})
    read, target = (network.graph.tensors[index] for index in (layer.inputs[0], layer.output))
    stored = network.graph.tensors[layer.inputs[1]].value
    exact = np.round(points / read.step) * read.step @ stored.T
    off = np.abs(acting.outputs(points) - np.clip(exact, target.low, target.high))
    assert off.max() > 1.1 * target.step
    assert (off <= side.slack(layer.output)[:, 0]).all()


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu"])
def test_float_curves_are_right_to_a_few_units_in_the_last_place(activation):
    acting, network = exported(curved(activation))
    generator = np.random.default_rng(0)
    points = generator.choice([1e-4, 0.1, 1, 10, 60], (5_000, 1)) * generator.normal(
        size=(5_000, 8)
    )
    points = points.astype(np.float32)
    given = Interval(*2 * [points[:, None].astype(np.float64)])
    held = Propagation(network.graph, {"observation": given}).held(network.graph.outputs["outputs"])
    outputs = acting.outputs(points).astype(np.float64)
    assert (outputs >= held.low[:, 0]).all()
    assert (outputs <= held.high[:, 0]).all()
    # The slack is what this asks for, not much more.
    assert (held.high - held.low <= 2**-18 * np.abs(outputs[:, None]) + 1e-29).all()


def curved(activation):
    """Returns a policy that is nothing but an activation of eight numbers."""
    given = tf.keras.Input((8,), name="observation")
    outputs = tf.keras.layers.Activation(activation, name="outputs")(given)
    return Policy(
        tf.keras.Model(given, outputs),
        Head("affine"),
        ArraySpec("observation", (8,), "float32"),
        ArraySpec("action", (8,), "float32"),
    )


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("limit", [8.0052, 11.0])
def test_int16_curves_stay_in_their_slack_even_where_a_scale_is_taken_for_a_power_of_two(
    activation, limit
):
    """Over all 65,536 inputs that an int16 tensor can hold."""
    sample = limit * 32767 / 32768 * np.where(np.arange(20) % 2, 1, -1)
    sample = np.repeat(sample[:, None], 8, axis=1).astype(np.float32)
    acting, network = exported(curved(activation), "int16x8", [sample])
    (node,) = (n for n in network.graph.nodes if n.kind in ("TANH", "LOGISTIC"))
    source, target = (network.graph.tensors[i] for i in (node.inputs[0], node.output))
    assert (source.dtype, target.dtype) == ("int16", "int16")
    grid = (np.arange(-32768, 32768) * source.step).reshape(-1, 8)
    exact = np.tanh(grid) if activation == "tanh" else 1 / (1 + np.exp(-grid))
    off = np.abs(acting.outputs(grid.astype(np.float32)) - np.clip(exact, target.low, target.high))
    side = Propagation(
        network.graph, {"observation": Interval(*2 * [grid.astype(np.float32)[:, None] * 1.0])}
    )
    assert (off <= side.slack(node.output)[:, 0]).all()
    # What the table alone explains is 3 steps.
    assert (off.max() / target.step > 8) == (limit == 8.0052)
