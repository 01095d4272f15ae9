"""The graph in a file: what computes what, and what integers stand for."""

from __future__ import annotations

import numpy as np
import pytest
from dense_nets import made

from tfdrlprune.deployment import model_graph


def kinds(network):
    return [node.kind for node in network.graph.nodes]


def test_constants_that_are_only_widened_are_constants():
    _, network = made("relu", "float16")
    assert kinds(network)[:2] == ["FULLY_CONNECTED", "FULLY_CONNECTED"]
    kernel = network.graph.tensors[network.graph.nodes[0].inputs[1]]
    assert (kernel.dtype, kernel.shape) == ("float16", (16, 5))
    assert kernel.value.dtype == np.float64
    assert (kernel.value == kernel.value.astype(np.float16)).all()


def test_a_quantized_tensor_says_what_its_steps_and_ends_stand_for():
    _, network = made("linear", "int8")
    assert kinds(network) == ["QUANTIZE", "FULLY_CONNECTED", "DEQUANTIZE", "ARG_MAX"]
    tensor = network.graph.tensors[network.graph.nodes[1].output]
    assert tensor.dtype == "int8"
    assert tensor.high - tensor.low == pytest.approx(255 * tensor.step)
    assert tensor.low < 0 < tensor.high
    plain = network.graph.tensors[network.graph.outputs["outputs"]]
    assert (plain.step, plain.low, plain.high) == (None, -np.inf, np.inf)


def test_nodes_name_their_fused_activation_and_the_signature_its_tensors():
    _, network = made("relu", "float32")
    assert [node.activation for node in network.graph.nodes[:2]] == ["RELU", "NONE"]
    assert list(network.graph.inputs) == ["observation"]
    assert network.graph.makers[network.graph.outputs["outputs"]].kind == "FULLY_CONNECTED"


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="TFL3 is missing"):
        model_graph.read(b"no model at all")
    with pytest.raises(ValueError, match="can be read"):
        model_graph.read(b"\x10\0\0\0TFL3" + b"\xff" * 32)
