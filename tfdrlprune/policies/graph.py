"""A frozen TensorFlow graph, read: its nodes, its constants, and what parts of it compute."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array

# Arrays of one number, in the shape of another.
_LIKE = {"OnesLike": 1.0, "ZerosLike": 0.0}
_IDENTITIES = ("EnsureShape", "Identity", "Snapshot", "StopGradient")
# What may give the same numbers in another shape; `Graph.unshaped` tells whether it does.
SHAPING = ("ExpandDims", "Reshape", "Squeeze", "StridedSlice", "Transpose")
# Curves that Keras knows by name.
ACTIVATIONS = {
    "Elu": "elu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}
# Operations with a constant that `affine` sums up.
AFFINE = ("Add", "AddV2", "Mul", "RealDiv", "Sub")


class Graph:
    """A frozen graph: its nodes by name, and the values of those that no input reaches."""

    def __init__(self, function: Any) -> None:
        definition = function.graph.as_graph_def()
        self.nodes = {node.name: node for node in definition.node}
        self.shapes = {
            op.name: op.outputs[0].shape for op in function.graph.get_operations() if op.outputs
        }
        self._moving: dict[str, bool] = {}
        self._constants: dict[str, Array] = {}
        wrapped = tf.compat.v1.wrap_function(
            lambda: tf.import_graph_def(definition, name=""), signature=[]
        )
        self._prune = wrapped.prune
        self._placeholders = {name for name, node in self.nodes.items() if node.op == "Placeholder"}

    def node(self, name: str) -> Any:
        """Returns the node that makes a tensor: behind an IdentityN, as inlined calls leave one."""
        stem, _, index = name.partition(":")
        node = self.nodes[stem]
        return self.node(node.input[int(index or 0)]) if node.op == "IdentityN" else node

    def output(self, name: str) -> tuple[Any, int]:
        """Returns the node that makes a tensor, behind identities, and the output's number."""
        stem, _, index = name.partition(":")
        node, position = self.nodes[stem], int(index or 0)
        if node.op in ("IdentityN", *_IDENTITIES):
            return self.output(node.input[position])
        return node, position

    def inputs(self, node: Any) -> list[Any]:
        """Returns the nodes whose outputs a node takes, without control inputs."""
        return [self.node(name) for name in node.input if not name.startswith("^")]

    def needs(self, node: Any) -> set[str]:
        """Returns the names of all nodes that a node's value is made of, its own too."""
        found: set[str] = set()
        pending = [node]
        while pending:
            current = pending.pop()
            if current.name not in found:
                found.add(current.name)
                pending.extend(self.inputs(current))
        return found

    def moves(self, node: Any) -> bool:
        """Tells whether a node's value depends on an input of the graph."""
        stack = [node]
        while stack:
            top = stack[-1]
            if top.name in self._moving:
                stack.pop()
                continue
            children = self._values(top)
            unknown = [child for child in children if child.name not in self._moving]
            if unknown and top.op != "Placeholder":
                stack.extend(unknown)
                continue
            self._moving[top.name] = top.op == "Placeholder" or any(
                self._moving[child.name] for child in children
            )
            stack.pop()
        return self._moving[node.name]

    def _values(self, node: Any) -> list[Any]:
        """Returns the nodes whose values, and not only shapes, a node is made of."""
        if node.op in _LIKE:
            return []
        return self.inputs(node)[1:] if node.op == "Fill" else self.inputs(node)

    def constant(self, node: Any, index: int = 0) -> Array:
        """Returns the value of a node that no input reaches, of one of its outputs.

        One number for all where the shape depends on an input.
        """
        if node.op == "Fill":
            return self.constant(self.inputs(node)[1])
        if node.op in _LIKE:
            return np.asarray(_LIKE[node.op])
        name = f"{node.name}:{index}"
        if name not in self._constants:
            # Of the inputs no more than the shape can matter; one step has a batch of one.
            given = [self.nodes[each] for each in self._placeholders & self.needs(node)]
            shapes = [self.shapes[each.name] for each in given]
            zeros = [
                tf.zeros(shape, each.attr["dtype"].type)
                for each, shape in zip(given, shapes, strict=True)
            ]
            pruned = self._prune([f"{each.name}:0" for each in given], name)
            self._constants[name] = np.asarray(pruned(*zeros))
        return self._constants[name]

    def through(self, node: Any) -> Any:
        """Returns the node behind identities, and behind choices that are always the same."""
        while True:
            if node.op in _IDENTITIES:
                node = self.inputs(node)[0]
            elif node.op in ("Select", "SelectV2") and not self.moves(self.inputs(node)[0]):
                condition, chosen, other = self.inputs(node)
                truth = self.constant(condition)
                if not truth.all() and truth.any():
                    return node
                node = chosen if truth.all() else other
            else:
                return node

    def unshaped(self, node: Any) -> Any:
        """Returns the node whose numbers a node gives in another shape, in the same order."""
        while True:
            node = self.through(node)
            if node.op not in SHAPING or not self.keeps_order(node):
                return node
            node = self.inputs(node)[0]

    def keeps_order(self, node: Any) -> bool:
        """Tells whether an operation of `SHAPING` leaves the numbers in their order."""
        if node.op in ("ExpandDims", "Reshape", "Squeeze"):
            return True
        source, *rest = self.inputs(node)
        shape = self.shapes[source.name]
        if node.op == "StridedSlice":  # of all there is, only axes of length one may go
            sizes = shape.num_elements(), self.shapes[node.name].num_elements()
            return sizes[0] is not None and sizes[0] == sizes[1]
        if shape.rank is None or self.moves(rest[0]):
            return False
        order = [axis for axis in self.constant(rest[0]).tolist() if shape[axis] != 1]
        return order == sorted(order)

    def split(self, node: Any) -> tuple[Any, Array] | None:
        """Returns the moving input and the constant one of an operation that has just these."""
        first, second = (self.through(part) for part in self.inputs(node))
        if self.moves(first) and not self.moves(second):
            return first, self.constant(second)
        if self.moves(second) and not self.moves(first):
            return second, self.constant(first)
        return None

    def vanishes(self, node: Any) -> bool:
        """Tells whether a node is zero for every input: zeros, or a product with them."""
        node = self.unshaped(node)
        if not self.moves(node):
            return not self.constant(node).any()
        return node.op == "Mul" and any(self.vanishes(part) for part in self.inputs(node))


