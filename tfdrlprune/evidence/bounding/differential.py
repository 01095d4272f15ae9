"""Bounds on the difference of two artifacts' tensors, followed from operation to operation.

Two boxes of outputs say little of how far the outputs are from each other: both are wide because
the observations are. After ReluDiff (Paulsen, Wang & Wang 2020, "ReluDiff: Differential
Verification of Deep Neural Networks") the difference is carried along instead. With a candidate's
tensor p, the baseline's q and d = p - q, in exact arithmetic:

- a layer: ``V p + c - (W q + b) = V d + (V - W) q + (c - b) = W d + (V - W) p + (c - b)``;
- a curve f: ``f(p) - f(q) = s d`` with a slope s that f has between p and q (mean value theorem);
- a product: ``p1 p2 - q1 q2 = p1 d2 + q2 d1``;
- a minimum or maximum: first the one side is exchanged, then the other, and it follows each with a
  slope between 0 and 1.

Each artifact's own rounding is added, and what the clip to a quantized range does to each. What
both boxes say holds besides, so the result is never wider than that.
"""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.model_graph import Node
from tfdrlprune.evidence.bounding import intervals
from tfdrlprune.evidence.bounding.intervals import Interval, curve
from tfdrlprune.evidence.bounding.propagation import Propagation, concatenated, passes

# NumPy's own rounding, far below what each operation's slack has room for, but of the difference.
_FLOAT64 = 2.0**-40


