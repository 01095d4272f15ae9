"""Recurrent layers with gates in their cells, against cells written out in NumPy."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_models import batch_of, chain, randomized

import tfdrlprune as tp
from tfdrlprune.structure.callbacks import StructuralPruningCallback
from tfdrlprune.structure.folding import fold
from tfdrlprune.structure.gated_recurrence import (
    GatedGRU,
    GatedLSTM,
    GatedSimpleRNN,
    gates_of,
    is_gated_recurrence,
)
from tfdrlprune.structure.gates import Gate, LearntGate
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers
UNITS = 4
# A GRU that resets before the product has another sum, and another bias.
KINDS = {
    "lstm": (GatedLSTM, {}),
    "unrolled": (GatedLSTM, {"unroll": True}),
    "gru": (GatedGRU, {}),
    "reset_before": (GatedGRU, {"reset_after": False}),
    "simple": (GatedSimpleRNN, {}),
    "no_bias": (GatedLSTM, {"use_bias": False}),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def built(kind, gate=None, **more):
    """Returns a model of one gated layer over five steps of three numbers, all of them given."""
    cell, arguments = KINDS[kind]
    layer = cell(UNITS, gate=gate, return_sequences=True, name="memory", **arguments | more)
    inputs = tf.keras.Input((5, 3))
    model = tf.keras.Model(inputs, layer(inputs))
    generator = np.random.default_rng(1)
    for variable in layer.cell.weights:
        variable.assign(generator.normal(size=variable.shape) * 0.7)
    return model, layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(kind, weights, gate, sequence):
    """Returns what each unit puts out over a sequence, [time, units], by the cell's equations."""
    kernel, recurrent = (np.asarray(each, np.float64) for each in weights[:2])
    blocks = kernel.shape[1] // UNITS
    w, u = (np.split(each, blocks, axis=1) for each in (kernel, recurrent))
    bias = np.asarray(weights[2], np.float64) if len(weights) > 2 else np.zeros(kernel.shape[1])
    h, c, found = np.zeros(UNITS), np.zeros(UNITS), []
    for x in np.asarray(sequence, np.float64):
        if kind in ("lstm", "unrolled", "no_bias"):
            b = np.split(bias, 4)
            enter, forget, new, show = (x @ w[i] + h @ u[i] + b[i] for i in range(4))
            c = sigmoid(forget) * c + sigmoid(enter) * np.tanh(gate * new)
            h = sigmoid(show) * np.tanh(c)
        elif kind == "simple":
            h = np.tanh(gate * (x @ w[0] + h @ u[0] + bias))
        elif kind == "gru":
            given, own = np.split(bias[0], 3), np.split(bias[1], 3)
            keep, reset = (sigmoid(x @ w[i] + given[i] + h @ u[i] + own[i]) for i in range(2))
            new = x @ w[2] + given[2] + reset * (h @ u[2] + own[2])
            h = keep * h + (1 - keep) * np.tanh(gate * new)
        else:
            b = np.split(bias, 3)
            keep, reset = (sigmoid(x @ w[i] + h @ u[i] + b[i]) for i in range(2))
            h = keep * h + (1 - keep) * np.tanh(gate * (x @ w[2] + (reset * h) @ u[2] + b[2]))
        found.append(h)
    return np.array(found)


def test_two_units_step_by_step():
    layer = GatedSimpleRNN(2, activation="linear", return_sequences=True, use_bias=False)
    model = tf.keras.Model(inputs := tf.keras.Input((3, 1)), layer(inputs))
    # The first halves what it was and adds ten times the second, which counts the steps.
    layer.cell.set_weights([np.array([[1.0, 1.0]]), np.array([[0.5, 0.0], [10.0, 1.0]])])
    ones = np.ones((1, 3, 1), np.float32)
    assert model(ones).numpy().tolist() == [[[1, 1], [11.5, 2], [26.75, 3]]]
    layer.gate.set_open([True, False])
    assert model(ones).numpy().tolist() == [[[1, 0], [1.5, 0], [1.75, 0]]]
    layer.gate.gate.assign([2.0, 0.0])  # 2 * (1 + h / 2)
    assert model(ones).numpy().tolist() == [[[2, 0], [4, 0], [6, 0]]]


