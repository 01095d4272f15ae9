"""The selector: which weights of some kernels go at a given sparsity, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfdrlprune.pruning.criteria import Criterion, criterion
from tfdrlprune.pruning.distribution import DISTRIBUTIONS, Distribution, allocate, as_given
from tfdrlprune.pruning.granularity import Part, parts_of
from tfdrlprune.pruning.kernel_names import named
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.recipe import Selection
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Choice:
    """What a selector chose.

    Attributes:
        masks: for each kernel.
        thresholds: for each kernel, the lowest score of what stays, as `Offer.threshold` says.
    """

    masks: list[Array]
    thresholds: list[float]


class Selector:
    """Chooses masks for some kernels.

    Args:
        kernels: what is pruned; only names and shapes are read.
        selection: granularity, criterion, group score, distribution and threshold.
        final: last sparsity of the schedule; None where nobody knows.
        seed: of the random criterion.
        score: the criterion, where it needs more than a name and a seed; takes the values of the
            kernels, and of others behind them.
        outgoing: scores of all that ``score`` is given -> for each kernel [units], the mean score
            of the weights that read the unit; for the group score "in+out".

    Raises:
        ValueError: the granularity or the dictionary cannot end at ``final``, or the dictionary
            names no kernel.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        selection: Selection,
        final: float | None,
        seed: int,
        score: Criterion | None = None,
        outgoing: Callable[[Sequence[Array]], list[Array]] | None = None,
    ):
        self._selection = selection
        self._pattern = selection.pattern
        if final is not None:
            self._pattern.check_final(final)
        self._parts = parts_of(kernels, self._pattern)
        self._criterion = score or criterion(selection.criterion, seed)
        self._outgoing = outgoing
        self._distribution = _distribution(selection, kernels, self._parts, final)

    def masks(
        self, values: Sequence[Array], sparsity: float, previous: Sequence[Array]
    ) -> list[Array]:
        """Returns the masks that `choose` does."""
        return self.choose(values, sparsity, previous).masks

    def choose(self, values: Sequence[Array], sparsity: float, previous: Sequence[Array]) -> Choice:
        """Returns masks that remove ``round(sparsity * weights)`` weights, or as near as can be.

        Blocks and units go whole: then each kernel's count is next to its share, and the total
        the nearest that such counts give. Fewer go where a threshold or an N:M pattern that does
        not divide the inputs leaves no more.

        Args:
            values: of the kernels, and of the others that the criterion takes.
            sparsity: over all kernels, in [0, 1).
            previous: the masks so far; what is gone goes first among equal scores.

        Raises:
            ValueError: N:M cannot remove so much, or a score is NaN or infinite.
        """
        sparsity = self._pattern.reached(sparsity)
        scores = self._criterion(values)
        outgoing = None if self._outgoing is None else self._outgoing(scores)
        offers = [part.offer(scores, previous, self._selection, outgoing) for part in self._parts]
        zeros = round(sparsity * sum(offer.weights for offer in offers))
        zeros = min(zeros, sum(offer.capacity for offer in offers))
        counts = allocate(offers, self._distribution(offers, zeros), zeros)
        masks: dict[int, Array] = {}
        thresholds: dict[int, float] = {}
        for part, offer, count in zip(self._parts, offers, counts, strict=True):
            chosen, threshold = part.masks(offer, count)
            masks.update(chosen)
            thresholds |= dict.fromkeys(part.members, threshold)
        order = range(len(previous))
        return Choice([masks[each] for each in order], [thresholds[each] for each in order])


def _distribution(
    selection: Selection, kernels: Sequence[Kernel], parts: Sequence[Part], final: float | None
) -> Distribution:
    if isinstance(selection.distribution, str):
        return DISTRIBUTIONS[selection.distribution]
    if final is None:
        raise ValueError(
            "A distribution by name needs a schedule whose last sparsity is known: one of "
            "tp.schedules or of tfmot's, or a function with an attribute final_sparsity."
        )
    wanted: dict[str, float] = {}
    # A kernel's own name goes before its layer's.
    for name, sparsity in sorted(selection.distribution.items(), key=lambda item: "/" in item[0]):
        for kernel in named(kernels, name, "to prune"):
            wanted[kernel.name] = sparsity
    sparsities = [_of_part(part, wanted) for part in parts]
    _check_feasible(parts, sparsities, final)
    return as_given(sparsities, final)


def _of_part(part: Part, wanted: dict[str, float]) -> float | None:
    """Returns the mean over the part's kernels that are named; None where none is."""
    pairs = [
        (wanted[kernel.name], np.prod(kernel.shape))
        for kernel in part.kernels
        if kernel.name in wanted
    ]
    if not pairs:
        return None
    return float(np.average([s for s, _ in pairs], weights=[size for _, size in pairs]))


def _check_feasible(
    parts: Sequence[Part], sparsities: Sequence[float | None], final: float
) -> None:
    """Raises ValueError unless the others can make up for what the named kernels lose."""
    sizes = [sum(int(np.prod(k.shape)) for k in part.kernels) for part in parts]
    pairs = list(zip(sizes, sparsities, strict=True))
    given = sum(size * s for size, s in pairs if s is not None)
    free = sum(size for size, s in pairs if s is None)
    total = sum(sizes)
    # Of a sparsity written with three digits.
    if not -1e-3 * total <= final * total - given <= free + 1e-3 * total:
        low, high = given / total, (given + free) / total
        can = f"{low:.4g}" if free == 0 else f"between {low:.4g} and {high:.4g}"
        raise ValueError(
            f"The sparsities by name make a total sparsity of {can}. Received: "
            f"sparsity={final:.4g}. Write sparsity={min(max(final, low), high):.4g}."
        )
