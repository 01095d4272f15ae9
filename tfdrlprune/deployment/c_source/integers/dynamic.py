"""Layers of a dynamic file in integers: floats become bytes on the fly, as LiteRT does it too.

The range of bytes is that of a layer's inputs at that moment, and of 0. Sums are exact, so what is
lost is half a step of that range for each input; and outputs, as floats, need no range at all.
"""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source.elementwise import activated, activation
from tfdrlprune.deployment.c_source.integers.forms import Writer
from tfdrlprune.deployment.c_source.integers.layer import Layer, choose
from tfdrlprune.deployment.c_source.matrices import layer_name
from tfdrlprune.deployment.c_source.program import Place, Program
from tfdrlprune.deployment.c_source.sums import Window
from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.specs import Array

_PARAMETERS = "const uint8_t *restrict x, float *restrict y, float step, int32_t zero"


def takes(graph: Graph, node: Node) -> bool:
    """Tells whether a dense layer has int8 weights, floats around them, and one row.

    Convolutions of dynamic files LiteRT computes otherwise; in C they keep their float sums.
    """
    if node.kind != "FULLY_CONNECTED":
        return False
    given, weights, out = (graph.tensors[i] for i in (*node.inputs[:2], node.output))
    floats = given.dtype == out.dtype == "float32" and activated(node.activation, "x") is not None
    if weights.stored is None or weights.stored.dtype != np.int8 or not floats:
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else -1
    known = bias < 0 or graph.tensors[bias].value is not None
    return known and int(np.prod(given.shape)) == weights.shape[1]


def write(program: Program, node: Node) -> None:
    """Writes FULLY_CONNECTED."""
    graph = program.graph
    weights = graph.tensors[node.inputs[1]].stored
    assert weights is not None  # `takes` has looked
    source, size = program.place(node.inputs[0]), program.size(node.inputs[0])
    out = program.new(node.output)
    layer = _layer(graph, node, weights.T, Window(1, size, 0))
    writer = Writer(program.whole, layer)
    form = choose(layer)
    lines = writer.lines(form)
    lines += activation(Place("y"), program.size(node.output), node.activation)
    found = writer.described(layer_name(program, node), form)
    name = program.function(found, lines, _PARAMETERS)
    given = program.whole.scratch(size)
    program.helpers.update(("rounded", "to_bytes"))
    call = [
        "{",
        "    int32_t zero;",
        f"    const float step = to_bytes({given}, {source}, {size}, &zero);",
        f"    {name}({given}, {out}, step, zero);",
        "}",
    ]
    program.step(call, source, given, out)


def _layer(graph: Graph, node: Node, weights: Array, window: Window) -> Layer:
    kernel, outputs = graph.tensors[node.inputs[1]], weights.shape[1]
    has_bias = len(node.inputs) > 2 and node.inputs[2] >= 0
    bias = graph.tensors[node.inputs[2]].value if has_bias else None
    bias = np.zeros(outputs) if bias is None else bias.ravel()
    scale = np.broadcast_to(np.ravel(np.asarray(kernel.scale, np.float32)), outputs)
    return Layer(weights, bias.astype(np.float32), scale, None, window)
