"""Gates multiply, close, come back, and are drawn to exactly zero by the proximal step."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from keras_models import batch_of, chain

from tfdrlprune.structure.gates import Gate, LearntGate

L = tf.keras.layers


def built(gate, channels=3):
    gate.build((None, channels))
    return gate


def test_a_gate_multiplies_each_channel_and_passes_no_gradient_where_it_is_closed():
    gate = built(Gate())
    gate.set_open([True, False, True])
    inputs = tf.constant([[1.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = gate(inputs)
    np.testing.assert_array_equal(outputs, [[1, 0, 3]])
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), [[1, 0, 1]])
    assert gate.is_open().tolist() == [True, False, True]
    assert gate.trainable_weights == []


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        ("l1", [1.0 - 0.02, 0.5 - 0.02, 0.0, 0.0]),
        # The threshold is sqrt(2 * 0.02) = 0.2.
        ("l0", [1.0, 0.5, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "legacy"])
def test_an_optimizer_step_is_followed_by_the_proximal_step(penalty, wanted, optimizer):
    gate = built(LearntGate(penalty, 0.02), 4)
    gate.gate.assign([1.0, 0.5, 0.01, -0.3])
    kinds = {"sgd": tf.keras.optimizers.SGD, "legacy": tf.keras.optimizers.legacy.SGD}
    kinds[optimizer](0.1).apply_gradients([(tf.zeros(4), gate.gate)])
    np.testing.assert_allclose(gate.values(), wanted, atol=1e-7)


def test_a_trained_gate_at_zero_comes_back_unless_it_was_closed_for_good():
    gate = built(LearntGate("l1", 0.01), 2)
    gate.set_open([True, False])
    gate.gate.assign([0.0, 0.0])
    # A step of 0.1 * 1 upwards, less the shrinkage.
    tf.keras.optimizers.SGD(0.1).apply_gradients([(tf.constant([-1.0, -1.0]), gate.gate)])
    np.testing.assert_allclose(gate.values(), [0.09, 0.0], atol=1e-7)


def test_a_trained_gate_that_opens_again_begins_at_one_and_the_others_stay():
    gate = built(LearntGate(), 3)
    gate.gate.assign([0.7, 0.2, 0.4])
    gate.set_open([True, False, True])
    np.testing.assert_allclose(gate.values(), [0.7, 0.0, 0.4], atol=1e-7)
    gate.set_open([True, True, True])
    np.testing.assert_allclose(gate.values(), [0.7, 1.0, 0.4], atol=1e-7)


def test_what_the_output_does_not_need_ends_at_exactly_zero():
    # The target is the first of two inputs; the loss alone would leave the second gate small.
    gate = LearntGate("l1", 2e-3, name="g")
    model = tf.keras.Sequential([tf.keras.Input((2,)), gate, L.Dense(1, name="out")])
    model.get_layer("out").set_weights([np.array([[1.0], [0.3]]), np.zeros(1)])
    model.compile(tf.keras.optimizers.SGD(0.05), "mse")
    x = np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32)
    model.fit(x, x[:, :1], epochs=100, verbose=0)
    assert gate.values()[1] == 0.0
    assert gate.values()[0] > 0.1


@pytest.mark.parametrize("gate", [Gate(name="g"), LearntGate("l0", 0.3, name="g")])
def test_a_file_brings_gates_back_as_they_were(gate, tmp_path):
    model = chain(tf.keras.Input((3,)), type(gate).from_config(gate.get_config()), L.Dense(2))
    model.get_layer("g").set_open([True, False, True])
    model.save(tmp_path / "gated.keras")
    again = tf.keras.models.load_model(tmp_path / "gated.keras", compile=False)
    batch = batch_of(model)
    np.testing.assert_array_equal(again(batch), model(batch))
    assert again.get_layer("g").get_config() == model.get_layer("g").get_config()
    assert again.get_layer("g").is_open().tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": "l3"}, r"penalty is one of 'l1', 'l0'. Received: penalty='l3'"),
        ({"shrinkage": 1.5}, r"in \[0, 1\); gates begin at 1. Received: shrinkage=1.5"),
        ({"shrinkage": "much"}, r"shrinkage is a number"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearntGate(**arguments)


def test_channels_of_unknown_number_are_refused():
    with pytest.raises(ValueError, match="whose size must be known"):
        Gate()(tf.keras.Input((None,)))
