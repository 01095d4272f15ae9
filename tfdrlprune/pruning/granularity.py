"""Granularity: which weights go together, and what a group of them scores.

A kernel is taken as a matrix [inputs, outputs], see `Kernel.outputs`. Elements and N:M choose
single weights, N:M among those that its pattern does not keep; blocks, units and layers are groups,
told by an integer for each weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.ranking import Offer
from tfdrlprune.recipe import Selection
from tfdrlprune.recipe.forms import Pattern
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Groups:
    """A partition of a matrix's weights.

    Attributes:
        owner: [weights], the group of each weight, row by row; every group has some.
        sizes: [groups], weights in each.
    """

    owner: Array
    sizes: Array = field(init=False)
    _by_owner: Array = field(init=False)
    _starts: Array = field(init=False)

    def __post_init__(self) -> None:
        sizes = np.bincount(self.owner)
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "_by_owner", np.argsort(self.owner, kind="stable"))
        object.__setattr__(self, "_starts", np.cumsum(sizes) - sizes)

    def score(self, scores: Array, how: str) -> Array:
        """Returns [groups], float64: the "max", for "l2" the root mean square, else the mean.

        The size is divided out of the L2 norm, so that the smaller groups at a matrix's edge are
        comparable with the others, and so are the units of different kernels.
        """
        ordered = scores[self._by_owner].astype(np.float64)
        if how == "max":
            return np.maximum.reduceat(ordered, self._starts)
        if how == "l2":
            return np.sqrt(np.add.reduceat(ordered**2, self._starts) / self.sizes)
        return np.add.reduceat(ordered, self._starts) / self.sizes

    def any(self, flags: Array) -> Array:
        """Returns [groups]: whether the flag of any weight is set."""
        return np.bincount(self.owner, weights=flags) > 0


def blocks(inputs: int, outputs: int, pattern: Pattern) -> Groups:
    """Returns blocks of ``height`` inputs by ``width`` outputs; those at the edges are smaller.

    Example:
        >>> blocks(3, 3, Pattern("block", 2, 2)).owner.reshape(3, 3)
        array([[0, 0, 1],
               [0, 0, 1],
               [2, 2, 3]])
    """
    rows = np.arange(inputs)[:, None] // pattern.height
    columns = np.arange(outputs) // pattern.width
    return Groups(np.ravel(rows * (-(-outputs // pattern.width)) + columns))


def units(inputs: int, outputs: int, gates: int) -> Groups:
    """Returns the columns; a recurrent unit has one in every gate, which lie side by side.

    Example:
        >>> units(1, 8, gates=4).owner
        array([0, 1, 0, 1, 0, 1, 0, 1])
    """
    return Groups(np.tile(np.arange(outputs) % (outputs // gates), inputs))


def beyond_pattern(scores: Array, kept: Array, outputs: int, pattern: Pattern) -> Array:
    """Returns the indices of the weights that N:M does not keep, ascending.

    Of every M consecutive inputs of an output all but the N with the highest scores go; of fewer at
    the end, all but N too. Among equal scores those that are gone already go first, then those with
    the lowest index.

    Args:
        scores: [inputs * outputs], row by row.
        kept: [inputs * outputs], whether a weight has been there until now.
        outputs: columns of the matrix.
        pattern: of kind "n:m".
    """
    inputs = scores.size // outputs
    exact = scores.astype(np.float64)
    # What is gone comes just before its equals: no score in float32 lies between these two.
    flat = np.where(kept, exact, np.nextafter(exact, -np.inf)).reshape(inputs, outputs)
    # What lacks at the end counts as gone: then N of what is there are left.
    padding = ((0, -inputs % pattern.of), (0, 0))
    keys = np.pad(flat, padding, constant_values=-np.inf).reshape(-1, pattern.of, outputs)
    gone = np.empty(keys.shape, bool)
    for index in range(pattern.of):
        # Each by its rank: a third of the time that sorting so many short columns takes.
        before = [
            keys[:, other] <= keys[:, index] if other < index else keys[:, other] < keys[:, index]
            for other in range(pattern.of)
            if other != index
        ]
        gone[:, index] = np.sum(before, axis=0, dtype=np.int16) < pattern.of - pattern.kept
    return np.flatnonzero(gone.reshape(-1, outputs)[:inputs])


@dataclass(frozen=True)
class Part:
    """Kernels that are pruned as one matrix, mostly a single one.

    Attributes:
        members: indices of the kernels; their matrices stand one below the other.
        kernels: these kernels.
        pattern: what goes together.
        groups: the partition by blocks, units or as a whole; None where single weights are chosen.
    """

    members: tuple[int, ...]
    kernels: tuple[Kernel, ...]
    pattern: Pattern
    groups: Groups | None

    def offer(
        self,
        scores: Sequence[Array],
        masks: Sequence[Array],
        selection: Selection,
        outgoing: Sequence[Array] | None = None,
    ) -> Offer:
        """Returns what may go now.

        Args:
            scores: of all kernels, each shaped as its kernel.
            masks: of all kernels, as they are.
            selection: the group score and the threshold.
            outgoing: of each kernel, [units], what the group score "in+out" adds.

        Raises:
            ValueError: a score is NaN or infinite.
        """
        flat, kept = self._flat(scores), self._flat(masks) != 0
        if not np.isfinite(flat).all():
            raise ValueError(
                "A weight's score is NaN or infinite: training diverged before pruning."
            )
        sizes = None
        if self.groups is not None:
            flat = self.groups.score(flat, selection.group_score)
            if outgoing is not None:
                flat = flat + outgoing[self.members[0]]
            kept, sizes = self.groups.any(kept), self.groups.sizes
        index = self._index(flat, kept, selection.threshold)
        stays = np.inf
        if index is not None:
            stays = np.delete(flat, index).min(initial=np.inf)
            flat, kept = flat[index], kept[index]
            sizes = None if sizes is None else sizes[index]
        shape_sum = sum(sum(kernel.shape) for kernel in self.kernels)
        weights = sum(int(np.prod(kernel.shape)) for kernel in self.kernels)
        return Offer(flat, kept, sizes, weights, shape_sum, index, float(stays))

    def masks(self, offer: Offer, zeros: int) -> tuple[list[tuple[int, Array]], float]:
        """Returns the masks that remove ``zeros`` weights in all, and the lowest score that stays.

        Each mask comes with the index of the member that it is for.
        """
        mask = offer.mask(zeros)
        threshold = offer.threshold(mask)
        if offer.index is not None:
            everything = offer.weights if self.groups is None else self.groups.sizes.size
            mask, some = np.ones(everything, np.float32), mask
            mask[offer.index] = some
        if self.groups is not None:
            mask = mask[self.groups.owner]
        ends = np.cumsum([int(np.prod(kernel.shape)) for kernel in self.kernels])[:-1]
        parts = zip(self.members, np.split(mask, ends), self.kernels, strict=True)
        return [(member, kernel.from_matrix(flat)) for member, flat, kernel in parts], threshold

    def _flat(self, arrays: Sequence[Array]) -> Array:
        # Rows of one kernel come before those of the next, and all have the same columns.
        flat = [
            np.ravel(kernel.matrix(arrays[member]))
            for member, kernel in zip(self.members, self.kernels, strict=True)
        ]
        return flat[0] if len(flat) == 1 else np.concatenate(flat)

    def _index(self, scores: Array, kept: Array, threshold: float | None) -> Array | None:
        """Returns which groups may go; None where all may."""
        index = None
        if self.pattern.kind == "n:m":
            index = beyond_pattern(scores, kept, self.kernels[0].outputs, self.pattern)
        if threshold is None:
            return index
        below = scores < threshold
        return np.flatnonzero(below) if index is None else index[below[index]]


def parts_of(kernels: Sequence[Kernel], pattern: Pattern) -> list[Part]:
    """Returns the kernels as parts: each by itself, but a recurrent layer's units together.

    With granularity "layer" all kernels of a layer are together.
    """
    together: dict[Any, list[int]] = {}
    for index, kernel in enumerate(kernels):
        recurrent = kernel.attribute in ("kernel", "recurrent_kernel")
        shared = pattern.kind == "layer" or (pattern.kind == "unit" and recurrent)
        together.setdefault(kernel.layer if shared else index, []).append(index)
    return [_part(members, [kernels[m] for m in members], pattern) for members in together.values()]


def _part(members: Sequence[int], kernels: Sequence[Kernel], pattern: Pattern) -> Part:
    outputs = kernels[0].outputs
    weights = sum(int(np.prod(kernel.shape)) for kernel in kernels)
    inputs = weights // outputs
    groups = None
    if pattern.kind == "unit":
        groups = units(inputs, outputs, kernels[0].gates)
    elif pattern.kind == "layer":
        groups = Groups(np.zeros(weights, int))
    elif pattern.kind == "block" and pattern.height * pattern.width > 1:
        groups = blocks(inputs, outputs, pattern)
    return Part(tuple(members), tuple(kernels), pattern, groups)
