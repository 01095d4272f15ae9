"""The pruner: puts what a schedule and a selection ask for into masks at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masks import Masks
from tfdrlprune.pruning.outgoing import Outgoing
from tfdrlprune.pruning.scorer import scorer
from tfdrlprune.pruning.selector import Selector
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Selection


class Pruner:
    """Masks of some kernels that follow a schedule.

    Args:
        kernels: what is pruned.
        schedule: how much at which optimizer step.
        selection: which weights; a `Recipe` is one. What it spares is not asked here.
        followers: for each kernel the kernels that are masked with it.
        seed: of the random criterion.
        surroundings: what criteria and group scores need beyond the kernels.

    Raises:
        ValueError: the selection cannot end where the schedule does, names no kernel, or needs
            surroundings that are not there.

    Attributes:
        masks: in force from construction on.
        traced: whether the training step must be traced anew although masks were in force.
        checkpointable: masks, criterion, and which update was made last, as a
            ``tf.train.Checkpoint``.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        schedule: Schedule,
        selection: Selection,
        followers: Sequence[Sequence[Kernel]] = (),
        seed: int = 0,
        surroundings: Surroundings | None = None,
    ):
        around = surroundings or Surroundings()
        self._schedule = schedule
        self._others: list[Kernel] = []
        outgoing = None
        if selection.group_score == "in+out":
            chosen = {id(kernel.variable) for kernel in kernels}
            self._others = [k for k in around.kernels if id(k.variable) not in chosen]
            outgoing = Outgoing(kernels, self._others, around)
        everything = [*kernels, *self._others]
        self._scorer = scorer(everything, around.networks, selection, seed, around.experience)
        self._selector = Selector(
            kernels, selection, schedule.final_sparsity, seed, self._scorer, outgoing
        )
        self.masks = Masks(kernels, followers, with_biases=selection.granularity == "unit")
        self.traced = self._scorer.traced
        self._seen: int | None = None
        # In every row of a log, which fixes its columns at the first.
        self._thresholds = {kernel.name: math.nan for kernel in kernels}
        # In the checkpoint: a resumed run must not repeat the update that was due last.
        self._last_due = tf.Variable(-1, dtype=tf.int64, trainable=False, name="last_due")
        self.checkpointable = tf.train.Checkpoint(
            masks=self.masks.checkpointable,
            scorer=self._scorer.checkpointable,
            last_due=self._last_due,
        )

    @property
    def final_sparsity(self) -> float:
        """The schedule's; 0 where it does not say."""
        return self._schedule.final_sparsity or 0.0

    @property
    def is_done(self) -> bool:
        """Whether the schedule has made its last rise, as far as it says where it ends."""
        due = int(read(self._last_due))
        return due >= 0 and self._schedule.sparsity(due) >= self.final_sparsity

    def begin(self) -> None:
        """Prepares the criterion, before the first step."""
        self._scorer.begin()

    def end(self) -> None:
        """Takes the criterion out of the training step."""
        self._scorer.end()

    def update(self, step: int) -> bool:
        """Updates the masks if an update is due at ``step``; returns whether it was."""
        due = self._schedule.last_due(step)
        # A fit of single steps asks every time, and reading a variable takes 10 us.
        if due is None or due == self._seen:
            return False
        self._seen = due
        if due == int(read(self._last_due)):
            return False
        write(self._last_due, np.int64(due))
        self.prune(self._schedule.sparsity(due))
        return True

    def prune(self, sparsity: float) -> None:
        """Makes the masks anew for a sparsity."""
        values = [read(kernel.variable) for kernel in (*self.masks.kernels, *self._others)]
        choice = self._selector.choose(values, sparsity, self.masks.numpy())
        self.masks.assign(choice.masks)
        names = [kernel.name for kernel in self.masks.kernels]
        self._thresholds = dict(zip(names, choice.thresholds, strict=True))

    def thresholds(self) -> dict[str, float]:
        """Returns kernel's name -> the lowest score that the last update kept, NaN before one."""
        return self._thresholds

    def sparsity(self) -> dict[str, float]:
        """Returns ``sparsity``, over all pruned kernels, and ``sparsity/<kernel>`` for each."""
        return self.masks.sparsity()
