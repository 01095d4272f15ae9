"""Layers that do nothing go, normalisations become weights, and the rest acts as before."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from keras_models import batch_of, chain, randomized

from tfdrlprune.structure.simplify import simplify

L = tf.keras.layers


def test_dropout_noise_and_linear_activations_go():
    model = chain(
        tf.keras.Input((3,)),
        L.GaussianNoise(1.0, name="noise"),
        L.Dense(4, "relu", name="a"),
        L.Dropout(0.5, name="drop"),
        L.Activation("linear", name="line"),
        L.Dense(2, name="out"),
    )
    simple = simplify(model)
    assert simple.gone == ("noise", "drop", "line")
    assert [layer.name for layer in simple.model.layers[1:]] == ["a", "out"]
    assert simple.deviation == 0
    np.testing.assert_array_equal(simple.model(batch_of(model)), model(batch_of(model)))


def test_a_layer_that_gives_an_output_stays():
    model = chain(tf.keras.Input((3,)), L.Dense(2, name="a"), L.Dropout(0.5, name="outputs"))
    assert simplify(model).gone == ()


def test_the_identity_goes_and_what_is_nearly_so_stays():
    model = chain(
        tf.keras.Input((4, 4, 3)),
        L.Conv2D(3, 1, name="same"),
        L.Conv2D(3, 1, strides=2, name="strided"),
        L.Flatten(),
        L.Dense(12, name="identity"),
        L.Dense(12, "relu", name="bent"),
        L.Dense(12, name="shifted"),
        L.Dense(2, name="out"),
    )
    for name in ("same", "strided", "identity", "bent", "shifted"):
        layer = model.get_layer(name)
        kernel, bias = layer.get_weights()
        eye = np.eye(kernel.shape[-1]).reshape(kernel.shape)
        layer.set_weights([eye, np.full(bias.shape, float(name == "shifted"))])
    simple = simplify(model)
    assert simple.gone == ("same", "identity")
    assert simple.parameters_before - simple.parameters_after == 12 + 12 * 12 + 12


@pytest.mark.parametrize(
    "layer",
    [
        L.Dense(3, name="a"),
        L.Conv2D(3, 2, use_bias=False, name="a"),
        L.DepthwiseConv2D(2, depth_multiplier=2, name="a"),
        L.SeparableConv2D(3, 2, depth_multiplier=2, name="a"),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("scale", [True, False])
def test_a_normalisation_becomes_weights_of_the_layer_before(layer, scale):
    layer = type(layer).from_config(layer.get_config())
    model = chain(
        tf.keras.Input((4, 4, 2)),
        layer,
        L.BatchNormalization(scale=scale, name="n"),
        L.ReLU(),
        L.Flatten(),
        L.Dense(2, name="out"),
    )
    simple = simplify(model)
    assert simple.folded == simple.gone == ("n",)
    batch = batch_of(model)
    np.testing.assert_allclose(simple.model(batch), model(batch), atol=1e-5)


def test_a_dense_layer_takes_a_normalisation_by_hand():
    model = chain(
        tf.keras.Input((1,)),
        L.Dense(1, name="a"),
        L.BatchNormalization(epsilon=0.0, name="n"),
        L.Dense(1, name="out"),
    )
    model.get_layer("a").set_weights([np.array([[3.0]]), np.array([1.0])])
    model.get_layer("n").set_weights([np.array([each]) for each in (2.0, 5.0, -1.0, 4.0)])
    # 2 * (3 x + 1 + 1) / 2 + 5 = 3 x + 7.
    kernel, bias = simplify(model).model.get_layer("a").get_weights()
    assert (kernel.item(), bias.item()) == (3.0, 7.0)


def test_a_normalisation_stays_where_no_weights_beside_it_can_stand_for_it():
    inputs = tf.keras.Input((3,))
    a = L.Dense(2, name="a")(inputs)
    bent = L.ReLU()(L.BatchNormalization(name="n")(a))
    parts = [a, bent]
    out = L.Dense(2, name="out")(L.Concatenate()(parts))
    assert simplify(randomized(tf.keras.Model(inputs, out))).gone == ()


def test_a_normalisation_behind_an_activation_goes_into_those_that_read_it():
    model = chain(
        tf.keras.Input((1,)),
        L.Dense(1, "relu", name="a"),
        L.BatchNormalization(epsilon=0.0, name="n"),
        L.Dense(1, name="out"),
    )
    model.get_layer("n").set_weights([np.array([each]) for each in (2.0, 5.0, -1.0, 4.0)])
    model.get_layer("out").set_weights([np.array([[3.0]]), np.array([1.0])])
    simple = simplify(model)
    assert simple.folded == ("n",)
    # 3 * (2 * (y + 1) / 2 + 5) + 1 = 3 y + 19.
    kernel, bias = simple.model.get_layer("out").get_weights()
    assert (kernel.item(), bias.item()) == (3.0, 19.0)


def test_a_block_whose_branch_is_zero_goes_whole():
    inputs = tf.keras.Input((3,))
    stem = L.Dense(4, "tanh", name="stem")(inputs)
    branch = L.Dense(4, name="b2")(L.Dense(6, "relu", name="b1")(stem))
    model = randomized(
        tf.keras.Model(inputs, L.Dense(2, name="out")(L.Add(name="sum")([branch, stem])))
    )
    assert simplify(model).gone == ()
    last = model.get_layer("b2")
    last.set_weights([np.zeros_like(weight) for weight in last.get_weights()])
    simple = simplify(model)
    assert simple.gone == ("b1", "b2", "sum")
    # 3-4-2: 16 + 10.
    assert simple.parameters_after == 26
    np.testing.assert_array_equal(simple.model(batch_of(model)), model(batch_of(model)))
