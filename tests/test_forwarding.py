"""Factors and shifts move on into the weights that read them, and say where they cannot."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from keras_models import randomized

from tfdrlprune.structure.folding import fold
from tfdrlprune.structure.forwarding import forwarded
from tfdrlprune.structure.gates import Gate
from tfdrlprune.structure.proof import prove
from tfdrlprune.structure.simplify import simplify

L = tf.keras.layers


def branches(merge, first, second):
    """Returns two tanh layers of two units, merged, each behind a gate with such numbers."""
    inputs = tf.keras.Input((3,))
    parts = [Gate(name=f"g_{name}")(L.Dense(2, "tanh", name=name)(inputs)) for name in ("a", "b")]
    model = randomized(tf.keras.Model(inputs, L.Dense(1, name="out")(merge(parts))))
    for name, values in zip("ab", (first, second), strict=True):
        model.get_layer(f"g_{name}").gate.assign(values)
    return model


@pytest.mark.parametrize(
    ("merge", "first", "second", "rows"),
    [
        (L.Concatenate, [2, 3], [4, 5], [2, 3, 4, 5]),
        (L.Add, [2, 3], [2, 3], [2, 3]),
        (L.Subtract, [2, 3], [2, 3], [2, 3]),
        (L.Average, [2, 3], [2, 3], [2, 3]),
        (L.Maximum, [2, 3], [2, 3], [2, 3]),
        (L.Multiply, [2, 3], [4, 5], [8, 15]),
    ],
)
def test_the_rows_that_read_are_scaled_by_hand(merge, first, second, rows):
    model = branches(merge(), first, second)
    found = fold(model)
    assert found.stayed == ()
    wanted = model.get_layer("out").kernel.numpy() * np.array(rows)[:, None]
    np.testing.assert_allclose(found.model.get_layer("out").kernel, wanted, rtol=1e-6)
    prove(model, found.model, None, 0)


@pytest.mark.parametrize("merge", [L.Add, L.Average, L.Minimum])
def test_different_factors_do_not_leave_a_sum(merge):
    model = branches(merge(), [2, 3], [2, 4])
    assert fold(model).stayed == ("g_a", "g_b")


def test_what_is_stuck_lets_the_others_go():
    inputs = tf.keras.Input((3,))
    stuck = L.Activation("sigmoid")(Gate(name="g1")(L.Dense(2, "tanh")(inputs)))
    free = Gate(name="g2")(L.Dense(2, "tanh")(inputs))
    model = randomized(tf.keras.Model(inputs, L.Dense(1)(L.Concatenate()([stuck, free]))))
    for name in ("g1", "g2"):
        model.get_layer(name).gate.assign([0.5, 2.0])
    found = fold(model)
    assert (found.gone, found.stayed) == (("g2",), ("g1",))


def test_a_gate_that_gives_an_output_stays():
    inputs = tf.keras.Input((3,))
    model = randomized(tf.keras.Model(inputs, Gate(name="g")(L.Dense(2, "tanh")(inputs))))
    model.get_layer("g").gate.assign([0.5, 2.0])
    assert fold(model).stayed == ("g",)


@pytest.mark.parametrize(
    ("reader", "goes"),
    [
        (lambda: [L.Conv2D(2, 2)], True),
        (lambda: [L.AveragePooling2D(2), L.Conv2D(2, 1)], True),
        (lambda: [L.Flatten()], True),
        # At a border of zeros the shift is missing.
        (lambda: [L.Conv2D(2, 2, padding="same")], False),
        (lambda: [L.ZeroPadding2D(1), L.Conv2D(2, 2)], False),
        # A bias has to be there.
        (lambda: [L.Conv2D(2, 2, use_bias=False)], False),
        (lambda: [L.ReLU(), L.Conv2D(2, 2)], False),
    ],
)
def test_a_normalisations_shift_moves_where_a_bias_can_take_it(reader, goes):
    inputs = tf.keras.Input((5, 5, 2))
    x = L.BatchNormalization(name="n")(L.Conv2D(3, 2, activation="tanh")(inputs))
    for layer in reader():
        x = layer(x)
    out = L.Dense(2, name="out")(L.Flatten()(x))
    model = randomized(tf.keras.Model(inputs, out))
    assert (simplify(model).folded == ("n",)) == goes


def test_a_layer_that_is_called_twice_reads_through_one_kernel_and_takes_nothing():
    inputs = tf.keras.Input((2,))
    gate, shared = Gate(name="g"), L.Dense(3, name="shared")
    both = L.Add()([shared(gate(L.Dense(2, "tanh")(inputs))), shared(inputs)])
    model = randomized(tf.keras.Model(inputs, L.Dense(1)(both)))
    model.get_layer("g").gate.assign([0.5, 2.0])
    assert fold(model).stayed == ("g",)


def test_those_that_cannot_go_are_taken_out_of_what_was_given():
    model = branches(L.Add(), [2, 3], [2, 4])
    affine = {name: (np.array([2.0, 3.0]), np.zeros(1)) for name in ("g_a",)}
    assert forwarded(model, affine) == {}
    assert affine == {}
