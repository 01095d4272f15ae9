"""Units that are dead already are found, whichever way they died, and go without being named."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
from builders import mlp, ppo
from keras_models import batch_of, chain, randomized

from tfdrlprune.policies import from_agent
from tfdrlprune.structure.shrink import shrink, unused_inputs

L = tf.keras.layers


def test_dead_units_are_found_whichever_way_they_died():
    model = chain(
        tf.keras.Input((3,)),
        L.Dense(5, "tanh", name="a"),
        L.Dense(4, "relu", name="b"),
        L.Dense(2, name="out"),
    )
    a, b, out = (model.get_layer(name) for name in ("a", "b", "out"))
    kernel, bias = a.get_weights()
    kernel[:, 0] = 0  # constant: tanh of its bias
    a.set_weights([kernel, bias])
    into_b = b.get_weights()[0]
    into_b[1] = 0  # nobody reads it
    into_b[2, [0, 1, 3]] = 0  # only unit 2 of b reads it, which nobody reads
    b.set_weights([into_b, b.get_weights()[1]])
    last = out.get_weights()[0]
    last[2] = 0
    out.set_weights([last, out.get_weights()[1]])
    small = shrink(model)
    assert {k: list(v) for k, v in small.removed.items()} == {"a": [0, 1, 2], "b": [2]}
    wanted = b.get_weights()[1] + np.tanh(bias[0]) * into_b[0]
    np.testing.assert_allclose(
        small.model.get_layer("b").get_weights()[1], wanted[[0, 1, 3]], rtol=1e-5
    )
    batch = batch_of(model)
    np.testing.assert_allclose(small.model(batch), model(batch), atol=1e-5)
    assert shrink(small.model).removed == {}


def test_what_pruning_by_units_has_masked_is_what_goes():
    from tfdrlprune.pruning.callbacks import PruningCallback

    model = chain(
        tf.keras.Input((6,)),
        L.Dense(16, "relu", name="a"),
        L.Dense(12, "tanh", name="b"),
        L.Dense(1, name="out"),
    )
    model.compile("adam", "mse")
    x = batch_of(model, 64)
    pruning = PruningCallback(lambda step: 0.5, granularity="unit", distribution="uniform")
    model.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=[pruning])
    pruning.strip()
    small = shrink(model, observations=x)
    assert small.widths == {"a": (16, 8), "b": (12, 6)}
    # Their biases are masked, too, so that they put out zero.
    assert small.exact
    assert small.parameters_after == 7 * 8 + 9 * 6 + 7


def test_a_channel_scaled_by_zero_is_its_shift():
    model = chain(
        tf.keras.Input((5, 5, 1)),
        L.Conv2D(3, 2, name="a"),
        L.BatchNormalization(name="n"),
        L.ReLU(),
        L.Conv2D(2, 2, name="b"),
        L.Flatten(),
        L.Dense(2, name="out"),
    )
    gamma, beta, *rest = model.get_layer("n").get_weights()
    gamma[1], beta[1] = 0, 0.75
    model.get_layer("n").set_weights([gamma, beta, *rest])
    kernel, bias = model.get_layer("b").get_weights()
    small = shrink(model)
    assert {k: list(v) for k, v in small.removed.items()} == {"a": [1]}
    np.testing.assert_allclose(
        small.model.get_layer("b").get_weights()[1],
        bias + 0.75 * kernel[:, :, 1].sum(axis=(0, 1)),
        rtol=1e-5,
    )


def test_a_factor_of_zero_makes_a_product_dead():
    inputs = tf.keras.Input((3,))
    parts = [L.Dense(4, "tanh", name="a")(inputs), L.Dense(4, "sigmoid", name="b")(inputs)]
    out = L.Dense(2, name="out")(L.Multiply()(parts))
    model = randomized(tf.keras.Model(inputs, out))
    kernel, bias = model.get_layer("a").get_weights()
    kernel[:, 3], bias[3] = 0, 0
    model.get_layer("a").set_weights([kernel, bias])
    assert shrink(model).widths == {"a": (4, 3), "b": (4, 3)}


def test_one_unit_of_a_layer_that_nothing_needs_stays():
    model = mlp(sizes=(4, 3, 2)).model
    layer = model.get_layer("outputs")
    layer.set_weights([np.zeros((2, 3)), layer.get_weights()[1]])
    small = shrink(model)
    assert small.widths == {"hidden_0": (3, 1), "hidden_1": (2, 1)}
    assert "hidden_1: nothing that changes comes of it; one unit stays." in small.messages


def test_layers_that_are_constant_altogether_leave_one_unit_that_nobody_reads():
    # Beside padding, b's constants differ from place to place: only the last bias can hold them.
    model = chain(
        tf.keras.Input((4, 4, 1)),
        L.Conv2D(3, 3, activation="sigmoid", name="a"),
        L.Conv2D(2, 2, padding="same", activation="tanh", name="b"),
        L.Flatten(),
        L.Dense(2, name="out"),
    )
    kernel, bias = model.get_layer("a").get_weights()
    model.get_layer("a").set_weights([np.zeros_like(kernel), bias])
    small = shrink(model)
    assert small.widths == {"a": (3, 1), "b": (2, 1)}
    assert not small.model.get_layer("out").get_weights()[0].any()
    batch = batch_of(model)
    np.testing.assert_allclose(small.model(batch), model(batch), atol=1e-5)


def test_features_that_no_unit_reads_are_reported():
    policy = from_agent(ppo())  # with a normaliser
    layer = policy.model.layers[2]
    kernel, bias = layer.get_weights()
    kernel[2] = 0
    layer.set_weights([kernel, bias])
    assert {k: list(v) for k, v in unused_inputs(policy.model).items()} == {"observation": [2]}
    kernel[0, 1:] = 0
    layer.set_weights([kernel, bias])
    small = shrink(policy.model, {layer.name: [0]})
    assert {k: list(v) for k, v in small.unused_inputs.items()} == {"observation": [0, 2]}


def test_a_constant_that_only_a_dead_unit_reads_makes_no_bias():
    model = chain(
        tf.keras.Input((3,)),
        L.Dense(2, "sigmoid", name="a"),
        L.Dense(3, use_bias=False, name="b"),
        L.Dense(2, name="out"),
    )
    kernel, bias = model.get_layer("a").get_weights()
    kernel[:, 0] = 0
    model.get_layer("a").set_weights([kernel, bias])
    (into_b,) = model.get_layer("b").get_weights()
    into_b[0, :2] = 0
    model.get_layer("b").set_weights([into_b])
    last, bias = model.get_layer("out").get_weights()
    last[2] = 0
    model.get_layer("out").set_weights([last, bias])
    small = shrink(model)
    assert small.widths == {"a": (2, 1), "b": (3, 2)}
    assert small.model.get_layer("b").bias is None
    assert small.exact


def test_a_state_that_begins_elsewhere_than_at_zero_is_no_constant():
    # It halves at every step from 0.5, so that it depends on how long the sequence is.
    inputs = [tf.keras.Input((None, 3)), tf.keras.Input((2,))]
    state = L.Dense(3, "sigmoid", name="start")(inputs[1])
    hidden = L.GRU(3, name="r")(inputs[0], initial_state=state)
    model = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(hidden)))
    for name in ("start", "r"):
        layer = model.get_layer(name)
        weights = layer.get_weights()
        for weight in weights:
            weight[..., ::3] = 0
        if name == "r":
            weights[1][0] = 0  # no other unit reads it
        layer.set_weights(weights)
    assert shrink(model).widths == {}
