"""What a model file is said to hold is what was put into it."""

import numpy as np
import pytest
from builders import mlp

from tfdrlprune.deployment import model_file
from tfdrlprune.deployment.exporter import export


def half_empty():
    policy = mlp()
    layer = policy.model.get_layer("hidden_1")
    kernel, bias = layer.get_weights()
    kernel[:8] = 0
    bias[:2] = 0
    layer.set_weights([kernel, bias])
    return policy


def test_layers_are_counted_one_by_one(tmp_path):
    export(half_empty(), tmp_path / "a")
    found = model_file.operations((tmp_path / "a" / "policy.tflite").read_bytes())
    assert [op.kind for op in found] == ["FULLY_CONNECTED"] * 3 + ["ARG_MAX"]
    rows = [
        [op.layer, op.kernel.shape, op.kernel.size + op.bias.size, int((op.kernel == 0).sum())]
        for op in found
        if op.kernel is not None
    ]
    assert rows == [
        ["hidden_0", (16, 4), 80, 0],
        ["hidden_1", (8, 16), 136, 64],
        ["outputs", (3, 8), 27, 0],
    ]
    assert model_file.parameter_counts(found) == (80 + 136 + 27, 80 + 136 + 27 - 64 - 2)


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_kernels_are_read_back_with_their_scales(tmp_path, precision):
    policy = mlp(sizes=(4, 32, 32))
    batch = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    export(policy, tmp_path / "a", precision=precision, observations=batch)
    found = model_file.operations((tmp_path / "a" / "policy.tflite").read_bytes())
    kernels = {op.layer: op for op in found if op.kernel is not None}
    wanted = policy.model.get_layer("hidden_1").get_weights()[0].T
    step = {"float32": 0.0, "float16": 1e-3}.get(precision, np.abs(wanted).max() / 127)
    np.testing.assert_allclose(kernels["hidden_1"].kernel_values, wanted, atol=step)
    dtype = {"float32": "float32", "float16": "float16"}.get(precision, "int8")
    assert kernels["hidden_1"].kernel.dtype == dtype


def test_what_is_no_model_file_says_so():
    with pytest.raises(ValueError, match="no TFLite model"):
        model_file.operations(b"0123456789")
    with pytest.raises(ValueError, match="no TFLite model that can be read"):
        model_file.operations(b"\x1c\0\0\0TFL3" + bytes(2_000))