class Difference:
    """Candidate minus baseline, tensor by tensor.

    Args:
        ours: the candidate's propagation.
        theirs: the baseline's, of the same boxes.

    Attributes:
        alike: whether all that was asked for was followed through operations of the same kind;
            False where two boxes had to do.
    """

    def __init__(self, ours: Propagation, theirs: Propagation) -> None:
        self.ours, self.theirs = ours, theirs
        self.alike = True
        self._known: dict[tuple[int, int], Interval] = {}

    def of(self, mine: int, other: int) -> Interval:
        """Returns what one tensor of the candidate is above one of the baseline.

        Returns:
            Shaped as the candidate's tensor, [boxes, *shape].
        """
        key = (mine, other)
        if key not in self._known:
            p = self.ours.held(mine)
            q = self.theirs.held(other).reshaped(p.low.shape[1:])
            followed = self._followed(mine, other)
            self._known[key] = (p - q) if followed is None else followed.within(p - q)
        return self._known[key]

    def _followed(self, mine: int, other: int) -> Interval | None:
        """Returns the difference by the operations behind it; None where only boxes are left."""
        ours, theirs = self.ours, self.theirs
        one, two = ours.graph.makers.get(mine), theirs.graph.makers.get(other)
        if one is None and two is None:
            return self._given(mine, other)
        if one is not None and passes(ours.graph, one):
            return self._rounded(ours, mine, self.of(one.inputs[0], other))
        if two is not None and passes(theirs.graph, two):
            # The baseline's rounding counts the other way round.
            back = self._rounded(theirs, other, _negative(self.of(mine, two.inputs[0])))
            return _negative(back).reshaped(ours.graph.tensors[mine].shape)
        exact = None if one is None or two is None else self._through(one, two)
        if exact is None:
            self.alike = False
            return None
        p, q = ours.before(mine), theirs.before(other)
        assert one is not None
        if (fused := curve(one.activation)) is not None:
            exact = _along(fused, p.hull(q), exact)
        exact = self._rounded(ours, mine, exact)
        return _negative(self._rounded(theirs, other, _negative(exact)))

    def _given(self, mine: int, other: int) -> Interval | None:
        """Returns the difference of two inputs, or of two constants."""
        p, q = self.ours.held(mine), self.theirs.held(other)
        names = [
            next((name for name, at in each.graph.inputs.items() if at == index), None)
            for each, index in ((self.ours, mine), (self.theirs, other))
        ]
        if names[0] is None and names[1] is None:
            return p - q if p.low.shape == q.low.shape else None
        # The same observation is put into both.
        return Interval(0 * p.low, 0 * p.high) if names[0] == names[1] else None

    def _rounded(self, side: Propagation, index: int, free: Interval) -> Interval:
        """Returns a difference after one side's rounding and clip to a quantized range."""
        moved = free.reshaped(side.graph.tensors[index].shape)
        wide = moved.widened(side.slack(index) + _FLOAT64 * moved.magnitude)
        return wide + side.excess(index)

    def _through(self, one: Node, two: Node) -> Interval | None:
        """Returns the difference of two operations' results in exact arithmetic."""
        tensors = self.ours.graph.tensors, self.theirs.graph.tensors
        same = (one.kind, one.activation, tensors[0][one.output].shape) == (
            *(two.kind, two.activation),
            tensors[1][two.output].shape,
        )
        if not same:
            return None
        if one.kind == "FULLY_CONNECTED":
            return self._linear(one, two)
        if curve(one.kind, one.options) is not None:
            return self._curved(one, two)
        shapes = [
            [side[index].shape for index in node.inputs]
            for side, node in zip(tensors, (one, two), strict=True)
        ]
        if shapes[0] != shapes[1] or one.kind == "SOFTMAX":
            return None
        return self._combined(one, two, len(tensors[0][one.output].shape))

    def _curved(self, one: Node, two: Node) -> Interval | None:
        function = curve(one.kind, one.options)
        if function is None or one.options.get("alpha") != two.options.get("alpha"):
            return None
        p, q = self.ours.held(one.inputs[0]), self.theirs.held(two.inputs[0])
        return _along(function, p.hull(q), self.of(one.inputs[0], two.inputs[0]))

    def _linear(self, one: Node, two: Node) -> Interval | None:
        v, c = intervals.weights(self.ours.graph, one)
        w, b = intervals.weights(self.theirs.graph, two)
        if v.shape != w.shape:
            return None
        d = intervals.rows(self.ours.graph, one, self.of(one.inputs[0], two.inputs[0]))
        p = intervals.rows(self.ours.graph, one, self.ours.held(one.inputs[0]))
        q = intervals.rows(self.theirs.graph, two, self.theirs.held(two.inputs[0]))
        forms = [
            intervals.linear(kernel, 0.0, d) + intervals.linear(v - w, c - b, x)
            for kernel, x in ((v, q), (w, p))
        ]
        return forms[0].within(forms[1]).reshaped(self.ours.graph.tensors[one.output].shape)

    def _combined(self, one: Node, two: Node, rank: int) -> Interval | None:
        if one.kind in ("MEAN", "SUM"):
            axes = [
                side.held(node.inputs[1]).low.tolist()
                for side, node in ((self.ours, one), (self.theirs, two))
            ]
            d = self.of(one.inputs[0], two.inputs[0])
            return self.ours.reduced(one, d) if axes[0] == axes[1] else None
        if one.kind == "CONCATENATION":
            if one.options["axis"] != two.options["axis"]:
                return None
            parts = [self.of(a, b) for a, b in zip(one.inputs, two.inputs, strict=True)]
            return concatenated(parts, one.options["axis"] % rank)
        return self._pairwise(one, two, rank)

    def _pairwise(self, one: Node, two: Node, rank: int) -> Interval:
        p, q, d = (
            [each.ranked(rank) for each in found]
            for found in (
                [self.ours.held(index) for index in one.inputs],
                [self.theirs.held(index) for index in two.inputs],
                [self.of(a, b) for a, b in zip(one.inputs, two.inputs, strict=True)],
            )
        )
        if one.kind == "ADD":
            return d[0] + d[1]
        if one.kind == "SUB":
            return d[0] - d[1]
        if one.kind == "MUL":
            return (p[0] * d[1] + q[1] * d[0]).within(q[0] * d[1] + p[1] * d[0])
        if one.kind == "DIV":
            # p0/p1 - q0/q1 = (d0 - d1 q0/q1) / p1, where no divisor is zero.
            under = Interval(1 / p[1].high, 1 / p[1].low)
            quotient = q[0] * Interval(1 / q[1].high, 1 / q[1].low)
            return (d[0] - d[1] * quotient) * under
        return _exchanged(one.kind, p, q, d)


def _negative(x: Interval) -> Interval:
    return Interval(-x.high, -x.low)


def _along(function: intervals.Curve, between: Interval, d: Interval) -> Interval:
    return Interval(*function.slopes(between.low, between.high)) * d


def _exchanged(kind: str, p: list[Interval], q: list[Interval], d: list[Interval]) -> Interval:
    """Returns the difference of two minima or maxima.

    min(p0, p1) - min(q0, q1) = [min(p0, p1) - min(q0, p1)] + [min(q0, p1) - min(q0, q1)]. In the
    first bracket only the left side is exchanged; its slope is 1 where the left side is the smaller
    one throughout, 0 where the right side is, else between. So in the second, from the right.
    """
    steps = ((p[0].hull(q[0]), p[1], d[0]), (p[1].hull(q[1]), q[0], d[1]))
    parts = []
    for moving, still, change in steps:
        below, above = moving.high <= still.low, moving.low >= still.high
        chosen, left = (below, above) if kind == "MINIMUM" else (above, below)
        slope = Interval(np.where(chosen, 1.0, 0.0), np.where(left & ~chosen, 0.0, 1.0))
        parts.append(slope * change)
    return parts[0] + parts[1]
