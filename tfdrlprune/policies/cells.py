"""Recurrent cells, found in a frozen graph by how a policy's state becomes the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.policies.graph import ACTIVATIONS, Graph
from tfdrlprune.specs import Array

_SPLITS = ("Split", "SplitV")


@dataclass(frozen=True)
class Cell:
    """A recurrent cell in a graph.

    Attributes:
        layer: a Keras cell with its weights.
        source: the node that it takes.
        states: names of the placeholders of its state, in Keras' order.
        results: names of the nodes that are its next state, likewise; the first is its output.
    """

    layer: Any
    source: Any
    states: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class _Product:
    """A Dense without activation: ``source @ kernel + bias``."""

    source: Any
    kernel: Array
    bias: Array | None


def cells_of(graph: Graph, following: dict[str, Any]) -> list[Cell]:
    """Returns a graph's cells in the order in which they are applied.

    Args:
        graph: of one step.
        following: for the name of each placeholder of the state, the node that it is next.

    Raises:
        ValueError: a part of the state belongs to no cell of Keras' LSTM, GRU (``reset_after``) or
            SimpleRNN; names its operation.
    """
    nodes = {name: graph.unshaped(node) for name, node in following.items()}
    found = [
        cell
        for name in nodes
        for kind in (_lstm, _gru, _simple)
        if (cell := kind(graph, name, nodes)) is not None
    ]
    known = {name for cell in found for name in cell.states}
    for name, node in nodes.items():
        if name not in known:
            raise ValueError(
                f"The operation {node.op} ({node.name}) of the SavedModel makes a state that "
                "belongs to no cell of LSTM, GRU or SimpleRNN, so it cannot be rebuilt."
            )
    depth = {id(cell): graph.needs(cell.source) for cell in found}
    return sorted(found, key=lambda cell: len(depth[id(cell)]))


def _lstm(graph: Graph, name: str, nodes: dict[str, Any]) -> Cell | None:
    """Returns the cell whose output is the state ``name``: Hochreiter and Schmidhuber 1997."""
    for gate, squashed in _factors(graph, nodes[name]):
        memory = _argument(graph, squashed)
        carried = next(
            (key for key, node in nodes.items() if memory and node.name == memory.name), None
        )
        opened = _gate(graph, gate)
        if memory is None or carried is None or opened is None or opened[1] != 3:
            continue
        for kept, added in _terms(graph, memory):
            cell = _lstm_memory(graph, (kept, added), opened[0], (name, carried))
            if cell is None:
                continue
            weights, source = cell
            layer = tf.keras.layers.LSTMCell(
                weights[1].shape[0],
                activation=ACTIVATIONS[squashed.op],
                recurrent_activation=ACTIVATIONS[gate.op],
                use_bias=len(weights) == 3,
            )
            return _cell(layer, weights, source, (name, carried), (nodes[name], memory))
    return None


def _lstm_memory(
    graph: Graph, terms: tuple[Any, Any], split: Any, names: tuple[str, str]
) -> tuple[list[Array], Any] | None:
    """Returns weights and source if the terms are what is kept and what is added to the memory."""
    kept, added = terms
    for forget, memory in _factors(graph, kept):
        if graph.unshaped(memory).name != names[1] or _gate(graph, forget) != (split, 1):
            continue
        for enter, new in _factors(graph, added):
            if _gate(graph, enter) == (split, 0) and _gate(graph, new) == (split, 2):
                return _joined(graph, graph.inputs(split)[1], names[0])
    return None


def _gru(graph: Graph, name: str, nodes: dict[str, Any]) -> Cell | None:
    """Returns the cell whose output is the state ``name``: Cho et al. 2014, as cuDNN has it."""
    for kept, added in _terms(graph, nodes[name]):
        for update, state in _factors(graph, kept):
            sums = _sum_of_gates(graph, _argument(graph, update), 0)
            if graph.unshaped(state).name != name or sums is None:
                continue
            for _, new in _factors(graph, added):
                if new.op not in ACTIVATIONS or not _candidate(graph, new, sums):
                    continue
                given, remembered = (_product(graph, _divided(graph, part)) for part in sums)
                if given is None or remembered is None:
                    continue
                weights = [given.kernel, remembered.kernel]
                if given.bias is not None and remembered.bias is not None:
                    weights.append(tf.stack([given.bias, remembered.bias]).numpy())
                layer = tf.keras.layers.GRUCell(
                    len(remembered.kernel),
                    activation=ACTIVATIONS[new.op],
                    recurrent_activation=ACTIVATIONS[update.op],
                    use_bias=len(weights) == 3,
                    reset_after=True,
                )
                return _cell(layer, weights, given.source, (name,), (nodes[name],))
    return None


def _candidate(graph: Graph, new: Any, sums: tuple[Any, Any]) -> bool:
    """Tells whether a node is a GRU's new state: the input's part plus the reset state's."""
    for own, product in _raw_inputs(graph, graph.through(graph.inputs(new)[0])):
        if (own[0].name, own[1]) != (sums[0].name, 2) or product[0].op != "Mul":
            continue
        for reset, part in _raw_inputs(graph, product[0]):
            opened = _sum_of_gates(graph, _argument(graph, reset[0]), 1)
            if opened == sums and (part[0].name, part[1]) == (sums[1].name, 2):
                return True
    return False


