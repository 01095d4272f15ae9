"""The pruner: puts a schedule, a criterion and a distribution into masks at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.criteria import CRITERIA
from tfdrlprune.pruning.distribution import DISTRIBUTIONS
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masks import Masks, lowest
from tfdrlprune.pruning.schedules import Schedule


class Pruner:
    """Masks of some kernels that follow a schedule.

    Args:
        kernels: what is pruned.
        schedule: how much at which optimizer step.
        distribution: "erk", "uniform" or "global".
        criterion: "magnitude".
        followers: for each kernel the variables that are masked with it.

    Attributes:
        masks: in force from construction on.
        checkpointable: the masks and which update was made last, as a ``tf.train.Checkpoint``.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        schedule: Schedule,
        distribution: str,
        criterion: str,
        followers: Sequence[Sequence[Any]] = (),
    ):
        self._schedule = schedule
        self._distribution = DISTRIBUTIONS[distribution]
        self._criterion = CRITERIA[criterion]
        self.masks = Masks(kernels, followers)
        # In the checkpoint: a resumed run must not repeat the update that was due last.
        self._last_due = tf.Variable(-1, dtype=tf.int64, trainable=False, name="last_due")
        self.checkpointable = tf.train.Checkpoint(
            masks=self.masks.checkpointable, last_due=self._last_due
        )

    def update(self, step: int) -> bool:
        """Updates the masks if an update is due at ``step``; returns whether it was."""
        due = self._schedule.last_due(step)
        if due is None or due == int(read(self._last_due)):
            return False
        write(self._last_due, np.int64(due))
        scores = [self._criterion(read(kernel.variable)) for kernel in self.masks.kernels]
        zeros = round(self._schedule.sparsity(due) * sum(score.size for score in scores))
        counts = self._distribution(scores, zeros)
        self.masks.assign(
            [
                lowest(score, count, previous)
                for score, count, previous in zip(scores, counts, self.masks.numpy(), strict=True)
            ]
        )
        return True

    def sparsity(self) -> dict[str, float]:
        """Returns ``sparsity``, over all pruned kernels, and ``sparsity/<kernel>`` for each."""
        zeros, sizes = self.masks.counts()
        return {"sparsity": sum(zeros) / sum(sizes)} | {
            f"sparsity/{kernel.name}": zero / size
            for kernel, zero, size in zip(self.masks.kernels, zeros, sizes, strict=True)
        }
