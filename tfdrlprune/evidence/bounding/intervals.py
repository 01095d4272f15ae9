"""Intervals, and what the operations of a network make of them in exact arithmetic.

Interval bound propagation: Gowal et al. 2018, "On the Effectiveness of Interval Bound Propagation
for Training Verifiably Robust Models". How far an interpreter strays from exact arithmetic is in
`roundings`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.specs import Array


@dataclass(frozen=True, eq=False)
class Interval:
    """Numbers of which each lies between two others.

    Attributes:
        low: float64 [boxes, *shape]; of a constant [1, *shape].
        high: likewise, nowhere below ``low``.
    """

    low: Array
    high: Array

    @property
    def magnitude(self) -> Array:
        """The largest absolute value, [boxes, *shape]."""
        largest: Array = np.maximum(np.abs(self.low), np.abs(self.high))
        return largest

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(np.minimum.reduce(ends), np.maximum.reduce(ends))

    def widened(self, by: Array | float) -> Interval:
        """Returns the interval with ``by``, not negative, added at both ends."""
        return Interval(self.low - by, self.high + by)

    def clipped(self, low: Array | float, high: Array | float) -> Interval:
        """Returns what a clip to [low, high] makes of it."""
        return Interval(np.clip(self.low, low, high), np.clip(self.high, low, high))

    def within(self, other: Interval) -> Interval:
        """Returns what lies in both, where it is known that something does."""
        return Interval(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def hull(self, other: Interval) -> Interval:
        """Returns the smallest interval that covers both."""
        return Interval(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def reshaped(self, shape: tuple[int, ...]) -> Interval:
        """Returns [boxes, *shape]."""
        return Interval(*(end.reshape((len(end), *shape)) for end in (self.low, self.high)))

    def regrouped(self, boxes: int) -> Interval:
        """Returns [boxes, rows, *shape] of [boxes * rows, *shape]."""
        low, high = (end.reshape((boxes, -1, *end.shape[1:])) for end in (self.low, self.high))
        return Interval(low, high)

    def ranked(self, rank: int) -> Interval:
        """Returns the interval with axes of one after the boxes, up to ``rank`` without them."""
        shape = self.low.shape[1:]
        return self.reshaped((1,) * (rank - len(shape)) + shape)


def constant(value: Array) -> Interval:
    """Returns a constant as an interval of no width."""
    return Interval(value[None], value[None])


@dataclass(frozen=True)
class Curve:
    """A function of one number that never falls.

    Attributes:
        value: the function.
        slopes: from two numbers to the smallest and the largest slope between them.
    """

    value: Callable[[Array], Array]
    slopes: Callable[[Array, Array], tuple[Array, Array]]

    def of(self, x: Interval) -> Interval:
        """Returns what the function makes of an interval."""
        return Interval(self.value(x.low), self.value(x.high))


def curve(kind: str, options: Any = None) -> Curve | None:
    """Returns the function that an operation, or a fused activation, applies; None for another."""
    if kind == "LEAKY_RELU":
        alpha = float(options["alpha"])
        return _leaky(alpha) if 0 <= alpha <= 1 else None
    return _CURVES.get(kind)


def _clip(low: float, high: float) -> Curve:
    def slopes(a: Array, b: Array) -> tuple[Array, Array]:
        smallest = np.where((a >= low) & (b <= high), 1.0, 0.0)
        return smallest, np.where((b <= low) | (a >= high), 0.0, 1.0)

    return Curve(lambda x: np.clip(x, low, high), slopes)


def _leaky(alpha: float) -> Curve:
    def slopes(a: Array, b: Array) -> tuple[Array, Array]:
        return np.where(a >= 0, 1.0, alpha), np.where(b <= 0, alpha, 1.0)

    return Curve(lambda x: np.where(x >= 0, x, alpha * x), slopes)


def _bell(value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Curve:
    """Returns a function whose slope is the same at -x and x and falls away from zero."""

    def slopes(a: Array, b: Array) -> tuple[Array, Array]:
        nearest = np.maximum(np.maximum(a, -b), 0.0)
        return slope(np.maximum(np.abs(a), np.abs(b))), slope(nearest)

    return Curve(value, slopes)


def _rising(value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Curve:
    """Returns a function whose slope never falls."""
    return Curve(value, lambda a, b: (slope(a), slope(b)))


def _exp(x: Array) -> Array:
    with np.errstate(over="ignore"):
        grown: Array = np.exp(x)
    return grown


def _sigmoid(x: Array) -> Array:
    # By 1 + tanh the digits of small results would be lost.
    decay = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1.0, decay) / (1.0 + decay)
    return result


_CURVES = {
    "ELU": _rising(
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
        lambda x: np.exp(np.minimum(x, 0.0)),
    ),
    "EXP": _rising(_exp, _exp),
    "LOGISTIC": _bell(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "RELU": _clip(0.0, np.inf),
    "RELU6": _clip(0.0, 6.0),
    "RELU_0_TO_1": _clip(0.0, 1.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "TANH": _bell(np.tanh, lambda x: np.cosh(np.minimum(x, 300.0)) ** -2.0),
}


def linear(kernel: Array, bias: Array | float, x: Interval) -> Interval:
    """Returns ``kernel @ x + bias`` over the last axis of x: exact, as every x may be a corner.

    Args:
        kernel: [outputs, inputs].
        bias: [outputs] or zero.
        x: [boxes, rows, inputs].
    """
    # As one matrix: NumPy multiplies a stack of single rows one by one.
    low, high = (end.reshape(-1, end.shape[-1]) for end in (x.low, x.high))
    middle = 0.5 * (low + high) @ kernel.T + bias
    reach = 0.5 * (high - low) @ np.abs(kernel).T
    return Interval(middle - reach, middle + reach).regrouped(len(x.low))


def weights(graph: Graph, node: Node) -> tuple[Array, Array | float]:
    """Returns the kernel [outputs, inputs] and bias of a FULLY_CONNECTED, in float64.

    Raises:
        ValueError: they are computed, or stored in a way that is not read; names the layer.
    """
    kernel = graph.tensors[node.inputs[1]]
    given = len(node.inputs) > 2 and node.inputs[2] >= 0
    bias = graph.tensors[node.inputs[2]] if given else None
    if kernel.value is None or (bias is not None and bias.value is None):
        raise ValueError(
            f"Bounds need constant weights. Received: {kernel.name!r} of the dtype "
            f"{kernel.dtype}, which is computed or stored in a way that is not read."
        )
    return kernel.value, 0.0 if bias is None or bias.value is None else bias.value


def rows(graph: Graph, node: Node, x: Interval) -> Interval:
    """Returns the input of a FULLY_CONNECTED as [boxes, rows, inputs]."""
    return x.reshaped((-1, graph.tensors[node.inputs[1]].shape[1]))


def softmax(x: Interval, beta: float) -> Interval:
    """Returns the softmax over the last axis: a share is largest where only its own score is."""

    def share(own: Array, others: Array) -> Array:
        top = np.maximum(own, others.max(axis=-1, keepdims=True))
        mine, rest = (
            np.exp(beta * (own - top)),
            np.exp(beta * (others[..., None, :] - top[..., None])),
        )
        size = own.shape[-1]
        total = np.where(np.eye(size, dtype=bool), 0.0, rest).sum(axis=-1)
        result: Array = mine / (mine + total)
        return result

    return Interval(share(x.low, x.high), share(x.high, x.low))
