"""Nested models and layers over time become plain layers that give the same."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
from keras_models import batch_of, chain, randomized

from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.inlining import inlined
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


def encoder():
    layers = [L.Conv2D(4, 3, activation="relu", name="c"), L.BatchNormalization(name="n")]
    return tf.keras.Sequential([tf.keras.Input((5, 5, 2)), *layers, L.Flatten()], name="encoder")


def siamese():
    """Returns a model that calls a model twice, and ends in another."""
    shared = encoder()
    inputs = [tf.keras.Input((5, 5, 2), name=name) for name in ("left", "right")]
    x = L.Concatenate()([shared(each) for each in inputs])
    head = tf.keras.Sequential(
        [tf.keras.Input((72,)), L.Dense(6, "tanh", name="h"), L.Dense(2)], name="outputs"
    )
    return randomized(tf.keras.Model(inputs, head(x)))


def test_a_model_of_plain_layers_is_itself():
    model = chain(tf.keras.Input((3,)), L.Dense(4), L.Dense(2))
    assert inlined(model) is model


def test_nested_layers_have_both_names_and_outputs_keep_theirs():
    model = inlined(siamese())
    names = {layer.name for layer in model.layers}
    assert {"encoder_c", "encoder_n", "outputs_h", "outputs"} <= names
    assert model.output_names == ["outputs"]
    assert model.input_names == ["left", "right"]


def test_weights_are_shared_between_calls_and_the_outputs_are_the_same():
    model = siamese()
    flat = inlined(model)
    assert flat.count_params() == model.count_params()
    batch = [np.random.default_rng(i).normal(size=(9, 5, 5, 2)) for i in range(2)]
    np.testing.assert_array_equal(flat(batch), model(batch))


def test_a_unit_of_a_nested_model_is_followed_out_of_it_and_goes():
    model = siamese()
    group = groups_of(model).group("encoder_c")
    assert {(a.role, a.layer, a.weight) for a in group.axes} == {
        ("makes", "encoder_c", "kernel"),
        ("makes", "encoder_c", "bias"),
        *(("follows", "encoder_n", name) for name in ("gamma", "beta")),
        *(("follows", "encoder_n", name) for name in ("moving_mean", "moving_variance")),
        ("reads", "outputs_h", "kernel"),
    }
    small = shrink(model, {"encoder_c": [0, 2], "outputs_h": [1]})
    assert small.widths == {"encoder_c": (4, 2), "outputs_h": (6, 5)}
    # 3 * 3 * 2 * 2 + 2, 4 * 2 of the normalisation, 36 * 5 + 5, 5 * 2 + 2.
    assert small.parameters_after == 38 + 8 + 185 + 12


def test_models_within_models_within_models_keep_the_last_name():
    inner = tf.keras.Sequential([tf.keras.Input((3,)), L.Dense(4, name="d")], name="inner")
    middle = tf.keras.Sequential([tf.keras.Input((3,)), inner], name="middle")
    inputs = tf.keras.Input((3,))
    model = randomized(tf.keras.Model(inputs, middle(inputs)))
    flat = inlined(model)
    assert [layer.name for layer in flat.layers[1:]] == ["middle"]
    np.testing.assert_array_equal(flat(batch_of(model)), model(batch_of(model)))


def test_what_is_applied_at_every_step_shrinks():
    model = chain(
        tf.keras.Input((4, 6, 6, 2)),
        L.TimeDistributed(L.Conv2D(5, 3, activation="relu"), name="c"),
        L.TimeDistributed(L.BatchNormalization(), name="b"),
        L.TimeDistributed(L.MaxPooling2D(2), name="p"),
        L.TimeDistributed(L.Flatten(), name="f"),
        L.TimeDistributed(L.Dense(7, "relu"), name="d"),
        L.LSTM(6, name="l"),
        L.Dense(2, name="out"),
    )
    flat = inlined(model)
    np.testing.assert_allclose(flat(batch_of(model)), model(batch_of(model)), atol=1e-6)
    small = shrink(model, {"c": [0, 2], "d": [1], "l": [3]})
    assert small.widths == {"c": (5, 3), "d": (7, 6), "l": (6, 5)}


def test_a_layer_over_time_that_is_not_known_is_named():
    model = chain(
        tf.keras.Input((4, 6, 2)),
        L.TimeDistributed(L.Dense(3), name="d"),
        L.TimeDistributed(L.LSTM(5), name="r"),
        L.Dense(2, name="out"),
    )
    message = groups_of(model).messages()[0]
    assert message == "d: 3 of 3 units stay: r reads them, and a TimeDistributed is not known here."
