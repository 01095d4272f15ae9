"""Layers that multiply by weights: FULLY_CONNECTED and CONV_2D.

Both are sums over inputs at fixed distances from a starting point: one point for a dense layer, one
for each pixel of a convolution. Sums of neighbouring outputs stand side by side in a vector, so
every weight is read once and in order, and no sum changes its order for the sake of speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from tfdrlprune.deployment.c_source.dense import dense
from tfdrlprune.deployment.c_source.dots import dots
from tfdrlprune.deployment.c_source.elementwise import activated, activation
from tfdrlprune.deployment.c_source.kernels import Form, Kernel, choose, dotted
from tfdrlprune.deployment.c_source.moves import ALIASES, surrounded
from tfdrlprune.deployment.c_source.program import LayerForm, Place, Program, unsupported
from tfdrlprune.deployment.c_source.sparse import block_sparse, unrolled
from tfdrlprune.deployment.c_source.sums import Sums, Window
from tfdrlprune.deployment.model_graph import Node
from tfdrlprune.specs import Array


def fully_connected(program: Program, node: Node) -> None:
    """Writes FULLY_CONNECTED."""
    kernel = _kernel(program, node, lambda stored: stored.T)
    rows = program.size(node.inputs[0]) // kernel.inputs
    zeros = _behind_relu(program, node.inputs[0])
    window = Window(1, kernel.inputs, 0, columns=rows, right=kernel.inputs, zeros=zeros)
    _layer(program, node, kernel, window, program.place(node.inputs[0]))


def _behind_relu(program: Program, index: int) -> bool:
    """Tells whether a tensor is what a relu gives, moved or not."""
    node = program.graph.makers.get(index)
    while node is not None and node.kind in (*ALIASES, "MAX_POOL_2D"):
        node = program.graph.makers.get(node.inputs[0])
    relus = ("RELU", "RELU6")
    return node is not None and (node.kind in relus or node.activation in relus)


def convolution(program: Program, node: Node) -> None:
    """Writes CONV_2D; where it pads, its input is first copied into a border of zeros."""
    kernel = _kernel(program, node, lambda stored: stored.reshape(len(stored), -1).T)
    source, shape = spread(program, node, program.shape(node.inputs[1])[1:3])
    if program.shape(node.inputs[1])[3] != shape[3]:
        raise unsupported(program.graph, node, " in groups of channels")
    _layer(program, node, kernel, conv_window(program, node, shape), source)


def conv_window(program: Program, node: Node, shape: Sequence[int]) -> Window:
    """Returns the window of CONV_2D on an input of this shape, its border included."""
    height, width, depth = program.shape(node.inputs[1])[1:]
    across = shape[2] * depth
    options = node.options
    at = None
    if options["dilationHFactor"] * options["dilationWFactor"] > 1:
        down = np.arange(height)[:, None, None] * options["dilationHFactor"] * across
        right = np.arange(width)[:, None] * options["dilationWFactor"] * depth
        at = (down + right + np.arange(depth)).ravel()
    _, rows, columns, _ = program.shape(node.output)
    return Window(
        height,
        width * depth,
        across,
        rows,
        columns,
        options["strideH"] * across,
        options["strideW"] * depth,
        at,
    )


def spread(
    program: Program, node: Node, size: Sequence[int], filler: float = 0.0
) -> tuple[Place, tuple[int, ...]]:
    """Returns the input of a window operation with the border that it asks for, and its shape."""
    shape, options = program.shape(node.inputs[0]), node.options
    source = program.place(node.inputs[0])
    if options["padding"] != 0:  # 0 is SAME, 1 VALID
        return source, shape
    wanted, before = list(shape), [0, 0, 0, 0]
    for axis, letter in ((1, "H"), (2, "W")):
        reach = (size[axis - 1] - 1) * options.get(f"dilation{letter}Factor", 1) + 1
        points = program.shape(node.output)[axis]
        missing = max(0, (points - 1) * options[f"stride{letter}"] + reach - shape[axis])
        wanted[axis] += missing
        before[axis] = missing // 2
    if tuple(wanted) == shape:
        return source, shape
    out = program.scratch(int(np.prod(wanted, dtype=int)))
    surrounded(program, source, shape, tuple(wanted), np.array(before), filler, out)
    return out, tuple(wanted)


def _kernel(program: Program, node: Node, turn: Callable[[Array], Array]) -> Kernel:
    """Returns a node's weights with inputs first."""
    weights = program.graph.tensors[node.inputs[1]]
    if weights.value is None or weights.stored is None:
        raise unsupported(program.graph, node, ", as its kernel is computed")
    outputs = weights.value.shape[0]
    bias = np.zeros(outputs, np.float32)
    if len(node.inputs) > 2 and node.inputs[2] >= 0:
        given = program.graph.tensors[node.inputs[2]].value
        if given is None:
            raise unsupported(program.graph, node, ", as its bias is computed")
        bias = given.astype(np.float32).ravel()
    if weights.stored.dtype != np.int8:
        return Kernel(turn(weights.value.astype(np.float32)), None, bias)
    scale = np.broadcast_to(np.ravel(np.asarray(weights.scale, np.float32)), outputs)
    return Kernel(turn(weights.stored), scale, bias)


def layer_name(program: Program, node: Node) -> str:
    """Returns the name of the Keras layer that an operation comes from, as far as it shows."""
    parts = program.graph.tensors[node.output].name.split(";", maxsplit=1)[0].split("/")
    # It goes into a comment, which no name may end.
    return re.sub(r"[^\w.\-]", "_", parts[-2] if len(parts) > 1 else parts[0])


def _layer(program: Program, node: Node, kernel: Kernel, window: Window, source: Place) -> None:
    """Writes a layer as a function, in its fastest form."""
    if activated(node.activation, "x") is None:
        raise unsupported(program.graph, node, f" with the activation {node.activation}")
    out = program.new(node.output)
    sums = Sums(program, kernel, window)
    form = choose(kernel, repeated=not window.single, regular=window.at is None)
    lines = _sums(sums, form)
    lines += activation(Place("y"), program.size(node.output), node.activation)
    dtype, total = kernel.values.dtype.name, kernel.values.size
    found = LayerForm(layer_name(program, node), form.kind, form.width, sums.stored, total, dtype)
    name = program.function(found, lines)
    program.step([f"{name}({source}, {out});"], source, out)


def _sums(sums: Sums, form: Form) -> list[str]:
    """Returns a layer's lines in a form; the last outputs may be dot products in any of them."""
    kernel = sums.kernel
    rest = dotted(kernel, form.width) if sums.window.single else 0
    whole = kernel.outputs - rest
    lines: list[str] = []
    if whole and form.kind == "dense":
        lines += dense(sums, whole)
    elif whole:
        written = unrolled if form.kind == "unrolled" else block_sparse
        lines += written(sums, form.width, whole)
    if rest:
        lines += dots(sums, whole, sparse=form.kind != "dense")
    return lines