@each_kind
def test_a_gate_multiplies_the_candidates_sum(kind):
    model, layer = built(kind)
    gate = np.float32([0.0, 1.0, 0.3, 1.7])
    layer.gate.gate.assign(gate)
    batch = batch_of(model, 3)
    wanted = [by_hand(kind, layer.cell.get_weights(), gate, sequence) for sequence in batch]
    np.testing.assert_allclose(model(batch), wanted, atol=1e-6)
    np.testing.assert_allclose(model.predict(batch, verbose=0), wanted, atol=1e-6)  # as a graph


@each_kind
def test_open_gates_give_what_keras_gives_to_the_bit(kind):
    model, layer = built(kind)
    own, arguments = KINDS[kind]
    plain = own.plain(UNITS, return_sequences=True, **arguments)
    inputs = tf.keras.Input((5, 3))
    other = tf.keras.Model(inputs, plain(inputs))
    plain.set_weights(layer.cell.get_weights())
    batch = batch_of(model)
    np.testing.assert_array_equal(model(batch), other(batch))
    assert layer.cell.kernel is layer.cell.trainable_weights[0]  # as it was, after the call


@each_kind
def test_a_closed_unit_is_zero_at_all_steps_and_so_are_its_gradients_but_the_gates_own(kind):
    model, layer = built(kind, LearntGate())
    layer.gate.gate.assign([1.0, 0.0, 1.0, 1.0])
    batch = tf.constant(batch_of(model))
    reader = tf.Variable(np.ones((UNITS, 2), np.float32))
    with tf.GradientTape() as tape:
        outputs = model(batch)
        loss = tf.reduce_sum(tf.sin(outputs @ reader))
    np.testing.assert_array_equal(outputs[..., 1], np.zeros((20, 5)))
    gradients = tape.gradient(loss, [reader, layer.gate.gate, *layer.cell.trainable_weights])
    of_reader, of_gate, *of_cell = (each.numpy() for each in gradients)
    assert not of_reader[1].any()
    assert of_gate[1] != 0
    for each in of_cell:
        assert not each[..., 1::UNITS].any()
        assert each[..., 0::UNITS].any()
    assert not of_cell[1][1].any()


@each_kind
def test_any_number_of_a_gate_goes_into_the_cell(kind):
    model, layer = built(kind)
    layer.gate.gate.assign([0.0, 1.0, 0.3, 1.7])
    found = fold(model)
    plain = found.model.get_layer("memory")
    assert type(plain) is KINDS[kind][0].plain
    assert (found.gone, found.stayed, found.exact) == (("memory_gate",), (), False)
    batch = batch_of(model)
    np.testing.assert_array_equal(found.model(batch), model(batch))
    assert not plain.get_weights()[1][..., ::UNITS].all()


@each_kind
@pytest.mark.parametrize("gate", [Gate(name="g"), LearntGate("l0", 0.3, name="g")])
def test_a_file_brings_layer_and_gate_back(kind, gate, tmp_path):
    model, layer = built(kind, type(gate).from_config(gate.get_config()))
    layer.gate.set_open([True, False, True, True])
    model.save(tmp_path / "gated.keras")
    again = tf.keras.models.load_model(tmp_path / "gated.keras", compile=False)
    batch = batch_of(model)
    np.testing.assert_array_equal(again(batch), model(batch))
    theirs = again.get_layer("memory")
    assert type(theirs.gate) is type(gate)
    assert theirs.get_config() == layer.get_config()
    assert theirs.gate.is_open().tolist() == [True, False, True, True]


def test_an_activation_that_is_not_zero_at_zero_is_refused():
    with pytest.raises(ValueError, match=r"no unit of m: its activation sigmoid is 0\.5 at 0"):
        GatedSimpleRNN(2, activation="sigmoid", name="m")


def memories(cell=L.LSTM, penalty=None, units=8, shrinkage=1e-4):
    """Returns a gated model that reads ten steps of two numbers by two layers and answers one."""
    model = chain(
        tf.keras.Input((10, 2)),
        cell(units, return_sequences=True, name="first"),
        cell(units, name="second"),
        L.Dense(1, name="out"),
    )
    return gated(model, penalty, shrinkage=shrinkage).model


def sums(count=64):
    """Returns sequences, and the mean of their first numbers."""
    x = np.random.default_rng(0).normal(size=(count, 10, 2)).astype(np.float32)
    return x, x[:, :, :1].mean(axis=1)


SLOW = [pytest.param(cell, marks=pytest.mark.slow) for cell in (L.LSTM, L.GRU)]


