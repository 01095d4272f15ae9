"""Gates and quantization-aware training: with a config of their own, or folded before it."""

from __future__ import annotations

from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest
from keras_models import randomized

import tfdrlprune as tp
from tfdrlprune.structure.folding import fold
from tfdrlprune.structure.gates import is_gate
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.quantized_gates import annotated
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers
X = np.random.default_rng(0).normal(size=(128, 4)).astype(np.float32)
Y = np.stack([np.sin(X[:, 0]), X[:, 1]], axis=1).astype(np.float32)


def model():
    inputs = tf.keras.Input((4,))
    x = L.Dense(8, "relu", name="a")(inputs)
    x = L.Dense(6, "relu", name="b")(x)
    return randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(x)))


def test_a_folded_model_is_quantized_as_any_other():
    found = gated(model()).model
    found.get_layer("a_gate").set_open([True, False] * 4)
    small = shrink(found).model
    quantized = tfmot().quantization.keras.quantize_model(small)
    quantized.compile("adam", "mse")
    quantized.fit(X, Y, epochs=1, verbose=0)
    assert quantized.get_layer("quant_a").layer.units == 4
    assert not [layer for layer in fold(found).model.layers if is_gate(layer)]


@pytest.mark.parametrize("penalty", [None, "l1"])
def test_gates_stay_in_a_quantized_model_and_those_that_are_closed_stay_closed(penalty):
    found = gated(model(), penalty, shrinkage=0.01).model
    closed = [False, False, True, True, True, True, True, True]
    found.get_layer("a_gate").set_open(closed)
    quantized = tfmot().quantization.keras.quantize_apply(annotated(found))
    quantized.compile(tf.keras.optimizers.SGD(1e-3), "mse")
    before = quantized.get_layer("quant_a").layer.bias.numpy()
    quantized.fit(X, Y, 16, epochs=2, verbose=0)
    gate = quantized.get_layer("quant_a_gate").layer
    assert gate.is_open().tolist() == closed
    # 16 steps of 0.01 each, and what the loss adds.
    wanted = 1.0 if penalty is None else pytest.approx(0.84, abs=0.05)
    assert gate.values().tolist() == [0.0, 0.0, *[wanted] * 6]
    # Nothing comes of a closed unit, so nothing trains it.
    moved = quantized.get_layer("quant_a").layer.bias.numpy() != before
    assert moved.tolist() == closed


def test_without_a_config_tfmot_refuses_a_gate_so_the_config_is_what_helps():
    with pytest.raises(RuntimeError, match="not supported"):
        tfmot().quantization.keras.quantize_model(gated(model()).model)


@pytest.mark.parametrize("penalty", [None, "l1"])
def test_gates_masks_and_rounding_work_in_one_fit(penalty):
    found = gated(model(), penalty, shrinkage=0.01).model
    found.compile(tf.keras.optimizers.Adam(1e-3), "mse")
    gates = tp.StructuralPruningCallback(tp.schedules.one_shot(0.5, at=8))
    masks = tp.PruningCallback(tp.schedules.one_shot(0.5, at=8))
    rounding = tp.QuantizationCallback(8, data=(X, Y))
    fitted = found.fit(X, Y, 8, epochs=2, verbose=0, callbacks=[gates, masks, rounding])
    assert fitted.history["quantized"] == [1.0, 1.0]
    assert fitted.history["unit_sparsity"][-1] == 0.5
    masks.strip()
    kernels = [found.get_layer(name).kernel.numpy() for name in ("a", "b", "out")]
    assert sum((kernel == 0).sum() for kernel in kernels) == (32 + 48 + 12) // 2
    small = shrink(found).model
    assert [small.get_layer(name).units for name in ("a", "b")] == [4, 3]
    np.testing.assert_allclose(small(X), found(X), atol=1e-5)