def _simple(graph: Graph, name: str, nodes: dict[str, Any]) -> Cell | None:
    node = nodes[name]
    argument = _argument(graph, node)
    joined = None if argument is None else _joined(graph, argument, name)
    if joined is None:
        return None
    weights, source = joined
    layer = tf.keras.layers.SimpleRNNCell(
        len(weights[1]), activation=ACTIVATIONS[node.op], use_bias=len(weights) == 3
    )
    return _cell(layer, weights, source, (name,), (node,))


def _cell(
    layer: Any, weights: list[Array], source: Any, states: tuple[str, ...], results: tuple[Any, ...]
) -> Cell:
    layer.build((None, len(weights[0])))
    layer.set_weights(weights)
    return Cell(layer, source, states, tuple(node.name for node in results))


def _joined(graph: Graph, node: Any, state: str) -> tuple[list[Array], Any] | None:
    """Returns weights and source of ``source @ kernel + state @ recurrent_kernel (+ bias)``."""
    node, bias = graph.through(node), None
    if node.op == "BiasAdd":
        held, index = graph.output(node.input[1])
        node, bias = graph.through(graph.inputs(node)[0]), graph.constant(held, index)
    for first, second in _terms(graph, node):
        given, remembered = _product(graph, first), _product(graph, second)
        if given is None or remembered is None or graph.unshaped(remembered.source).name != state:
            continue
        biases = [each for each in (bias, given.bias, remembered.bias) if each is not None]
        if len(biases) > 1:
            continue
        return [given.kernel, remembered.kernel, *biases], given.source
    return None


def _product(graph: Graph, node: Any) -> _Product | None:
    node, bias = graph.through(node), None
    if node.op == "BiasAdd":
        held, index = graph.output(node.input[1])
        if graph.moves(held):
            return None
        node, bias = graph.through(graph.inputs(node)[0]), graph.constant(held, index)
    if node.op != "MatMul" or node.attr["transpose_a"].b or node.attr["transpose_b"].b:
        return None
    source, kernel = graph.inputs(node)
    return None if graph.moves(kernel) else _Product(source, graph.constant(kernel), bias)


def _gate(graph: Graph, node: Any) -> tuple[Any, int] | None:
    """Returns the Split under an activation, and which of its parts it is."""
    if node.op not in ACTIVATIONS:
        return None
    split, index = graph.output(node.input[0])
    return (split, index) if split.op == "Split" else None


def _sum_of_gates(graph: Graph, node: Any | None, index: int) -> tuple[Any, Any] | None:
    """Returns the two splits whose parts of this index a node adds, the input's first."""
    for first, second in () if node is None else _raw_inputs(graph, node):
        splits = first[0].op in _SPLITS and second[0].op in _SPLITS
        if splits and first[1] == second[1] == index and node is not None:
            product = _product(graph, _divided(graph, second[0]))
            if product is not None and graph.unshaped(product.source).op == "Placeholder":
                return first[0], second[0]
    return None


def _divided(graph: Graph, split: Any) -> Any:
    return graph.inputs(split)[1 if split.op == "Split" else 0]


def _argument(graph: Graph, node: Any) -> Any | None:
    """Returns the node under an activation; None of anything else."""
    return graph.through(graph.inputs(node)[0]) if node.op in ACTIVATIONS else None


def _factors(graph: Graph, node: Any) -> Iterator[tuple[Any, Any]]:
    yield from _pairs(graph, node, ("Mul",))


def _terms(graph: Graph, node: Any) -> Iterator[tuple[Any, Any]]:
    yield from _pairs(graph, node, ("Add", "AddV2"))


def _pairs(graph: Graph, node: Any, operations: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Yields both orders of an operation's two inputs; nothing of another operation."""
    if node.op in operations:
        first, second = (graph.through(part) for part in graph.inputs(node))
        yield first, second
        yield second, first


def _raw_inputs(graph: Graph, node: Any) -> Iterator[tuple[tuple[Any, int], tuple[Any, int]]]:
    """Yields both orders of two inputs, each with which output of its node it is."""
    if node.op in ("Add", "AddV2", "Mul"):
        first, second = (graph.output(name) for name in node.input[:2])
        yield first, second
        yield second, first
