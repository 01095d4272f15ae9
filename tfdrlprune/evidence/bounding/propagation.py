"""Intervals through the graph of an artifact: what each tensor can hold for observations in a box.

Every interval covers what the interpreter really holds, rounding and saturation included. To know a
further operation, say what exact arithmetic makes of intervals in `_exact`, how far the interpreter
strays in `roundings`, and, for differences that are not those of two boxes, see `differential`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import numpy as np

from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.evidence.bounding import intervals
from tfdrlprune.evidence.bounding.intervals import Interval, constant, curve
from tfdrlprune.evidence.bounding.roundings import slack
from tfdrlprune.specs import Array

# What hands its input on, but for rounding.
PASSING = ("CAST", "DEQUANTIZE", "QUANTIZE", "RESHAPE")
# The integers of quantized tensors go through these unscaled.
_UNSCALED = ("CONCATENATION", "GATHER", "MAXIMUM", "MINIMUM", "RESHAPE")
_LARGEST = float(np.finfo(np.float32).max)


class Propagation:
    """What the tensors of a graph can hold.

    Args:
        graph: of the artifact.
        inputs: name in the signature -> what the input can hold, [boxes, 1, *shape].

    Raises:
        ValueError: operations are not known; names them.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Interval]) -> None:
        _check_known(graph)
        self.graph = graph
        self._held = {graph.inputs[name]: held for name, held in inputs.items()}
        self._before: dict[int, Interval] = {}
        self._slack: dict[int, Array] = {}

    def held(self, index: int) -> Interval:
        """Returns what a tensor can hold, [boxes, *shape]; of a constant [1, *shape]."""
        if index not in self._held:
            tensor = self.graph.tensors[index]
            self._held[index] = (
                self._computed(index) if tensor.value is None else constant(tensor.value)
            )
        return self._held[index]

    def before(self, index: int) -> Interval:
        """Returns an operation's result in exact arithmetic, before its fused activation."""
        self.held(index)
        return self._before[index]

    def slack(self, index: int) -> Array:
        """Returns how far the interpreter may be off in the operation that makes a tensor."""
        self.held(index)
        return self._slack[index]

    def excess(self, index: int) -> Interval:
        """Returns what the clip to a quantized tensor's range adds to what would be there else."""
        tensor, free = self.graph.tensors[index], self._activated(index)
        return Interval(
            np.minimum(tensor.high - free.high, 0.0), np.maximum(tensor.low - free.low, 0.0)
        )

    def scores(self) -> int:
        """Returns the tensor of which the action is the arg-max, of several numbers of all.

        Raises:
            ValueError: the action is computed in another way.
        """
        index = self.graph.outputs["action"]
        while (node := self.graph.makers.get(index)) is not None:
            index = node.inputs[0]
            if node.kind == "ARG_MAX":
                made = self.graph.makers.get(index)
                # Rows of unequal length are made of the scores of all numbers.
                return made.inputs[0] if made is not None and made.kind == "GATHER" else index
            if node.kind not in (*PASSING, "ADD"):
                break
        raise ValueError(
            "An argmax head ends in ARG_MAX. Received an action that is computed in another way. "
            "Export the policy again."
        )

    def _computed(self, index: int) -> Interval:
        node = self.graph.makers.get(index)
        if node is None:
            raise ValueError(
                f"The tensor {self.graph.tensors[index].name!r} is neither an input, a constant "
                "nor computed. Export the policy again."
            )
        _check(self.graph, node)
        args = [self.held(each) for each in node.inputs if each >= 0]
        self._before[index] = result = self._exact(node, args)
        self._slack[index] = slack(self.graph, node, args, result)
        tensor = self.graph.tensors[index]
        held = self._activated(index).clipped(tensor.low, tensor.high)
        if not held.magnitude.max(initial=0.0) <= _LARGEST:
            raise ValueError(
                f"{node.kind} ({tensor.name}) may leave what float32 holds in this box. "
                "Give a smaller box."
            )
        return held

    def _activated(self, index: int) -> Interval:
        node, result = self.graph.makers[index], self._before[index]
        fused = curve(node.activation)
        return (fused.of(result) if fused else result).widened(self._slack[index])

    def _exact(self, node: Node, args: list[Interval]) -> Interval:
        output = self.graph.tensors[node.output]
        if (function := curve(node.kind, node.options)) is not None:
            return function.of(args[0])
        if node.kind == "FULLY_CONNECTED":
            x = intervals.rows(self.graph, node, args[0])
            weights = intervals.weights(self.graph, node)
            return intervals.linear(*weights, x).reshaped(output.shape)
        if node.kind in PASSING:
            truncates = node.kind == "CAST" and output.dtype != "float32"
            moved = args[0].reshaped(output.shape)
            return Interval(np.trunc(moved.low), np.trunc(moved.high)) if truncates else moved
        if node.kind in ("MEAN", "SUM"):
            return self.reduced(node, args[0])
        if node.kind == "GATHER":
            return gathered(self.graph, node, args[0])
        return _of_several(node, [each.ranked(len(output.shape)) for each in args])

    def reduced(self, node: Node, x: Interval) -> Interval:
        """Returns the sums or means that a SUM or MEAN takes."""
        axes = self.graph.tensors[node.inputs[1]].value
        rank = x.low.ndim - 1
        along = tuple(int(axis) % rank + 1 for axis in np.ravel(np.asarray(axes)))
        take = np.mean if node.kind == "MEAN" else np.sum
        shape = self.graph.tensors[node.output].shape
        return Interval(take(x.low, axis=along), take(x.high, axis=along)).reshaped(shape)


