"""Every form of a layer gives what NumPy gives: dense, block-sparse, unrolled and dot products."""

import numpy as np
import pytest
from c_programs import STRICT, constant, run
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdrlprune.deployment.c_source.kernels import Form, Kernel, choose, dotted

PLAIN = (*STRICT, "-DPOLICY_PLAIN_C")
CONV = {
    **dict.fromkeys(("strideH", "strideW", "dilationHFactor", "dilationWFactor"), 1),
    "padding": 1,
}


def weights(outputs, inputs, block=1, density=1.0, seed=0):
    """Returns [outputs, inputs] float32 in which blocks of outputs are zero together."""
    generator = np.random.default_rng(seed)
    tiles = -(-outputs // block)
    kept = generator.random((tiles, inputs)) < density
    values = generator.normal(size=(outputs, inputs)) + np.sign(generator.normal())
    return (values * np.repeat(kept, block, axis=0)[:outputs]).astype(np.float32)


def kernel_of(matrix):
    return Kernel(matrix.T, None, np.zeros(len(matrix), np.float32))


def dense(matrix, x, bias=None, **more):
    inputs = [x, constant(matrix), None if bias is None else constant(bias)]
    return run("FULLY_CONNECTED", inputs, (1, len(matrix)), **more)


def rounded(matrix):
    """Returns int8 weights and the scale of each output."""
    scale = np.maximum(np.abs(matrix).max(axis=1), 1e-6) / 127
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale.astype(np.float32)


@settings(max_examples=20)
@given(
    outputs=st.sampled_from([1, 2, 3, 6, 8, 9, 15, 16, 17, 20, 31, 48, 64, 80, 129]),
    inputs=st.sampled_from([1, 3, 4, 17, 31, 32, 33, 64, 67, 130]),
    block=st.sampled_from([1, 4, 8, 16]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    whole=st.booleans(),
    flags=st.sampled_from([STRICT, PLAIN]),
)
def test_any_layer_is_its_matrix(outputs, inputs, block, density, whole, flags):
    generator = np.random.default_rng(1)
    matrix = weights(outputs, inputs, block, density)
    x = generator.normal(size=(1, inputs)).astype(np.float32)
    bias = generator.normal(size=outputs).astype(np.float32)
    tensor = constant(matrix)
    if whole:
        matrix, scale = rounded(matrix)
        tensor, matrix = constant(matrix, scale), matrix * scale[:, None].astype(np.float64)
    made, (form,) = run(
        "FULLY_CONNECTED", [x, tensor, constant(bias)], (1, outputs), activation="RELU", flags=flags
    )
    wanted = np.maximum(x.astype(np.float64) @ matrix.T.astype(np.float64) + bias, 0)
    np.testing.assert_allclose(made, wanted, atol=2e-5)
    assert form.dtype == ("int8" if whole else "float32")
    assert form.total == outputs * inputs


@settings(max_examples=12)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    channels=st.sampled_from([1, 3, 4]),
    outputs=st.sampled_from([1, 5, 16, 33]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    same=st.booleans(),
    density=st.sampled_from([0.05, 1.0]),
    whole=st.booleans(),
)
def test_any_convolution_is_its_sums(
    size, channels, outputs, stride, dilation, same, density, whole
):
    generator = np.random.default_rng(2)
    x = generator.normal(size=(1, 7, 9, channels)).astype(np.float32)
    matrix = weights(outputs, size[0] * size[1] * channels, 16, density)
    tensor = constant(matrix.reshape(outputs, *size, channels))
    if whole:
        matrix, scale = rounded(matrix)
        tensor = constant(matrix.reshape(outputs, *size, channels), scale)
        matrix = matrix * scale[:, None].astype(np.float64)
    wanted = convolved(x[0], matrix.reshape(outputs, *size, channels), stride, dilation, same)
    options = CONV | {"strideH": stride, "strideW": stride, "padding": 0 if same else 1}
    options |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
    made, _ = run("CONV_2D", [x, tensor, None], (1, *wanted.shape), options)
    np.testing.assert_allclose(made[0], wanted, atol=3e-5)


def convolved(x, kernel, stride, dilation, same):
    """Returns a convolution pixel by pixel, padded as TensorFlow pads."""
    reach = [(n - 1) * dilation + 1 for n in kernel.shape[1:3]]
    if same:
        points = [-(-n // stride) for n in x.shape[:2]]
        missing = [
            max(0, (p - 1) * stride + r - n)
            for p, r, n in zip(points, reach, x.shape[:2], strict=True)
        ]
        x = np.pad(x, [(m // 2, m - m // 2) for m in missing] + [(0, 0)])
    points = [(n - r) // stride + 1 for n, r in zip(x.shape[:2], reach, strict=True)]
    out = np.zeros((*points, len(kernel)))
    for row in range(points[0]):
        for column in range(points[1]):
            top, left = row * stride, column * stride
            part = x[top : top + reach[0] : dilation, left : left + reach[1] : dilation]
            out[row, column] = np.tensordot(kernel.astype(np.float64), part, 3)
    return out


def test_the_form_follows_size_and_sparsity():
    full, sparse, few = weights(256, 256), weights(256, 256, 16, 0.1), weights(64, 64, 16, 0.1)
    assert choose(kernel_of(full), repeated=False) == Form("dense", 16)
    assert choose(kernel_of(sparse), repeated=False) == Form("block-sparse", 16)
    assert choose(kernel_of(few), repeated=False) == Form("unrolled", 16)
    assert choose(kernel_of(few), repeated=True) == Form("block-sparse", 16)


def test_blocks_are_found_in_the_width_that_they_were_pruned_in():
    for block in (4, 8, 16):
        matrix = weights(256, 256, block, 0.1, seed=block)
        assert choose(kernel_of(matrix), repeated=False) == Form("block-sparse", block)


def test_single_zeros_do_not_make_a_layer_sparse():
    matrix = weights(256, 256, 1, 0.3)
    assert choose(kernel_of(matrix), repeated=False).kind == "dense"


def test_narrow_ends_are_dot_products_of_long_layers_only():
    assert dotted(kernel_of(weights(17, 64)), 16) == 1
    assert dotted(kernel_of(weights(6, 64)), 16) == 6
    assert dotted(kernel_of(weights(6, 8)), 16) == 0
    assert dotted(kernel_of(weights(28, 64)), 16) == 0


def test_a_sparse_layer_stores_no_zero_blocks():
    matrix = weights(256, 256, 16, 0.1)
    _, (form,) = dense(matrix, np.ones((1, 256)))
    blocks = int((matrix.reshape(16, 16, 256) != 0).any(axis=1).sum())
    assert form.form == "block-sparse"
    # Each of the sixteen tiles is filled up to a multiple of four.
    assert blocks * 16 <= form.weights <= (blocks + 16 * 3) * 16


def test_nan_in_an_input_reaches_only_the_outputs_that_depend_on_it():
    matrix = np.zeros((32, 64), np.float32)
    matrix[:16, :5], matrix[16:, 7:] = 1.0, 1.0
    x = np.ones((1, 64), np.float32)
    x[0, 3] = np.nan
    made, _ = dense(matrix, x)
    assert np.isnan(made[0, :16]).all()
    np.testing.assert_array_equal(made[0, 16:], 57)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_dense_layer_on_several_rows_takes_them_one_by_one(rows):
    matrix, x = weights(20, 12), np.random.default_rng(3).normal(size=(1, rows, 12))
    made, _ = run("FULLY_CONNECTED", [x, constant(matrix), None], (1, rows, 20))
    np.testing.assert_allclose(made, x @ matrix.T, atol=1e-5)