@pytest.mark.parametrize("cell", [L.SimpleRNN, *SLOW])
def test_fixed_gates_close_in_a_fit_and_masks_hold_beside_them(cell):
    model = memories(cell)
    model.compile(tf.keras.optimizers.Adam(1e-2), "mse")
    gates = StructuralPruningCallback(tp.schedules.linear(0.5, 2, 8, frequency=2))
    masks = tp.PruningCallback(tp.schedules.one_shot(0.5, at=4))
    x, y = sums()
    history = model.fit(x, y, 16, epochs=3, verbose=0, callbacks=[gates, masks]).history
    assert history["unit_sparsity"][-1] == 0.5
    masks.strip()
    kernels = [w.numpy() for w in model.trainable_weights if "kernel" in w.name]
    assert sum((each == 0).sum() for each in kernels) == sum(each.size for each in kernels) // 2
    small = shrink(model)
    assert {name: after for name, (_, after) in small.widths.items()} == {"first": 4, "second": 4}
    assert small.exact
    assert history["parameter_sparsity"][-1] == pytest.approx(
        1 - small.parameters_after / (small.parameters_before - 2 * 8)
    )
    np.testing.assert_allclose(small.model(x), model(x), atol=1e-5)


@pytest.mark.slow
def test_trained_gates_close_units_in_a_fit_on_sequences_that_still_learns():
    tf.keras.utils.set_random_seed(0)
    model = memories(L.GRU, "l1", shrinkage=5e-3)
    model.compile(tf.keras.optimizers.Adam(1e-2), "mse")
    x, y = sums(256)
    before = model.evaluate(x, y, verbose=0)
    callback = StructuralPruningCallback(None, frequency=16, end_step=360)
    history = model.fit(x, y, 16, epochs=30, verbose=0, callbacks=[callback]).history
    assert history["unit_sparsity"][-1] > 0.3
    assert np.all(np.diff(history["unit_sparsity"]) >= 0)
    assert history["loss"][-1] < 0.1 * before
    small = shrink(model, observations=x)
    left = {name: int(history[f"open_units/{name}"][-1]) for name in ("first", "second")}
    assert {n: small.model.get_layer(n).units for n in left} == left
    np.testing.assert_allclose(small.model(x), model(x), atol=1e-5)


ACTIVATIONS = st.sampled_from(["tanh", "relu", "linear", "softsign"])


def recurrent_architecture(draw):
    """Returns a drawn model of one to three recurrent layers, side by side or in a row."""
    inputs = tf.keras.Input((5, 3))
    x = inputs
    for _ in range(draw(st.integers(1, 3))):
        cell = draw(st.sampled_from([L.LSTM, L.GRU, L.SimpleRNN]))
        own = {"reset_after": draw(st.booleans())} if cell is L.GRU else {}
        x = cell(
            draw(st.integers(1, 5)),
            activation=draw(ACTIVATIONS),
            use_bias=draw(st.booleans()),
            return_sequences=True,
            unroll=draw(st.booleans()),
            go_backwards=draw(st.booleans()),
            **own,
        )(x)
        x = L.BatchNormalization()(x) if draw(st.booleans()) else x
        if draw(st.booleans()):
            x = L.Concatenate()([x, inputs])
    last = draw(st.sampled_from([L.Flatten, L.GlobalAveragePooling1D]))
    return randomized(tf.keras.Model(inputs, L.Dense(2)(last()(x))), draw(st.integers(0, 99)))


@pytest.mark.slow
@given(data=st.data(), seed=st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_any_recurrent_model_shrinks_by_its_closed_gates(data, seed):
    model = recurrent_architecture(data.draw)
    closed = gated(model).model
    generator = np.random.default_rng(seed)
    gates = gates_of(closed)
    assert set(gates) == {f"{each.name}_gate" for each in model.layers if hasattr(each, "cell")}
    for gate in gates.values():
        gate.set_open(generator.integers(0, 2, gate.values().shape))
    batch = batch_of(model)
    outputs = tf.keras.Model(
        closed.inputs, [layer.output for layer in closed.layers if is_gated_recurrence(layer)]
    )(batch)
    for gate, each in zip(gates.values(), tf.nest.flatten(outputs), strict=True):
        assert not each.numpy()[..., gate.values() == 0].any()
    small = shrink(closed, observations=batch)
    for gate in gates.values():
        width = small.model.get_layer(gate.name.removesuffix("_gate")).units
        assert width <= max(1, np.count_nonzero(gate.values())) or small.kept
    np.testing.assert_allclose(small.model(batch), closed(batch), rtol=1e-4, atol=1e-4)