def passes(graph: Graph, node: Node) -> bool:
    """Tells whether a node hands its input on: all such, but casts to integers, which truncate."""
    cuts = node.kind == "CAST" and graph.tensors[node.output].dtype != "float32"
    return node.kind in PASSING and not cuts


def concatenated(parts: list[Interval], axis: int) -> Interval:
    """Returns the parts behind each other along an axis, boxes not counted."""
    boxes = max(len(part.low) for part in parts)
    low, high = (
        np.concatenate(
            [np.broadcast_to(end, (boxes, *end.shape[1:])) for end in ends], axis=axis + 1
        )
        for ends in ([part.low for part in parts], [part.high for part in parts])
    )
    return Interval(low, high)


def gathered(graph: Graph, node: Node, x: Interval) -> Interval:
    """Returns the parts of an interval that a GATHER takes along its axis."""
    index = graph.tensors[node.inputs[1]].value
    if index is None or node.options.get("batchDims", 0):
        raise ValueError(
            f"Bounds of GATHER ({graph.tensors[node.output].name}) need positions that are "
            "constants, and no batch dimensions. Export the policy again."
        )
    axis = node.options["axis"] % (x.low.ndim - 1) + 1
    return Interval(*(np.take(end, index.astype(int), axis=axis) for end in (x.low, x.high)))


def _of_several(node: Node, args: list[Interval]) -> Interval:
    if node.kind == "CONCATENATION":
        return concatenated(args, node.options["axis"] % (args[0].low.ndim - 1))
    if node.kind == "SOFTMAX":
        return intervals.softmax(args[0], float(node.options["beta"]))
    if node.kind in _ARITHMETIC:
        return _ARITHMETIC[node.kind](*args)
    take = np.minimum if node.kind == "MINIMUM" else np.maximum
    one, other = args
    return Interval(take(one.low, other.low), take(one.high, other.high))


def _divided(one: Interval, other: Interval) -> Interval:
    if ((other.low <= 0) & (other.high >= 0)).any():
        raise ValueError(
            "Bounds of a DIV need a divisor that is never zero. Received one that may be, in "
            "this box. Give a smaller box."
        )
    return one * Interval(1 / other.high, 1 / other.low)


_ARITHMETIC: dict[str, Callable[[Interval, Interval], Interval]] = {
    "ADD": operator.add,
    "DIV": _divided,
    "MUL": operator.mul,
    "SUB": operator.sub,
}
_KNOWN = {
    *(
        "ARG_MAX",
        "CONCATENATION",
        "FULLY_CONNECTED",
        "GATHER",
        "MAXIMUM",
        "MEAN",
        "MINIMUM",
        "SOFTMAX",
        "SUM",
    ),
    *PASSING,
    *_ARITHMETIC,
}
# Known in float32 only.
_FLOAT = ("DIV", "ELU", "EXP", "SOFTMAX")


def _check_known(graph: Graph) -> None:
    """Raises ValueError unless all operations are known; names those that are not."""
    unknown = {
        node.kind
        for node in graph.nodes
        if node.kind not in _KNOWN and curve(node.kind, node.options) is None
    }
    unknown |= {
        f"{node.kind} with {node.activation}"
        for node in graph.nodes
        if node.activation != "NONE" and curve(node.activation) is None
    }
    if unknown:
        raise ValueError(
            "Bounds are propagated through dense layers, activations and elementwise arithmetic. "
            f"Received: {', '.join(sorted(unknown))}, whose bounds are not known. "
            "Look at agreement and deviations on visited states instead."
        )


def _check(graph: Graph, node: Node) -> None:
    """Raises ValueError unless the operation is known in the precision that it has here."""
    output = graph.tensors[node.output]
    grids = {
        (each.dtype, each.step, each.low)
        for each in (graph.tensors[index] for index in (*node.inputs, node.output) if index >= 0)
        if each.step is not None
    }
    mixed = node.kind in _UNSCALED and len(grids) > 1
    if mixed or (output.step is not None and node.kind in _FLOAT):
        raise ValueError(
            f"Bounds of {node.kind} ({output.name}) are known in float32, and in integers of one "
            f"scale where it only moves them. Received: {output.dtype}. "
            "Look at agreement and deviations on visited states instead."
        )
