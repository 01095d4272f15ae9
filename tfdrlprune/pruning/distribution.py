"""Distributions: how many weights each kernel loses, exact in total or as near as groups allow.

Each takes what the kernels offer and the number of weights to remove in all, at most as many as are
offered; each returns a share for each kernel, a fraction of a weight included. `allocate` makes
whole groups of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfdrlprune.pruning.ranking import Offer
from tfdrlprune.specs import Array

Distribution = Callable[[Sequence[Offer], float], Array]

# Combinations of rounded shares that `allocate` follows: all of them for up to eight kernels.
_FOLLOWED = 256


def uniform(offers: Sequence[Offer], zeros: float) -> Array:
    """Returns shares that give every kernel the same sparsity."""
    return _by_density(offers, zeros, np.array([float(offer.weights) for offer in offers]))


def erk(offers: Sequence[Offer], zeros: float) -> Array:
    """Returns shares by Erdős-Rényi-Kernel: density in proportion to sum(shape) / prod(shape).

    Small kernels, which in RL are the first and the last, stay nearly dense. A kernel whose share
    exceeds its size is kept whole and the rest is shared again (Mocanu et al. 2018; Evci et al.
    2020, "Rigging the Lottery", section 3).
    """
    return _by_density(offers, zeros, np.array([float(offer.shape_sum) for offer in offers]))


def pooled(offers: Sequence[Offer], zeros: float) -> Array:
    """Returns counts that remove the lowest scores of all kernels taken together ("global").

    Among equal scores what is gone already goes first, then the earlier kernel.
    """
    sizes = [np.ones(o.scores.size, int) if o.sizes is None else o.sizes for o in offers]
    every = Offer(
        np.concatenate([offer.scores for offer in offers]),
        np.concatenate([offer.kept for offer in offers]),
        None if all(offer.sizes is None for offer in offers) else np.concatenate(sizes),
        weights=sum(offer.weights for offer in offers),
        shape_sum=0,
    )
    nearest = max(every.neighbours(zeros), key=lambda total: (-abs(total - zeros), total))
    gone = every.mask(nearest) == 0.0
    ends = np.cumsum([offer.scores.size for offer in offers])[:-1]
    parts = zip(np.split(gone, ends), sizes, strict=True)
    return np.array([float(size[part].sum()) for part, size in parts])


def as_given(sparsities: Sequence[float | None], final: float) -> Distribution:
    """Returns the distribution that ends at the given sparsities.

    Args:
        sparsities: of each kernel when the total is ``final``; before, they are lower in
            proportion. Kernels with None share by `erk` what the total leaves them.
        final: last sparsity of the schedule.
    """
    open_ = np.array([sparsity is None for sparsity in sparsities])
    wanted = np.array([sparsity or 0.0 for sparsity in sparsities])

    def shares(offers: Sequence[Offer], zeros: float) -> Array:
        weights = np.array([offer.weights for offer in offers])
        found = wanted * weights * (zeros / (final * weights.sum()) if final else 0.0)
        if open_.any():
            rest = [offer for offer, free in zip(offers, open_, strict=True) if free]
            found[open_] = erk(rest, max(zeros - found.sum(), 0.0))
        elif found.sum():
            found *= zeros / found.sum()  # the dictionary's own rounding
        return np.minimum(found, [offer.capacity for offer in offers])

    return shares


DISTRIBUTIONS: dict[str, Distribution] = {"erk": erk, "uniform": uniform, "global": pooled}


def allocate(offers: Sequence[Offer], shares: Array, zeros: int) -> list[int]:
    """Returns how many weights each kernel loses: its share, rounded to whole groups.

    The total is the nearest to ``zeros`` that rounding each share down or up can give, which for
    single weights is ``zeros`` itself; of all ways to that total the one nearest to the shares.

    Example:
        >>> def dense(*shape):
        ...     size = int(np.prod(shape))
        ...     return Offer(np.ones(size), np.ones(size, bool), None, size, sum(shape))
        >>> offers = [dense(4, 64), dense(64, 64), dense(64, 2)]
        >>> allocate(offers, erk(offers, 4032), 4032)
        [140, 3877, 15]
    """
    # total so far -> (distance from the shares, counts so far, negative so that more goes first)
    found: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    aim = 0.0
    for offer, share in zip(offers, shares, strict=True):
        aim += share
        choices = set(offer.neighbours(share))
        grown: dict[int, tuple[float, tuple[int, ...]]] = {}
        for total, (distance, counts) in found.items():
            for count in choices:
                way = (round(distance + abs(count - share), 6), (*counts, -count))
                other = grown.get(total + count)
                if other is None or way < other:
                    grown[total + count] = way
        found = {total: grown[total] for total in _nearest(grown, aim)[:_FOLLOWED]}
    best = min(found, key=lambda total: (abs(total - zeros), found[total][0], -total))
    return [-count for count in found[best][1]]


def _nearest(totals: Iterable[int], aim: float) -> list[int]:
    return sorted(totals, key=lambda total: (abs(total - aim), total))


def _by_density(offers: Sequence[Offer], zeros: float, shares: Array) -> Array:
    """Returns what goes where kernels keep weights in proportion to ``shares``, within bounds."""
    sizes = np.array([float(offer.weights) for offer in offers])
    must_stay = sizes - [offer.capacity for offer in offers]
    # What is kept grows with a common level, in straight pieces between these corners.
    corners = np.sort(np.concatenate([must_stay / shares, sizes / shares]))
    kept = np.clip(corners[:, None] * shares, must_stay, sizes).sum(axis=1)
    level = np.interp(sizes.sum() - zeros, kept, corners)
    return sizes - np.clip(level * shares, must_stay, sizes)
