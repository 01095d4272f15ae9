"""The smaller model gives what the masked one gives, and is as small as was said."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import forward, mlp
from keras_models import batch_of, chain, masked, randomized

from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


def test_a_dense_network_loses_columns_and_rows_by_hand():
    policy = mlp(sizes=(4, 3, 2))
    first, second, last = (layer.get_weights() for layer in policy.model.layers[1:])
    small = shrink(policy.model, {"hidden_0": [1], "hidden_1": [0]})
    wanted = [
        *(first[0][:, [0, 2]], first[1][[0, 2]]),
        *(second[0][[0, 2]][:, [1]], second[1][[1]]),
        *(last[0][[1]], last[1]),
    ]
    for ours, theirs in zip(small.model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert small.widths == {"hidden_0": (3, 2), "hidden_1": (2, 1)}
    assert {k: list(v) for k, v in small.removed.items()} == {"hidden_0": [1], "hidden_1": [0]}
    # 4-3-2-3: 15 + 8 + 9; 4-2-1-3: 10 + 3 + 6.
    assert (small.parameters_before, small.parameters_after) == (32, 19)
    assert small.exact
    batch = batch_of(policy.model)
    np.testing.assert_allclose(
        policy.replace(model=small.model).outputs(batch),
        forward(policy.replace(model=small.model), batch),
        atol=1e-5,
    )


def test_the_model_that_was_given_is_left_alone():
    policy = mlp()
    before = policy.model.get_weights()
    shrink(policy.model, {"hidden_0": [0, 1]})
    for ours, theirs in zip(policy.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_zeros_that_go_change_no_bit_where_sums_are_exact():
    # Sums of small whole numbers are exact in any order; of others the order may show in the last
    # bits, because a shorter sum is split among vector registers in another way.
    model = mlp(sizes=(6, 32, 16)).model
    generator = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(generator.integers(-3, 4, variable.shape))
    observations = generator.integers(-9, 10, (500, 6)).astype(np.float32)
    small = shrink(model, {"hidden_0": range(0, 32, 3), "hidden_1": [5]}, observations)
    batch, wanted = observations, None
    masks = {"hidden_0": range(0, 32, 3), "hidden_1": [5]}
    for name, units in masks.items():
        layer = model.get_layer(name)
        kernel, bias = layer.get_weights()
        kernel[:, list(units)] = 0
        bias[list(units)] = 0
        layer.set_weights([kernel, bias])
    wanted = model(batch).numpy()
    assert small.exact
    np.testing.assert_array_equal(small.model(batch).numpy(), wanted)
    assert np.abs(wanted).max() > 100


def test_what_a_closed_unit_puts_out_moves_into_the_next_bias():
    # Sigmoid at zero is 0.5: the next bias gains half the unit's row.
    model = chain(tf.keras.Input((3,)), L.Dense(2, "sigmoid", name="a"), L.Dense(2, name="b"))
    kernel, bias = model.get_layer("b").get_weights()
    small = shrink(model, {"a": [1]})
    np.testing.assert_allclose(
        small.model.get_layer("b").get_weights()[1], bias + 0.5 * kernel[1], rtol=1e-6
    )
    assert not small.exact
    batch, wanted = masked(model, "a", 1)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)


def test_a_layer_without_a_bias_gets_one_to_take_a_constant():
    model = chain(
        tf.keras.Input((3,)),
        L.Dense(2, "sigmoid", name="a"),
        L.Dense(2, use_bias=False, name="b"),
    )
    kernel = model.get_layer("b").get_weights()[0]
    small = shrink(model, {"a": [0]})
    np.testing.assert_allclose(small.model.get_layer("b").get_weights()[1], 0.5 * kernel[0])
    # 3-2-2: 8 + 4; 3-1-2: 4 + 2, and 2 of the new bias.
    assert (small.parameters_before, small.parameters_after) == (12, 8)


@pytest.mark.parametrize(
    ("window", "padding", "activation", "stays"),
    [
        (3, "valid", "sigmoid", False),
        (3, "same", "relu", False),
        (3, "same", "sigmoid", True),
        (1, "same", "sigmoid", False),  # a window of one pixel sees no border
    ],
)
def test_a_constant_beside_padding_stays_unless_it_is_zero(window, padding, activation, stays):
    model = chain(
        tf.keras.Input((5, 5, 1)),
        L.Conv2D(3, 2, activation=activation, name="a"),
        L.Conv2D(2, window, padding=padding, name="b"),
        L.Flatten(),
        L.Dense(2, name="out"),
    )
    small = shrink(model, {"a": [1]})
    assert ("a" not in small.widths) == stays
    told = [message for message in small.messages if message.startswith("a: unit 1 stays closed")]
    assert len(told) == len(small.kept) == stays
    batch, wanted = masked(model, "a", 1)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)


def residual():
    inputs = tf.keras.Input((8, 8, 2))
    x = L.Conv2D(6, 3, padding="same", name="stem")(inputs)
    for block in "ab":
        y = L.BatchNormalization()(x)
        y = L.Conv2D(4, 3, padding="same", use_bias=False, name=f"{block}_1")(L.ReLU()(y))
        y = L.BatchNormalization()(y)
        y = L.Conv2D(6, 3, padding="same", name=f"{block}_2")(L.ReLU()(y))
        x = L.Add()([x, y])
    x = L.Flatten()(L.MaxPooling2D()(x))
    return randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(x)))


def test_a_residual_stream_loses_a_unit_of_every_block():
    small = shrink(residual(), {"stem": [0, 5], "b_1": [2]})
    assert small.widths == {"stem": (6, 4), "a_2": (6, 4), "b_1": (4, 3), "b_2": (6, 4)}
    assert small.model.get_layer("out").kernel.shape == (4 * 4 * 4, 2)
    assert small.exact
    assert small.deviation < 1e-5


def test_concatenated_and_flattened_filters_go_with_their_pixels():
    inputs = tf.keras.Input((4, 4, 1))
    parts = [L.Conv2D(2, 2, name=name)(inputs) for name in "ab"]
    flat = L.Flatten()(L.Concatenate()(parts))
    model = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(flat)))
    kernel = model.get_layer("out").get_weights()[0].reshape(9, 4, 2)
    small = shrink(model, {"a": [1], "b": [0]})
    np.testing.assert_array_equal(
        small.model.get_layer("out").get_weights()[0].reshape(9, 2, 2), kernel[:, [0, 3]]
    )


def test_a_layer_that_is_called_twice_takes_no_constant():
    inputs = tf.keras.Input((3,))
    a, b = L.Dense(2, "sigmoid", name="a"), L.Dense(2, name="b")
    shared = L.Dense(2, name="shared")
    out = L.Concatenate()([shared(a(inputs)), shared(b(inputs))])
    model = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(out)))
    small = shrink(model, {"a": [0]})
    assert small.widths == {}
    told = "a: unit 0 stays closed: no bias of shared can stand for the constant"
    assert any(message.startswith(told) for message in small.messages)


def test_a_sequential_model_and_named_inputs_and_outputs_come_back_as_they_were():
    layers = [tf.keras.Input((3,)), L.Dense(4, name="a"), L.Dense(2, name="out")]
    assert shrink(randomized(tf.keras.Sequential(layers)), {"a": [0]}).widths == {"a": (4, 3)}
    inputs = {"x": tf.keras.Input((3,), name="x")}
    trunk = L.Dense(4, name="trunk")(inputs["x"])
    outputs = {"mean": L.Dense(2, name="mean")(trunk), "std": L.Dense(1, name="std")(trunk)}
    model = randomized(tf.keras.Model(inputs, outputs))
    small = shrink(model, {"trunk": [1]}, {"x": np.ones((2, 3))}).model
    assert small.output_names == ["mean", "std"]
    assert {k: v.shape[1] for k, v in small({"x": np.ones((5, 3))}).items()} == {
        "mean": 2,
        "std": 1,
    }
