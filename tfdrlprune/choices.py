"""One row of scores for several choices: where an argmax head's action has more than one number.

The scores of all numbers stand behind each other, in C order of the action's shape, and each number
is the index of the largest of its own. A policy with one number is the case of one group. NumPy
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Choices:
    """How many values each number of an action can take, and so which scores are whose.

    Attributes:
        counts: for each number in C order, at least 1.

    Example:
        >>> scores = np.array([[0.1, 0.9, 5.0, 4.0, 6.0]])
        >>> Choices((2, 3)).best(scores)
        array([[1, 2]])
    """

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many scores there are."""
        return sum(self.counts)

    @property
    def equal(self) -> bool:
        """Whether all numbers have as many values, so that a reshape makes rows of them."""
        return len(set(self.counts)) <= 1

    @cached_property
    def slices(self) -> list[slice]:
        """Where the scores of each number are."""
        ends = np.cumsum(self.counts).tolist()
        return [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]

    @cached_property
    def positions(self) -> Array:
        """Where they are, as a table [numbers, widest]; short rows end in their first again.

        An arg-max takes the first of equal scores, so what is repeated never wins.
        """
        return np.array(
            [
                [*range(part.start, part.stop), *[part.start] * (max(self.counts) - count)]
                for part, count in zip(self.slices, self.counts, strict=True)
            ]
        )

    @cached_property
    def own(self) -> Array:
        """Bool, [numbers, widest]: what in the table is not repeated."""
        return np.arange(max(self.counts)) < np.array(self.counts)[:, None]

    @cached_property
    def owners(self) -> Array:
        """Which number each score is for, [total]."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def rows(self, scores: Array) -> Array:
        """Returns scores [..., total] as [..., numbers, widest], laid out as `positions`."""
        if self.equal:
            return scores.reshape((*scores.shape[:-1], *self.own.shape))
        return scores[..., self.positions]

    def best(self, scores: Array) -> Array:
        """Returns the index of each number's largest score, [..., numbers], the first of equals."""
        found: Array = self.rows(scores).argmax(axis=-1)
        return found

    def taken(self, scores: Array, index: Array) -> Array:
        """Returns the scores of the values at ``index``, both [..., numbers]."""
        return np.take_along_axis(self.rows(scores), index[..., None], axis=-1)[..., 0]

    def gaps(self, scores: Array) -> Array:
        """Returns each number's largest score minus its second, [..., numbers].

        Infinite where a number has one value only.
        """
        rows = np.where(self.own, self.rows(scores), -np.inf)
        if rows.shape[-1] == 1:
            return np.full(rows.shape[:-1], np.inf)
        ordered = np.sort(rows, axis=-1)
        gaps: Array = ordered[..., -1] - ordered[..., -2]
        return gaps

    def means(self, scores: Array) -> Array:
        """Returns, for each score, the mean of all that are for the same number, [..., total]."""
        parts = [
            np.broadcast_to(own.mean(axis=-1, keepdims=True), own.shape)
            for own in (scores[..., part] for part in self.slices)
        ]
        return np.concatenate(parts, axis=-1)

    def centred(self, scores: Array) -> Array:
        """Returns scores of which all for one number have lost their mean; it decides nothing."""
        return scores - self.means(scores)
