"""Rewiring: sparse from the beginning, with masks that exchange weights while training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.experience import Experience
from tfdrlprune.pruning.gradients import GradientSums
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masks import Masks
from tfdrlprune.pruning.moments import reset
from tfdrlprune.pruning.regrowth import drop_and_grow, drop_share
from tfdrlprune.pruning.selector import Selector
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Selection
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Exchange:
    """What is exchanged, and how much.

    Attributes:
        method: "static" exchanges nothing; "set" grows at random; "rigl" grows where the dense
            gradient is largest.
        drop_fraction: share of the weights that are exchanged first; falls along a cosine.
        gradient_batches: that the gradient is averaged over.
        seed: of the first masks, and of what grows at random.
    """

    method: str
    drop_fraction: float
    gradient_batches: int
    seed: int


class Rewiring:
    """Masks of some kernels that keep their number of weights.

    Args:
        kernels: what is masked.
        sparsity: of all of them.
        distribution: how they share it.
        exchange: what is exchanged.
        when: at which steps; its ``end_step`` must be known.
        followers: for each kernel the kernels that are masked with it.
        experience: where optimizers and gradients come from.

    Attributes:
        masks: in force from construction on; they remove nothing before `begin`.
        traced: False.
        checkpointable: masks, and which update was made last, as a ``tf.train.Checkpoint``.
    """

    traced = False

    def __init__(
        self,
        kernels: Sequence[Kernel],
        sparsity: float,
        distribution: Any,
        exchange: Exchange,
        when: Schedule,
        followers: Sequence[Sequence[Kernel]],
        experience: Experience,
    ):
        self._sparsity, self._exchange, self._when = sparsity, exchange, when
        random = Selection(criterion="random", distribution=distribution)
        self._selector = Selector(kernels, random, sparsity, exchange.seed)
        self._experience = experience
        self.masks = Masks(kernels, followers)
        self._sums = GradientSums(kernels) if exchange.method == "rigl" else None
        # Nothing moves at step 0: the first masks are new.
        self._last_due = tf.Variable(0, dtype=tf.int64, trainable=False, name="last_due")
        self.checkpointable = tf.train.Checkpoint(
            masks=self.masks.checkpointable, last_due=self._last_due
        )

    def begin(self) -> None:
        """Removes weights at random, unless masks of an earlier fit remove as many."""
        values = [read(kernel.variable) for kernel in self.masks.kernels]
        drawn = self._selector.masks(values, self._sparsity, self.masks.numpy())
        if sum(self.masks.counts()[0]) != sum(int(np.sum(mask == 0.0)) for mask in drawn):
            self.masks.assign(drawn)

    def update(self, step: int) -> bool:
        """Exchanges weights if that is due at ``step``; returns whether it was."""
        due = self._when.last_due(step)
        if self._exchange.method == "static" or due is None or due <= int(read(self._last_due)):
            return False
        write(self._last_due, np.int64(due))
        assert self._when.end_step is not None
        share = drop_share(self._exchange.drop_fraction, due, self._when.end_step)
        if share == 0.0:
            return False
        growth = self._growth(due)
        masks, grown = [], []
        for kernel, mask, scores in zip(
            self.masks.kernels, self.masks.numpy(), growth, strict=True
        ):
            count = int(share * np.count_nonzero(mask))
            new, fresh = drop_and_grow(read(kernel.variable), mask, scores, count)
            masks.append(new)
            grown.append(fresh)
        self.masks.assign(masks)
        for index, fresh in enumerate(grown):
            self._start_at_zero(index, fresh)
        return True

    def thresholds(self) -> dict[str, float]:
        """Returns nothing: no score decides alone."""
        return {}

    def end(self) -> None:
        """Does nothing: there is nothing in the training step but the masks."""

    def _growth(self, due: int) -> list[Array]:
        if self._sums is None:
            generator = np.random.default_rng([self._exchange.seed, due])
            return [generator.random(kernel.shape) for kernel in self.masks.kernels]
        self._sums.reset()
        self._experience.record_gradients(self._sums.record, self._exchange.gradient_batches)
        return [np.abs(gradient) for gradient in self._sums.means()[0]]

    def _start_at_zero(self, index: int, fresh: Array) -> None:
        kernel = self.masks.kernels[index]
        for each in (kernel, *self.masks.followers[index]):
            value = read(each.variable)
            write(each.variable, np.where(fresh, np.zeros((), value.dtype), value))
        for optimizer in self._experience.optimizers():
            reset(optimizer, kernel.variable, fresh)
