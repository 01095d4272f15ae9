"""Distributions: how many weights each kernel loses, exact in total.

Each takes the kernels' scores, of which `uniform` and `erk` read only the shapes, and the total
number of weights to remove; each returns one count per kernel, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[NDArray[np.floating]]
Distribution = Callable[[Scores, int], list[int]]


def uniform(scores: Scores, zeros: int) -> list[int]:
    """Returns counts that give every kernel the same sparsity, to within one weight.

    Example:
        >>> uniform([np.ones((4, 5)), np.ones((5, 2))], zeros=15)
        [10, 5]
    """
    sizes = np.array([score.size for score in scores])
    return _round_to_total(zeros * sizes / sizes.sum(), sizes, zeros)


def erk(scores: Scores, zeros: int) -> list[int]:
    """Returns counts by Erdős-Rényi-Kernel: density in proportion to sum(shape) / prod(shape).

    Small kernels, which in RL are the first and the last, stay nearly dense. A kernel whose share
    exceeds its size is kept whole and the rest is shared again (Mocanu et al. 2018; Evci et al.
    2020, "Rigging the Lottery", section 3).

    Example:
        >>> erk([np.ones((4, 64)), np.ones((64, 64)), np.ones((64, 2))], zeros=4032)
        [140, 3877, 15]
    """
    sizes = np.array([score.size for score in scores])
    shares = np.array([float(sum(score.shape)) for score in scores])
    kept = sizes.sum() - zeros
    whole = np.zeros(len(sizes), dtype=bool)
    while True:
        left = kept - sizes[whole].sum()
        keep = np.where(whole, sizes, left * shares / max(shares[~whole].sum(), 1.0))
        over = (keep > sizes) & ~whole
        if not over.any():
            return _round_to_total(sizes - keep, sizes, zeros)
        whole |= over


def pooled(scores: Scores, zeros: int) -> list[int]:
    """Returns counts that remove the lowest scores of all kernels taken together ("global").

    Ties go to the earlier kernel, so that the count is exact.

    Example:
        >>> pooled([np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.5])], zeros=2)
        [1, 1]
    """
    flat = np.concatenate([np.ravel(score) for score in scores])
    owner = np.repeat(np.arange(len(scores)), [score.size for score in scores])
    lowest = np.argsort(flat, kind="stable")[:zeros]
    return np.bincount(owner[lowest], minlength=len(scores)).tolist()


DISTRIBUTIONS: dict[str, Distribution] = {"erk": erk, "uniform": uniform, "global": pooled}


def _round_to_total(
    exact: NDArray[np.floating], sizes: NDArray[np.integer], total: int
) -> list[int]:
    """Returns integers that sum to ``total``, each within one of ``exact`` (largest remainder)."""
    counts = np.clip(np.floor(exact + 1e-9), 0, sizes).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    for index in np.resize(order, 2 * len(order)):
        if counts.sum() == total:
            break
        counts[index] += counts[index] < sizes[index]
    return counts.tolist()
