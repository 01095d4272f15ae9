"""What a file computes in integers, in integers, with LiteRT's own numbers.

An int8 file's tensors are bytes, its sums int32. An operation without a rule here is computed in
floats, of what its bytes stand for, and its result is rounded to the bytes of its own scale again:
so one operation that is missing makes no other one inexact. Of a dynamic file, layers with int8
weights add up integers between floats: see `dynamic`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tfdrlprune.deployment.c_source import moves
from tfdrlprune.deployment.c_source.integers import dynamic, elementwise, matrices, scales, windows
from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.model_graph import Graph, Node


@dataclass(frozen=True)
class _Rule:
    write: Callable[[Program, Node], None]
    fits: Callable[[Graph, Node], bool]


def _moved(graph: Graph, node: Node) -> bool:
    """Tells whether all tensors that are no numbers of a choice have one scale."""
    whole = [i for i in (*node.inputs, *node.outputs) if graph.tensors[i].dtype == "int8"]
    scaled = {(graph.tensors[i].step, graph.tensors[i].zero) for i in whole}
    computed = all(scales.is_whole(graph, i) for i in node.outputs)
    return computed and len(scaled) == 1 and node.activation == "NONE"


def _padded(program: Program, node: Node) -> None:
    tensor = program.graph.tensors[node.output]
    moves.pad(program, node, scales.zero_byte(tensor))


_RULES = {
    **{kind: _Rule(moves.move, _moved) for kind in moves.MOVES},
    **{kind: _Rule(moves.alias, _moved) for kind in ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")},
    **{kind: _Rule(elementwise.tabled, elementwise.fits) for kind in elementwise.TABLES},
    **{kind: _Rule(elementwise.combined, elementwise.fits) for kind in elementwise.SUMS},
    "CONCATENATION": _Rule(moves.concatenate, _moved),
    "CONV_2D": _Rule(matrices.convolution, matrices.takes),
    "DEPTHWISE_CONV_2D": _Rule(matrices.depthwise, matrices.takes),
    "FULLY_CONNECTED": _Rule(matrices.fully_connected, matrices.takes),
    "MAX_POOL_2D": _Rule(windows.largest, _moved),
    "PACK": _Rule(moves.concatenate, _moved),
    "PAD": _Rule(_padded, _moved),
}


def write(program: Program, node: Node, rule: Callable[[Program, Node], None]) -> None:
    """Writes a node, in integers where it has int8 tensors and a rule for them.

    Args:
        program: of floats.
        node: that is written.
        rule: for floats.
    """
    graph = program.graph
    results = [index for index in node.outputs if scales.is_whole(graph, index)]
    given = [index for index in node.inputs if index >= 0 and scales.is_whole(graph, index)]
    if not results and not given and dynamic.takes(graph, node):
        dynamic.write(program, node)
    elif not results and not given:
        rule(program, node)
    elif node.kind == "QUANTIZE" and not given:
        scales.to_bytes(program, node.inputs[0], node.output)
    elif node.kind == "DEQUANTIZE":
        scales.to_floats(program, node.inputs[0], node.output)
    elif node.kind in _RULES and _RULES[node.kind].fits(graph, node):
        _RULES[node.kind].write(program.whole, node)
    else:
        for index in given:
            if not program.has(index):
                scales.to_floats(program, index)
        program.step([f"/* {node.kind} is computed in floats. */"])
        rule(program, node)
        for index in results:
            scales.to_bytes(program, index, index)
