"""Numbers of gates become weights, before or after them, and nothing else changes."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_models import architecture, batch_of, chain, randomized

from tfdrlprune.structure.folding import fold
from tfdrlprune.structure.gated_recurrence import gates_of
from tfdrlprune.structure.gates import Gate, LearntGate
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.proof import prove
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


def with_values(model, seed=0):
    """Gives the model's gates numbers, some of them 0."""
    generator = np.random.default_rng(seed)
    for gate in gates_of(model).values():
        shape = gate.values().shape
        gate.gate.assign(generator.uniform(0.2, 2, shape) * generator.integers(0, 2, shape))
    return model


def test_a_gate_behind_a_relu_goes_into_the_layer_before_by_hand():
    model = chain(tf.keras.Input((1,)), L.Dense(2, "relu", name="a"), Gate(name="g"), L.Dense(1))
    model.get_layer("a").set_weights([np.array([[1.0, 2.0]]), np.array([3.0, 4.0])])
    model.get_layer("g").gate.assign([0.5, 0.0])
    found = fold(model)
    assert (found.gone, found.stayed, found.exact) == (("g",), (), False)
    kernel, bias = found.model.get_layer("a").get_weights()
    assert (kernel.tolist(), bias.tolist()) == ([[0.5, 0.0]], [1.5, 0.0])


def test_a_gate_behind_a_tanh_goes_into_the_layer_after_by_hand():
    model = chain(tf.keras.Input((1,)), L.Dense(2, "tanh"), Gate(name="g"), L.Dense(1, name="out"))
    model.get_layer("out").set_weights([np.array([[3.0], [5.0]]), np.array([7.0])])
    model.get_layer("g").gate.assign([0.5, 0.0])
    kernel, bias = fold(model).model.get_layer("out").get_weights()
    assert (kernel.tolist(), bias.tolist()) == ([[1.5], [0.0]], [7.0])


def test_a_gate_of_ones_and_zeros_rounds_nothing():
    model = chain(tf.keras.Input((3,)), L.Dense(4, "tanh"), Gate(name="g"), L.Dense(2))
    model.get_layer("g").set_open([True, False, True, True])
    found = fold(model)
    assert found.exact
    batch = batch_of(model)
    np.testing.assert_array_equal(found.model(batch), model(batch))


@pytest.mark.parametrize(
    "between",
    [
        [L.Flatten()],
        [L.MaxPooling2D(2), L.Flatten()],
        [L.ZeroPadding2D(1), L.AveragePooling2D(2), L.Permute((3, 1, 2)), L.Flatten()],
        [L.ReLU(), L.DepthwiseConv2D(2, depth_multiplier=2), L.Flatten()],
        [L.SeparableConv2D(3, 2, depth_multiplier=2), L.GlobalMaxPooling2D()],
        [L.Conv2DTranspose(3, 2, strides=2), L.Flatten()],
        [L.Reshape((25, 3)), L.LSTM(4)],
        [L.Reshape((25, 3)), L.GRU(4)],
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)
def test_factors_move_through_what_keeps_channels_apart(between):
    model = chain(
        tf.keras.Input((6, 6, 2)),
        L.Conv2D(3, 2, activation="sigmoid", name="a"),
        Gate(name="g"),
        *[type(layer).from_config(layer.get_config()) for layer in between],
        L.Dense(2, name="out"),
    )
    model.get_layer("g").gate.assign([0.5, 0.0, 1.5])
    found = fold(model)
    assert found.gone == ("g",)
    prove(model, found.model, None, 0)


def test_a_gate_stays_where_nothing_can_stand_for_it_and_shrink_says_so():
    inputs = tf.keras.Input((3,))
    a = L.Dense(4, "tanh", name="a")(inputs)
    out = L.Dense(2)(L.Activation("sigmoid")(LearntGate(name="g")(a)))
    model = randomized(tf.keras.Model(inputs, out))
    model.get_layer("g").gate.assign([0.5, 0.25, 1.0, 1.0])
    assert fold(model).stayed == ("g",)
    small = shrink(model)
    assert "g stays: no weight beside it can stand for it." in small.messages
    assert small.widths == {}


def test_a_shared_gate_goes_into_all_layers_that_it_stands_behind():
    inputs = tf.keras.Input((3,))
    gate = Gate(name="g")
    parts = [gate(L.Dense(4, "relu", name=name)(inputs)) for name in ("a", "b")]
    model = randomized(tf.keras.Model(inputs, L.Dense(2)(L.Add()(parts))))
    model.get_layer("g").gate.assign([0.5, 0.0, 2.0, 1.0])
    found = fold(model)
    assert found.gone == ("g",)
    for name in ("a", "b"):
        wanted = model.get_layer(name).kernel.numpy() * [0.5, 0.0, 2.0, 1.0]
        np.testing.assert_allclose(found.model.get_layer(name).kernel, wanted, rtol=1e-6)


def test_a_residual_that_is_read_beside_the_gate_keeps_its_own_numbers():
    # What the layer before puts out is read by others too, so the number must go forward.
    inputs = tf.keras.Input((3,))
    a = L.Dense(4, "relu", name="a")(inputs)
    both = L.Concatenate()([a, Gate(name="g")(a)])
    model = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(both)))
    model.get_layer("g").gate.assign([0.5, 0.0, 2.0, 1.0])
    found = fold(model)
    scale = np.array([1, 1, 1, 1, 0.5, 0, 2, 1])[:, None]
    wanted = model.get_layer("out").kernel.numpy() * scale
    np.testing.assert_allclose(found.model.get_layer("out").kernel, wanted, rtol=1e-6)


@pytest.mark.slow
@given(data=st.data(), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_any_gated_model_shrinks_by_its_closed_gates_to_one_without(data, seed):
    model = architecture(data.draw)
    try:
        found = gated(model, "l1")
    except ValueError:
        return  # only outputs
    open_model = with_values(found.model, seed)
    small = shrink(open_model)  # proves it
    left = {name: gate.values() for name, gate in gates_of(open_model).items()}
    for name, gate in found.gates.items():
        width = small.widths.get(name, (len(left[gate]),) * 2)[1]
        # More may be dead than has a closed gate, and one unit of a layer stays.
        assert width <= max(1, np.count_nonzero(left[gate])) or small.kept
    assert not gates_of(small.model) or small.messages
