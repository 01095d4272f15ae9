"""Ranking: which weights or groups go first, so that counts are exact or as near as can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfdrlprune.specs import Array

# Shares are worked out in float64: a share so near to a total is meant to be that total.
_CLOSE = 1e-6


def lowest(scores: Array, zeros: int, previous: Array | None = None) -> Array:
    """Returns the mask that removes exactly ``zeros`` weights, those with the lowest scores.

    Among equal scores the weights that ``previous`` had removed go first, then those with the
    lowest index, so that the count is exact where many scores are equal.

    Args:
        scores: any shape; must be finite.
        zeros: how many to remove, in [0, scores.size].
        previous: the mask so far, shaped as ``scores``.

    Returns:
        float32, shaped as ``scores``: 1 = the weight stays.

    Example:
        >>> lowest(np.array([3.0, 1.0, 1.0, 2.0]), zeros=1)
        array([1., 0., 1., 1.], dtype=float32)
    """
    flat = np.ravel(scores)
    mask = np.ones(flat.size, np.float32)
    if zeros:
        threshold = np.partition(flat, zeros - 1)[zeros - 1]
        mask[flat < threshold] = 0.0
        ties = np.flatnonzero(flat == threshold)
        if previous is not None:
            kept = np.ravel(previous)[ties] != 0.0
            ties = np.concatenate([ties[~kept], ties[kept]])
        mask[ties[: zeros - int(np.count_nonzero(mask == 0.0))]] = 0.0
    return mask.reshape(scores.shape)


@dataclass(frozen=True)
class Offer:
    """The groups of a kernel that may go at an update; a group may be a single weight.

    Attributes:
        scores: [groups], finite.
        kept: [groups], whether a group has been there until now.
        sizes: [groups], weights in each; None where it is one each.
        weights: of the kernel, also those that may not go.
        shape_sum: sizes of the kernel's axes added up, which ERK goes by.
        index: [groups], which of the kernel's groups these are; None for all.
        stays: lowest score of the groups that may not go; infinity where all may.
    """

    scores: Array
    kept: Array
    sizes: Array | None
    weights: int
    shape_sum: int
    index: Array | None = None
    stays: float = math.inf

    @property
    def capacity(self) -> int:
        """How many weights may go."""
        return self.scores.size if self.sizes is None else int(self.sizes.sum())

    def neighbours(self, share: float) -> tuple[int, int]:
        """Returns the numbers of weights next below and above a share that can be removed.

        They are equal where the share itself can be removed, or where no more can.
        """
        if self.sizes is None:
            below, above = math.floor(share + _CLOSE), math.ceil(share - _CLOSE)
            return min(max(below, 0), self.capacity), min(max(above, 0), self.capacity)
        below_index = max(int(np.searchsorted(self._totals, share + _CLOSE, "right")) - 1, 0)
        above_index = int(np.searchsorted(self._totals, share - _CLOSE))
        above_index = min(above_index, len(self._totals) - 1)
        return int(self._totals[below_index]), int(self._totals[above_index])

    def mask(self, zeros: int) -> Array:
        """Returns float32 [groups] that removes ``zeros`` weights, one of the `neighbours`."""
        if self.sizes is None:
            return lowest(self.scores, zeros, self.kept)
        mask = np.ones(self.scores.size, np.float32)
        mask[self._order[: int(np.searchsorted(self._totals, zeros))]] = 0.0
        return mask

    def threshold(self, mask: Array) -> float:
        """Returns the lowest score of what a mask [groups] keeps; NaN where nothing stays.

        Not the highest of what goes: what went at an earlier update scores nothing any more.
        """
        lowest_kept = min(self.scores[mask != 0.0].min(initial=math.inf), self.stays)
        return float(lowest_kept) if lowest_kept < math.inf else math.nan

    @cached_property
    def _order(self) -> Array:
        """Lowest scores first; among equal ones those that are gone already, then by index.

        The largest of those that are gone stands last among them. So a count that once was the
        nearest is the nearest for every larger share as well, and nothing comes back.
        """
        assert self.sizes is not None
        return np.lexsort((np.where(self.kept, 0, self.sizes), self.kept, self.scores))

    @cached_property
    def _totals(self) -> Array:
        """Weights that are removed with the first 0, 1, 2, ... groups."""
        assert self.sizes is not None
        return np.concatenate([[0], np.cumsum(self.sizes[self._order])])
