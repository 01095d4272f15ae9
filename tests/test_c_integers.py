"""The C of int8 files is computed in integers, and gives what LiteRT gives to the last bit."""

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp
from c_programs import STRICT, constant, int8, run_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from test_c_export import (
    BOTH,
    SANITIZED,
    branched_policy,
    image_policy,
    lstm_policy,
    policy_of,
    self_tested,
)
from test_c_forms import convolved

from tfdrlprune import runtime
from tfdrlprune.deployment.c_source.integers.layer import Form, Layer, choose, quads, together
from tfdrlprune.deployment.c_source.integers.scales import Rounding
from tfdrlprune.deployment.c_source.sums import Window
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_graph import Graph, Node, Tensor
from tfdrlprune.policies.drawing import draw
from tfdrlprune.specs import pack_like

L = tf.keras.layers
PLAIN = (*STRICT, "-DPOLICY_PLAIN_C")
NATIVE = (*STRICT, "-march=native")
CONV = {
    **dict.fromkeys(("strideH", "strideW", "dilationHFactor", "dilationWFactor"), 1),
    "padding": 1,
}


def stored(outputs, inputs, block=1, density=1.0):
    """Returns int8 [outputs, inputs] in which blocks of outputs are zero together."""
    generator = np.random.default_rng(0)
    kept = generator.random((-(-outputs // block), inputs)) < density
    values = generator.integers(-127, 128, (outputs, inputs))
    return (values * np.repeat(kept, block, axis=0)[:outputs]).astype(np.int8)


def between(kind, x, others, out, options=None, activation="NONE", flags=STRICT):
    """Returns what an int8 operation makes of a float array, quantized before and after it.

    Args:
        kind: of the operation.
        x: its input, and the int8 tensor that it becomes.
        others: further inputs; constants.
        out: the int8 tensor that comes out.
        options, activation: of the operation.
        flags: of the compiler.
    """
    values, tensor = x
    tensors = [Tensor("x0", "float32", values.shape), tensor, *others, out]
    tensors.append(Tensor("y", "float32", out.shape))
    last = len(tensors) - 1
    inputs = tuple(range(1, last - 1))
    nodes = (
        Node("QUANTIZE", (0,), (1,), "NONE", {}),
        Node(kind, inputs, (last - 1,), activation, options or {}),
        Node("DEQUANTIZE", (last - 1,), (last,), "NONE", {}),
    )
    graph = Graph(tuple(tensors), nodes, {}, {})
    return run_graph(graph, [(0, values)], last, flags)


def rounded(values, tensor):
    """Returns int8 numbers of float32 ones in steps of a tensor, halves to the even one."""
    values = np.rint(np.asarray(values, np.float32)) + tensor.zero
    return np.clip(values, -128, 127).astype(np.int64)


@settings(max_examples=20)
@given(
    outputs=st.sampled_from([1, 3, 8, 9, 16, 20, 64, 65, 81, 144]),
    inputs=st.sampled_from([1, 3, 4, 6, 17, 64, 67, 130]),
    block=st.sampled_from([1, 16]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    relu=st.booleans(),
    flags=st.sampled_from([STRICT, PLAIN, NATIVE, (*STRICT, "-fsanitize=undefined")]),
)
def test_any_layer_is_its_matrix_in_integers(outputs, inputs, block, density, relu, flags):
    generator = np.random.default_rng(1)
    weights = stored(outputs, inputs, block, density)
    steps = generator.uniform(0.001, 0.01, outputs).astype(np.float32)
    bias = generator.integers(-3000, 3000, outputs).astype(np.int32)
    given_, out = int8((1, inputs), 0.05, -7), int8((1, outputs), 0.2, 11)
    x = generator.normal(size=(1, inputs)).astype(np.float32) * 2
    others = [constant(weights, steps), Tensor("b", "int32", bias.shape, value=bias, stored=bias)]
    activation = "RELU" if relu else "NONE"
    made, (form,) = between(
        "FULLY_CONNECTED", (x, given_), others, out, activation=activation, flags=flags
    )
    whole = rounded(x * (np.float32(1) / np.float32(0.05)), given_) + 7
    sums = whole @ weights.T.astype(np.int64) + bias
    scale = np.float32(0.05) * steps / np.float32(0.2)
    wanted = rounded(sums.astype(np.float32) * scale, out)
    wanted = np.maximum(wanted, 11) if relu else wanted
    np.testing.assert_array_equal(made, ((wanted - 11) * np.float32(0.2)).astype(np.float32))
    assert (form.dtype, form.sums) == ("int8", "int32")


@settings(max_examples=12)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    channels=st.sampled_from([1, 3, 4]),
    outputs=st.sampled_from([1, 5, 33, 124]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    same=st.booleans(),
    density=st.sampled_from([0.05, 1.0]),
)
def test_any_convolution_is_its_sums_in_integers(
    size, channels, outputs, stride, dilation, same, density
):
    generator = np.random.default_rng(2)
    x = generator.normal(size=(1, 7, 9, channels)).astype(np.float32)
    matrix = stored(outputs, size[0] * size[1] * channels, 16, density)
    kernel = matrix.reshape(outputs, *size, channels)
    steps = np.full(outputs, 0.01, np.float32)
    given_ = int8(x.shape, 0.05, 9)
    whole = rounded(x * (np.float32(1) / np.float32(0.05)), given_) - 9
    sums = convolved(whole[0].astype(np.float64), kernel, stride, dilation, same)
    out = int8((1, *sums.shape), 0.25, -3)
    options = CONV | {"strideH": stride, "strideW": stride, "padding": 0 if same else 1}
    options |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
    made, _ = between("CONV_2D", (x, given_), [constant(kernel, steps)], out, options)
    scale = np.float32(0.05) * steps / np.float32(0.25)
    wanted = rounded(sums.astype(np.float32) * scale, out) + 3
    np.testing.assert_array_equal(made[0], (wanted * np.float32(0.25)).astype(np.float32))


def test_an_operation_without_integers_is_computed_in_floats_and_rounded():
    x = np.float32([[0.3, -1.0, 2.0]])
    given_, out = int8((1, 3), 0.02, 5), int8((1, 3), 1 / 256, -128)
    made, _ = between("SOFTMAX", (x, given_), [], out, {"beta": 1.0})
    seen = np.rint(x / 0.02) * 0.02
    wanted = np.exp(seen) / np.exp(seen).sum()
    np.testing.assert_array_equal(made, np.rint(wanted * 256) / 256)


def layer_of(weights, window=None):
    outputs = len(weights)
    window = window or Window(1, weights.shape[1], 0)
    zeros = np.zeros(outputs)
    return Layer(weights.T, zeros.astype(np.int32), zeros, Rounding(-128, 127, 128), window)


def test_the_form_follows_size_and_sparsity():
    full, sparse = stored(256, 256), stored(256, 256, 16, 0.1)
    assert choose(layer_of(full)) == Form("dense", True)
    assert choose(layer_of(sparse)) == Form("block-sparse", False)
    assert choose(layer_of(stored(64, 64, 16, 0.1))) == Form("unrolled", False)
    assert choose(layer_of(stored(256, 256, 1, 0.3))).kind == "dense"
    # Four inputs by sixteen outputs: their inputs lie behind each other.
    blocks = np.repeat(stored(256, 64, 16, 0.1) != 0, 4, axis=1).astype(np.int8)
    assert choose(layer_of(blocks)) == Form("block-sparse", True)


def test_a_sparse_layer_stores_its_blocks_in_fours():
    weights = np.zeros((32, 64), np.int8)
    weights[:16, [3, 9, 20, 21, 50]] = 1
    found = quads(layer_of(weights), runs=False)
    assert [len(part) for part in found.values] == [2, 0]
    assert found.offsets[0].tolist() == [[3, 9, 20, 21], [50, 0, 0, 0]]
    assert found.values[0][1, 0].tolist() == [1, 0, 0, 0]
    in_runs = quads(layer_of(weights), runs=True)
    assert in_runs.offsets[0].ravel().tolist() == [0, 8, 20, 48]
    wanted = [[0, 0, 0, 1], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert in_runs.values[0][:, 5].tolist() == wanted


def test_tiles_side_by_side_are_as_long_as_the_longest():
    weights = np.zeros((32, 64), np.int8)
    weights[:16, :12], weights[16:, 60:] = 1, 2
    values, offsets, starts = together(quads(layer_of(weights), runs=True), 2)
    assert values.shape == (3, 2, 16, 4)
    assert values[:, 1, 0].tolist() == [[2, 2, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert offsets[..., 0].tolist() == [[0, 60], [4, 0], [8, 0]]
    assert starts.tolist() == [0, 3]


def both(policy, folder, precision, count=2_000):
    """Exports a policy; returns its C, LiteRT's outputs and those of the C."""
    found = export(policy, folder, precision=precision, formats=BOTH)
    leaves = draw(policy.observation_spec, policy.normalizers, count, seed=5)
    batch = pack_like(policy.observation_spec, leaves)
    wanted = runtime.load(folder).outputs(batch)
    assert len(np.unique(wanted)) > 20
    return found.c, wanted, runtime.load(folder, backend="c").outputs(batch)


def test_an_int8_policy_in_c_is_litert_to_the_last_bit(tmp_path):
    found, wanted, made = both(mlp(sizes=(17, 80, 64)), tmp_path / "a", "int8", 10_000)
    np.testing.assert_array_equal(made, wanted)
    assert {layer.sums for layer in found.layers} == {"int32"}
    assert "computed in floats" not in (tmp_path / "a" / "policy.c").read_text()


def camera_policy():
    camera = tf.keras.Input((9, 8, 3), dtype="uint8", name="observation")
    x = L.Conv2D(40, 3, 2, padding="same", activation="relu")(L.Rescaling(1 / 255.0)(camera))
    x = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = L.AveragePooling2D(2)(L.Conv2D(20, 1, activation="relu6")(x))
    return policy_of(camera, L.Flatten()(x))


@pytest.mark.slow
@pytest.mark.parametrize("make", [image_policy, lstm_policy, branched_policy])
def test_networks_of_many_kinds_are_litert_to_the_last_bit(tmp_path, make):
    _, wanted, made = both(make(), tmp_path / "a", "int8")
    np.testing.assert_array_equal(made, wanted)
    assert "64 of 64" in self_tested(tmp_path / "a", *SANITIZED)


@pytest.mark.slow
def test_a_mean_in_floats_is_off_by_single_steps(tmp_path):
    # LiteRT rounds the mean of bytes away from zero, where it lies in the middle.
    _, wanted, made = both(camera_policy(), tmp_path / "a", "int8")
    step = np.diff(np.unique(wanted)).min()
    assert np.abs(made - wanted).max() < 2.5 * step
    assert np.mean(made == wanted) > 0.7


@pytest.mark.slow
def test_dynamic_layers_turn_floats_into_bytes_as_litert_does(tmp_path):
    found, wanted, made = both(mlp(sizes=(17, 80, 64)), tmp_path / "a", "dynamic")
    assert "int32" in {layer.sums for layer in found.layers}
    # An input in the middle of two bytes may become either.
    assert np.mean(np.abs(made - wanted) < 1e-5) > 0.999
    assert "64 of 64" in self_tested(tmp_path / "a", *SANITIZED)


@pytest.mark.parametrize("count", [3, 16, 37])
@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_bytes_made_on_the_fly_span_the_inputs_and_zero(count, shift):
    x = (np.random.default_rng(3).normal(size=(1, count)) + shift).astype(np.float32)
    weights = np.eye(count, dtype=np.int8)
    tensors = [Tensor("x", "float32", (1, count)), constant(weights, np.ones(count))]
    tensors.append(Tensor("y", "float32", (1, count)))
    node = Node("FULLY_CONNECTED", (0, 1), (2,), "NONE", {})
    made, (form,) = run_graph(Graph(tuple(tensors), (node,), {}, {}), [(0, x)], 2, PLAIN)
    assert form.sums == "int32"
    step = (max(0.0, x.max()) - min(0.0, x.min())) / 255
    np.testing.assert_allclose(made, x, atol=0.502 * step)
    np.testing.assert_allclose(made / step, np.rint(made / step), atol=1e-3)
