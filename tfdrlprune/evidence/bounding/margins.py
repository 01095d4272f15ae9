"""How far the scores of an arg-max head are above each other, for observations in a box.

What all scores have in common decides nothing, and makes their boxes wide. It falls out where the
distance of two scores is followed instead of the scores.
"""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.model_graph import Node
from tfdrlprune.evidence.bounding import intervals
from tfdrlprune.evidence.bounding.differential import Difference
from tfdrlprune.evidence.bounding.intervals import Interval
from tfdrlprune.evidence.bounding.propagation import Propagation, passes
from tfdrlprune.specs import Array


def margins(side: Propagation, index: int) -> Array:
    """Returns how far each score is above each other at least: [boxes, scores, scores].

    The scores' common part, which makes their boxes wide, falls out: of a dense layer the margin is
    a dense layer itself, with the difference of two rows as its kernel.
    """
    held = side.held(index)
    count = held.low[0].size
    least = _spread(held.reshaped((count,))).low
    exact = _exact_margins(side, index, count)
    if exact is None:
        return least
    followed: Array = exact + _freedom(side, index).low
    return np.maximum(least, followed)


def _exact_margins(side: Propagation, index: int, count: int) -> Array | None:
    """Returns the margins before rounding, by the operation that makes them; None by another."""
    node = side.graph.makers.get(index)
    if node is None or node.activation != "NONE":
        return None
    if passes(side.graph, node):
        return margins(side, node.inputs[0])
    if node.kind in ("ADD", "SUB"):
        # As in a dueling network: what is added to all scores alike falls out.
        sizes = [side.held(each).low[0].size for each in node.inputs]
        if sizes not in ([count, 1], [1, count]) or (node.kind == "SUB" and sizes[0] == 1):
            return None
        return margins(side, node.inputs[sizes.index(count)])
    return _of_layer(side, node, count) if node.kind == "FULLY_CONNECTED" else None


def _of_layer(side: Propagation, node: Node, count: int) -> Array | None:
    """Returns the margins of a dense layer's outputs; None where they are not the scores."""
    kernel, bias = intervals.weights(side.graph, node)
    if len(kernel) != count:
        return None
    x = intervals.rows(side.graph, node, side.held(node.inputs[0]))
    found = intervals.linear(_pairs(kernel), _pairs(np.broadcast_to(bias, count)), x)
    return found.low.reshape(-1, count, count)


def margins_apart(apart: Difference, mine: int, other: int) -> Interval:
    """Returns how much farther above each other the candidate's scores are than the baseline's.

    Args:
        apart: the difference of the two.
        mine: the candidate's scores.
        other: the baseline's.

    Returns:
        [boxes, scores, scores]: of the first above the second.
    """
    found = apart.of(mine, other)
    plain = _spread(found.reshaped((found.low[0].size,)))
    followed = _exact_apart(apart, mine, other, found.low[0].size)
    return plain if followed is None else followed.within(plain)


def _exact_apart(apart: Difference, mine: int, other: int, count: int) -> Interval | None:
    ours, theirs = apart.ours, apart.theirs
    one, two = ours.graph.makers.get(mine), theirs.graph.makers.get(other)
    if one is not None and passes(ours.graph, one):
        return margins_apart(apart, one.inputs[0], other) + _freedom(ours, mine)
    if two is not None and passes(theirs.graph, two):
        return margins_apart(apart, mine, two.inputs[0]) - _freedom(theirs, other)
    if one is None or two is None or {one.activation, two.activation} != {"NONE"}:
        return None
    if (one.kind, two.kind) != ("FULLY_CONNECTED", "FULLY_CONNECTED"):
        return None
    v, c = intervals.weights(ours.graph, one)
    w, b = intervals.weights(theirs.graph, two)
    if v.shape != w.shape or len(v) != count:
        return None
    d = intervals.rows(ours.graph, one, apart.of(one.inputs[0], two.inputs[0]))
    q = intervals.rows(theirs.graph, two, theirs.held(two.inputs[0]))
    shift = np.broadcast_to(c, count) - np.broadcast_to(b, count)
    exact = intervals.linear(_pairs(v), 0.0, d)
    exact = exact + intervals.linear(_pairs(v - w), _pairs(shift), q)
    return exact.reshaped((count, count)) + _freedom(ours, mine) - _freedom(theirs, other)


def _freedom(side: Propagation, index: int) -> Interval:
    """Returns what rounding and saturation may add to the distance of two scores."""
    free = side.excess(index).widened(side.slack(index))
    return _spread(free.reshaped((free.low[0].size,)))


def _spread(x: Interval) -> Interval:
    """Returns each minus each, [boxes, n, n] of [boxes, n]; each minus itself is 0."""
    other = np.eye(x.low.shape[1]) == 0
    low, high = x.low[:, :, None] - x.high[:, None], x.high[:, :, None] - x.low[:, None]
    return Interval(np.where(other, low, 0.0), np.where(other, high, 0.0))


def _pairs(rows: Array) -> Array:
    """Returns each row minus each, [n * n, ...] of [n, ...]."""
    result: Array = (rows[:, None] - rows[None]).reshape(-1, *rows.shape[1:])
    return result
