"""Boxes of observations: for each number a lowest and a highest, and the smaller boxes inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.deployment.artifact import signature_names
from tfdrlprune.evidence.bounding.intervals import Interval
from tfdrlprune.specs import Array, ArraySpec, Nest, flatten, flatten_like

# More halvings than this take memory and time for little.
_MOST_SPLITS = 20


@dataclass(frozen=True, eq=False)
class Box:
    """All observations between two; see `given`, `of_spec` and `of_visited`.

    Attributes:
        nest: the observation's specs.
        low: float64 [numbers], those of all leaves behind each other, in C order.
        high: likewise, nowhere below ``low``.
    """

    nest: Nest
    low: Array
    high: Array

    def inputs(self, low: Array, high: Array) -> dict[str, Interval]:
        """Returns name in the model's signature -> interval, for boxes inside this one.

        Args:
            low: [boxes, numbers].
            high: likewise.
        """
        names = signature_names(self.nest)
        found, start = {}, 0
        for name, spec in zip(names, flatten(self.nest), strict=True):
            end = start + int(np.prod(spec.shape, dtype=int))
            part = Interval(low[:, start:end], high[:, start:end])
            found[name] = part.reshaped((1, *spec.shape))
            start = end
        return found

    def cut(self, splits: int, widths: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
        """Returns ``2**splits`` boxes of equal volume that cover this one: low and high.

        All are cut in half along one number after the other. Which one is told by how much
        narrower the bounds are in the halves of the whole box, halved with each cut along it.

        Args:
            splits: how often; numbers that have no width are never cut.
            widths: from boxes [boxes, numbers] to how wide the bounds are, [boxes].

        Returns:
            Two arrays [boxes, numbers].

        Raises:
            ValueError: ``splits`` is out of its range.
        """
        if not 0 <= splits <= _MOST_SPLITS:
            raise ValueError(
                f"splits is how often a box is halved, 0 to {_MOST_SPLITS}. "
                f"Received: splits={splits}."
            )
        low, high = self.low[None], self.high[None]
        open_ = np.flatnonzero(self.high > self.low)
        if not splits or not len(open_):
            return low, high
        halves = [_halved(low, high, number) for number in open_]
        found = widths(*(np.concatenate(ends) for ends in zip(*halves, strict=True)))
        gain = widths(low, high) - found.reshape(-1, 2).mean(axis=1)
        # Where no cut promises anything, they go round.
        gain = np.maximum(gain, 1e-9 * max(1.0, float(np.abs(gain).max())))
        for _ in range(splits):
            best = int(np.argmax(gain))
            low, high = _halved(low, high, open_[best])
            gain[best] /= 2
        return low, high


def given(nest: Nest, low: Any, high: Any) -> Box:
    """Returns the box between two observations, each nested as ``nest``.

    Raises:
        ValueError: another nesting or shape, numbers that are not finite, or ``low`` above
            ``high``; names the leaf.
    """
    ends: list[list[Array]] = [[], []]
    for spec, least, most in zip(
        flatten(nest), flatten_like(nest, low), flatten_like(nest, high), strict=True
    ):
        pair = [np.asarray(each, np.float64) for each in (least, most)]
        if any(each.shape != spec.shape for each in pair):
            raise ValueError(
                f"A box has two numbers for each of the observation {spec.name!r}, of the shape "
                f"{spec.shape}. Received: {pair[0].shape} and {pair[1].shape}."
            )
        if not all(np.isfinite(each).all() for each in pair) or (pair[0] > pair[1]).any():
            raise ValueError(
                f"A box goes from a lower to a higher finite number. Received for {spec.name!r}: "
                f"{pair[0].tolist()} to {pair[1].tolist()}."
            )
        for end, each in zip(ends, pair, strict=True):
            end.append(_as_given(spec, each))
    return Box(nest, *(np.concatenate(end) for end in ends))


def of_spec(nest: Nest) -> Box:
    """Returns the box of the observation's own bounds.

    Raises:
        ValueError: a number has none, or such beyond a million, which say "unbounded"; names it.
    """
    ends: list[list[Array]] = [[], []]
    for spec in flatten(nest):
        pair = _observations.bounds(spec)
        widest = np.maximum(*np.abs(pair))
        open_ = np.flatnonzero(widest > _observations.UNBOUNDED)
        if len(open_):
            raise ValueError(
                f"The observation {spec.name!r} has no bounds for its numbers {open_.tolist()}, so "
                "it makes no box. Give one, or take the box of visited states."
            )
        for end, each in zip(ends, pair, strict=True):
            end.append(_as_given(spec, each))
    return Box(nest, *(np.concatenate(end) for end in ends))


def of_visited(nest: Nest, observations: Any) -> Box:
    """Returns the smallest box around recorded observations, nested, [count, ...].

    Raises:
        ValueError: there are none, or they do not fit.
    """
    leaves = batch(nest, observations)
    return Box(
        nest,
        *(
            np.concatenate([end(leaf, axis=0).ravel().astype(np.float64) for leaf in leaves])
            for end in (np.min, np.max)
        ),
    )


def batch(nest: Nest, observations: Any) -> Sequence[Array]:
    """Returns the leaves of recorded observations, checked, each [count, *shape].

    Raises:
        ValueError: they are a single observation, none at all, or do not fit; see
            `observations.as_batch`, which also raises TypeError.
    """
    leaves, batched = _observations.as_batch(nest, observations)
    if not batched or not len(leaves[0]):
        raise ValueError(
            "Visited observations are a batch of at least one. Received: "
            f"{'an empty batch' if batched else 'one observation without a batch axis'}."
        )
    return leaves


def _as_given(spec: ArraySpec, end: Array) -> Array:
    """Returns an end as numbers that the policy can be given, float64 in C order.

    An observation is rounded to the spec's dtype before the policy sees it. Rounding keeps the
    order, so that it stays between the rounded ends. Integers need no rounding.
    """
    rounds = np.dtype(spec.dtype).kind == "f"
    return (end.astype(spec.dtype) if rounds else end).ravel().astype(np.float64)


def _halved(low: Array, high: Array, number: int) -> tuple[Array, Array]:
    middle = 0.5 * (low[:, number] + high[:, number])
    below, above = high.copy(), low.copy()
    below[:, number], above[:, number] = middle, middle
    return np.concatenate([low, above]), np.concatenate([below, high])