def affine(graph: Graph, node: Any) -> tuple[Any, Array, Array]:
    """Returns the node and the constants such that ``node = source * scale + offset``."""
    scale, offset = np.ones(()), np.zeros(())
    while (parts := graph.split(node) if node.op in AFFINE else None) is not None:
        value = parts[1].astype(np.float64)
        constant_first = graph.through(graph.inputs(node)[0]).name != parts[0].name
        if node.op == "Mul":
            scale = scale * value
        elif node.op == "RealDiv" and not constant_first:
            scale = scale / value
        elif node.op in ("Add", "AddV2"):
            offset = offset + scale * value
        elif node.op == "Sub":
            offset = offset + scale * (value if constant_first else -value)
            scale = -scale if constant_first else scale
        else:
            break
        node = parts[0]
    return node, scale, offset


def dueling_parts(graph: Graph, node: Any) -> tuple[Any, Any] | None:
    """Returns value and advantages of ``value + advantages - mean(advantages)``, else None."""
    if node.op != "Sub":
        return None
    total, mean = (graph.through(part) for part in graph.inputs(node))
    if total.op not in ("Add", "AddV2") or mean.op != "Mean" or not graph.moves(mean):
        return None
    value, advantages = (graph.through(part) for part in graph.inputs(total))
    averaged, axis = graph.inputs(mean)
    same = graph.through(averaged).name == advantages.name
    if not same or graph.constant(axis).ravel().tolist() not in ([-1], [1]):
        return None
    return value, advantages


def mean_parts(graph: Graph, node: Any) -> tuple[Any, Array] | None:
    """Returns logits, [batch, actions * atoms], and support of C51's means of returns, else None.

    They are a softmax over atoms, times the support, summed over atoms.
    """
    product, axis = (graph.through(part) for part in graph.inputs(node))
    parts = graph.split(product) if product.op == "Mul" else None
    if parts is None or graph.constant(axis).ravel().tolist() not in ([-1], [2]):
        return None
    logits = graph.through(graph.inputs(parts[0])[0])
    if parts[0].op != "Softmax" or logits.op != "Reshape":
        return None
    return graph.inputs(logits)[0], parts[1].ravel()
