"""The pruner: puts what a schedule and a selection ask for into masks at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masks import Masks
from tfdrlprune.pruning.selector import Selector
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Selection


class Pruner:
    """Masks of some kernels that follow a schedule.

    Args:
        kernels: what is pruned.
        schedule: how much at which optimizer step.
        selection: which weights; a `Recipe` is one. What it spares is not asked here.
        followers: for each kernel the variables that are masked with it.
        seed: of the random criterion.

    Raises:
        ValueError: the selection cannot end where the schedule does, or names no kernel.

    Attributes:
        masks: in force from construction on.
        checkpointable: the masks and which update was made last, as a ``tf.train.Checkpoint``.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        schedule: Schedule,
        selection: Selection,
        followers: Sequence[Sequence[Any]] = (),
        seed: int = 0,
    ):
        self._schedule = schedule
        self._selector = Selector(kernels, selection, schedule.final_sparsity, seed)
        self.masks = Masks(kernels, followers)
        self._seen: int | None = None
        # In the checkpoint: a resumed run must not repeat the update that was due last.
        self._last_due = tf.Variable(-1, dtype=tf.int64, trainable=False, name="last_due")
        self.checkpointable = tf.train.Checkpoint(
            masks=self.masks.checkpointable, last_due=self._last_due
        )

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
        values = [read(kernel.variable) for kernel in self.masks.kernels]
        sparsity = self._schedule.sparsity(due)
        self.masks.assign(self._selector.masks(values, sparsity, self.masks.numpy()))
        return True

    def sparsity(self) -> dict[str, float]:
        """Returns ``sparsity``, over all pruned kernels, and ``sparsity/<kernel>`` for each."""
        zeros, sizes = self.masks.counts()
        return {"sparsity": sum(zeros) / sum(sizes)} | {
            f"sparsity/{kernel.name}": zero / size
            for kernel, zero, size in zip(self.masks.kernels, zeros, sizes, strict=True)
        }
