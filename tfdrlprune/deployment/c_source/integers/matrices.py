"""FULLY_CONNECTED, CONV_2D and DEPTHWISE_CONV_2D of an int8 file, in integers."""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source.integers.forms import Writer
from tfdrlprune.deployment.c_source.integers.layer import Layer, choose
from tfdrlprune.deployment.c_source.integers.scales import is_whole, rounding, step_of, zero_byte
from tfdrlprune.deployment.c_source.matrices import conv_window, layer_name, spread
from tfdrlprune.deployment.c_source.program import LayerForm, Place, Program, unsupported
from tfdrlprune.deployment.c_source.sums import Window
from tfdrlprune.deployment.c_source.texts import indented
from tfdrlprune.deployment.model_graph import Graph, Node, Tensor
from tfdrlprune.specs import Array


def takes(graph: Graph, node: Node) -> bool:
    """Tells whether a layer can be summed up in integers: int8 in, weights and out, a clamp."""
    weights, bias = graph.tensors[node.inputs[1]], _bias(graph, node)
    stored = weights.stored is not None and weights.stored.dtype == np.int8
    known = bias is None or (bias.stored is not None and bias.stored.dtype == np.int32)
    fits = stored and known and is_whole(graph, node.inputs[0]) and is_whole(graph, node.output)
    if node.kind == "CONV_2D":
        fits = fits and weights.shape[3] == graph.tensors[node.inputs[0]].shape[3]
    return fits and rounding(graph.tensors[node.output], node.activation) is not None


def fully_connected(program: Program, node: Node) -> None:
    """Writes FULLY_CONNECTED."""
    weights = _stored(program.graph, node).T
    rows = program.size(node.inputs[0]) // len(weights)
    window = Window(1, len(weights), 0, columns=rows, right=len(weights))
    _write(
        program, node, _layer(program.graph, node, weights, window), program.place(node.inputs[0])
    )


def convolution(program: Program, node: Node) -> None:
    """Writes CONV_2D; where it pads, its input is first copied into a border of zeros."""
    stored = _stored(program.graph, node)
    zero = zero_byte(program.graph.tensors[node.inputs[0]])
    source, shape = spread(program, node, stored.shape[1:3], zero)
    window = conv_window(program, node, shape)
    weights = stored.reshape(len(stored), -1).T
    _write(program, node, _layer(program.graph, node, weights, window), source)


def depthwise(program: Program, node: Node) -> None:
    """Writes DEPTHWISE_CONV_2D."""
    graph = program.graph
    weights = _stored(graph, node)
    _, height, width, outputs = weights.shape
    zero = zero_byte(graph.tensors[node.inputs[0]])
    source, shape = spread(program, node, (height, width), zero)
    out, options, channels = program.new(node.output), node.options, shape[3]
    layer = _layer(graph, node, weights.reshape(-1, outputs), Window(1, height * width, 0))
    names = [
        program.constant(name, values)
        for name, values in (("w", layer.weights), ("b", layer.bias), ("q", layer.scale))
    ]
    program.helpers.update(("rounded", "give"))
    program.local(4 * outputs)
    _, rows, columns, _ = program.shape(node.output)
    across = shape[2] * channels
    down, right = options["dilationHFactor"] * across, options["dilationWFactor"] * channels
    point = f"row * {options['strideH'] * across} + column * {options['strideW'] * channels}"
    x = "p[k]" if outputs == channels else f"p[k / {outputs // channels}]"
    body = [
        f"int32_t s[{outputs}];",
        f"const int8_t *w = {names[0]};",
        f"for (int k = 0; k < {outputs}; k++) {{",
        f"    s[k] = {names[1]}[k];",
        "}",
        f"for (int i = 0; i < {height}; i++) {{",
        f"    for (int j = 0; j < {width}; j++, w += {outputs}) {{",
        f"        const uint8_t *const p = {source} + {point} + i * {down} + j * {right};",
        f"        for (int k = 0; k < {outputs}; k++) {{",
        f"            s[k] += w[k] * {x};",
        "        }",
        "    }",
        "}",
        f"give({out} + (row * {columns} + column) * {outputs}, s, {names[2]}, {outputs}, "
        f"{layer.rounding});",
    ]
    lines = [
        f"for (int row = 0; row < {rows}; row++) {{",
        f"    for (int column = 0; column < {columns}; column++) {{",
        *indented(body, 2),
        "    }",
        "}",
    ]
    count, name = weights.size, layer_name(program, node)
    program.layers.append(LayerForm(name, "dense", 1, count, count, "int8", "int32"))
    program.step(lines, source, out)


def _stored(graph: Graph, node: Node) -> Array:
    stored = graph.tensors[node.inputs[1]].stored
    if stored is None:
        raise unsupported(graph, node, ", as its kernel is computed")
    return stored


def _bias(graph: Graph, node: Node) -> Tensor | None:
    left_out = len(node.inputs) < 3 or node.inputs[2] < 0
    return None if left_out else graph.tensors[node.inputs[2]]


def _layer(graph: Graph, node: Node, weights: Array, window: Window) -> Layer:
    """Returns a layer of weights [inputs, outputs]."""
    given, kernel, out = (graph.tensors[i] for i in (node.inputs[0], node.inputs[1], node.output))
    outputs = weights.shape[1]
    bias = _bias(graph, node)
    start = np.zeros(outputs) if bias is None or bias.stored is None else bias.stored.ravel()
    # In single precision and in this order, as XNNPACK does: else the last bit is another.
    steps = np.broadcast_to(np.ravel(np.asarray(kernel.scale, np.float32)), outputs)
    scale = step_of(given) * steps / step_of(out)
    rounded = rounding(out, node.activation)
    if rounded is None:
        raise unsupported(graph, node, f" with the activation {node.activation}")
    sums = start.astype(np.int64) - zero_byte(given) * weights.sum(axis=0, dtype=np.int64)
    return Layer(weights, sums.astype(np.int32), scale, rounded, window)


def _write(program: Program, node: Node, layer: Layer, source: Place) -> None:
    """Writes a layer as a function, in its fastest form."""
    out = program.new(node.output)
    form, writer = choose(layer), Writer(program, layer)
    lines = writer.lines(form)
    name = program.function(writer.described(layer_name(program, node), form), lines)
    program.step([f"{name}({source}, {out});"], source, out)
