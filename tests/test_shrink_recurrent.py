"""Units of recurrent layers, and what these read, go as those of others do, or stay."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from keras_models import chain, masked, randomized

from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
@pytest.mark.parametrize("sequences", [True, False])
def test_a_recurrent_unit_goes_from_every_gate(kind, gates, sequences):
    layer = getattr(L, kind)(4, return_sequences=sequences, name="r")
    model = chain(tf.keras.Input((None, 3)), layer, L.Dense(2, name="out"))
    small = shrink(model, {"r": [1]})
    assert small.widths == {"r": (4, 3)}
    assert small.exact
    batch, wanted = masked(model, "r", 1, gates)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)
    kernel = model.get_layer("r").get_weights()[0].reshape(3, gates, 4)
    np.testing.assert_array_equal(
        small.model.get_layer("r").get_weights()[0].reshape(3, gates, 3), kernel[..., [0, 2, 3]]
    )


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_constant_that_a_recurrent_layer_reads_moves_into_its_bias(kind):
    model = chain(
        tf.keras.Input((4, 3)),
        L.Dense(3, "sigmoid", name="a"),
        getattr(L, kind)(4, name="r"),
        L.Dense(2, name="out"),
    )
    small = shrink(model, {"a": [2]})
    assert small.widths == {"a": (3, 2)}
    batch, wanted = masked(model, "a", 2)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)


def test_a_recurrent_unit_that_is_not_still_when_closed_stays():
    # exp(0) is 1, and the state begins at 0.
    model = chain(
        tf.keras.Input((4, 3)), L.SimpleRNN(3, "sigmoid", name="r"), L.Dense(2, name="out")
    )
    small = shrink(model, {"r": [0]})
    assert small.widths == {}
    told = "r: unit 0 stays closed: what it puts out even so is not the same everywhere."
    assert told in small.messages
    assert {k: list(v) for k, v in small.kept.items()} == {"r": [0]}


def test_a_reshape_to_steps_gets_its_new_shape():
    model = chain(
        tf.keras.Input((3,)),
        L.Dense(6, name="a"),
        L.Reshape((2, 3)),
        L.LSTM(2, name="r"),
        L.Dense(2, name="out"),
    )
    small = shrink(model, {"a": [1]})
    assert small.widths == {"a": (6, 4)}
    assert small.model.layers[2].target_shape == (2, 2)


def test_an_encoder_and_a_decoder_share_units_through_the_state():
    inputs = tf.keras.Input((None, 3))
    encoded, *state = L.LSTM(4, return_state=True, name="encoder")(inputs)
    decoded = L.LSTM(4, name="decoder")(inputs, initial_state=state)
    out = L.Dense(2, name="out")(L.Concatenate()([encoded, decoded]))
    small = shrink(randomized(tf.keras.Model(inputs, out)), {"encoder": [2]})
    assert small.widths == {"encoder": (4, 3), "decoder": (4, 3)}


def test_a_state_that_is_an_input_keeps_its_units():
    inputs = [tf.keras.Input((None, 3)), tf.keras.Input((4,), name="state")]
    hidden, state = L.GRU(4, return_state=True, name="r")(inputs[0], initial_state=inputs[1])
    model = randomized(tf.keras.Model(inputs, [L.Dense(2, name="out")(hidden), state]))
    with pytest.raises(ValueError, match="Unit 0 of r cannot go: the model's input state holds"):
        shrink(model, {"r": [0]})
