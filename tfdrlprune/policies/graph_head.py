"""How a policy's frozen graph ends in an action: its head, and what makes the scores or means."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.policies.graph import Graph
from tfdrlprune.specs import Head, compact

# What TFP's Deterministic and the policy wrap around an action without changing its numbers.
_PACKAGING = (
    "BroadcastTo",
    "Cast",
    "ExpandDims",
    "Identity",
    "Reshape",
    "Snapshot",
    "Squeeze",
    "StopGradient",
)
_CLIPPING = ("Maximum", "Minimum")


def head_of(graph: Graph, action: Any) -> tuple[Head, Any]:
    """Returns the head of a policy's graph, and the node that makes the scores or means.

    Walks backward from the action over packaging and clipping to an ArgMax, or to a tanh under
    scale and offset. What is neither is taken as a mean. Whoever calls it compares the result with
    the graph, so a wrong guess is refused and not used.
    """
    node = _unclipped(graph, action)
    if node.op == "ArgMax":
        return Head("argmax"), _scores(graph, node)
    scale, offset, inner = np.ones(()), np.zeros(()), node
    while (
        parts := graph.split(inner) if inner.op in ("Add", "AddV2", "Mul") else None
    ) is not None:
        # So far the action is scale * inner + offset, and inner is one operation more.
        if inner.op == "Mul":
            scale = scale * parts[1]
        else:
            offset = offset + scale * parts[1]
        inner = _noiseless(graph, parts[0])
    if inner.op == "ArgMax":  # a choice that was shifted to its first number
        return Head("argmax"), _scores(graph, inner)
    if inner.op == "Tanh":
        head = Head("tanh", compact(scale), compact(offset))
        return head, _noiseless(graph, graph.inputs(inner)[0])
    return Head("affine"), node


def _scores(graph: Graph, choice: Any) -> Any:
    """Returns the node with the scores of an ArgMax, of several numbers those of all in a row.

    As `choice_projection` makes rows of different lengths: a gather, and what keeps repeated ones
    from being taken.
    """
    node = _unpacked(graph, graph.inputs(choice)[0])
    parts = graph.split(node) if node.op in ("Add", "AddV2") else None
    gathered = node if parts is None else _unpacked(graph, parts[0])
    return _unpacked(graph, graph.inputs(gathered)[0]) if gathered.op == "GatherV2" else node


def _unclipped(graph: Graph, node: Any) -> Any:
    """Returns the node behind packaging and clipping."""
    node = _noiseless(graph, node)
    while node.op == "ClipByValue" or (node.op in _CLIPPING and graph.split(node)):
        parts = graph.split(node) if node.op in _CLIPPING else None
        node = _noiseless(graph, graph.inputs(node)[0] if parts is None else parts[0])
    return node


def _noiseless(graph: Graph, node: Any) -> Any:
    """Returns the node behind packaging, and behind a sum with noise of which the mode is zero."""
    node = _unpacked(graph, node)
    while node.op in ("Add", "AddV2"):
        kept = [part for part in graph.inputs(node) if not graph.vanishes(part)]
        if len(kept) != 1:
            break
        node = _unpacked(graph, kept[0])
    return node


def _unpacked(graph: Graph, node: Any) -> Any:
    while (inner := graph.through(node)).op in _PACKAGING or (
        inner.op == "Transpose" and graph.keeps_order(inner)
    ):
        node = graph.inputs(inner)[0]
    return inner
