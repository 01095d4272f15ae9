"""Drop and grow: one exchange of weights between those that are there and those that are not."""

from __future__ import annotations

import math

import numpy as np

from tfdrlprune.pruning.ranking import lowest
from tfdrlprune.specs import Array


def drop_and_grow(weights: Array, mask: Array, growth: Array, count: int) -> tuple[Array, Array]:
    """Returns a mask of as many weights, ``count`` of them exchanged, and which ones are new.

    The weights nearest to zero go; then those with the highest growth scores come, among all that
    are not there, what has just gone included (Evci et al. 2020, "Rigging the Lottery", section 3).

    Args:
        weights: any shape.
        mask: shaped alike, 1 = the weight is there.
        growth: shaped alike: scores of growing.
        count: how many to exchange; at most as many as are there, or as are not.

    Returns:
        The mask, float32, and bool, True where a weight has come (back): it starts at zero.

    Example:
        >>> weights, mask = np.array([3.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
        >>> drop_and_grow(weights, mask, growth=np.array([0.0, 0.0, 1.0, 2.0]), count=1)
        (array([1., 0., 0., 1.], dtype=float32), array([False, False, False,  True]))
    """
    there = mask != 0.0
    active = int(there.sum())
    count = min(count, active, mask.size - active)
    if count == 0:
        return there.astype(np.float32), np.zeros(mask.shape, bool)
    # What is not there goes first; then the smallest of what is.
    kept = lowest(np.where(there, np.abs(weights), -1.0), mask.size - active + count) != 0.0
    grown = lowest(np.where(kept, -np.inf, growth), mask.size - count) != 0.0
    return (kept | grown).astype(np.float32), grown


def drop_share(fraction: float, step: int, end_step: int) -> float:
    """Returns the share of weights to exchange at a step: half a cosine from ``fraction`` to 0.

    Dettmers & Zettlemoyer 2019; RigL's default.

    Example:
        >>> round(drop_share(0.3, step=50, end_step=100), 3)
        0.15
    """
    if step >= end_step:
        return 0.0
    return fraction / 2 * (1.0 + math.cos(math.pi * step / end_step))
