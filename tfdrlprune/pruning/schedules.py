"""Schedules: how much is removed at which optimizer step.

tfmot's ``PolynomialDecay`` and ``ConstantSparsity`` are taken as they are; so is any plain function
from a step to a sparsity.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf, tfmot

from tfdrlprune.recipe import Recipe, check_sparsity

DEFAULT_FREQUENCY = 100


class Schedule:
    """What a schedule asks for, without one eager TensorFlow call per optimizer step.

    A batch may fuse hundreds of optimizer steps, so the callback asks which pruning step was due
    last, not what is due now.

    Args:
        source: a tfmot ``PruningSchedule``, or a function of the step (int) that returns the
            sparsity.
        frequency: steps between two mask updates where ``source`` is a function.

    Raises:
        TypeError: ``source`` is neither.
        ValueError: the frequency is below 1.
    """

    def __init__(self, source: Any, frequency: int = DEFAULT_FREQUENCY):
        self._sparsity_at: Callable[[int], float]
        if _is_tfmot_schedule(source):
            self.begin_step = int(source.begin_step)
            # tfmot's -1 means "for ever".
            self.end_step = int(source.end_step) if source.end_step != -1 else None
            self.frequency = int(source.frequency)
            self._sparsity_at = lambda step: float(source(tf.constant(step, tf.int64))[1])
        elif callable(source):
            self.begin_step, self.end_step, self.frequency = 0, None, frequency
            self._sparsity_at = lambda step: float(source(step))
        else:
            raise TypeError(
                "schedule is a tfmot pruning schedule such as tp.PolynomialDecay(0.0, 0.9, "
                f"begin_step=0, end_step=1000), or a function of the step. Received: {source!r}."
            )
        if self.frequency < 1:
            raise ValueError(f"frequency is at least 1 step. Received: {self.frequency}.")

    def last_due(self, step: int) -> int | None:
        """Returns the last step up to ``step`` at which masks are updated; None if there is none.

        Unlike tfmot, the end step always counts, so that the final sparsity is reached even where
        ``frequency`` does not divide ``end_step - begin_step``.
        """
        if step < self.begin_step:
            return None
        if self.end_step is not None and step >= self.end_step:
            return self.end_step
        return step - (step - self.begin_step) % self.frequency

    def sparsity(self, step: int) -> float:
        """Returns the sparsity asked for at a step that is due.

        Raises:
            ValueError: the schedule gave something that is no sparsity.
        """
        return check_sparsity(self._sparsity_at(step), f"the schedule at step {step}")


def from_recipe(recipe: Recipe, steps: int) -> Any:
    """Returns the schedule of a recipe for a run of ``steps`` optimizer steps.

    It is tfmot's cubic ``PolynomialDecay`` from 0 (Zhu & Gupta 2017, "To prune, or not to prune").
    """
    begin = int(recipe.begin * steps)
    return tfmot().sparsity.keras.PolynomialDecay(
        0.0,
        recipe.sparsity,
        begin_step=begin,
        end_step=max(int(recipe.end * steps), begin + 1),
        frequency=recipe.frequency,
    )


def _is_tfmot_schedule(source: Any) -> bool:
    # By what it offers, not by its class: importing tfmot takes a second.
    return callable(source) and all(
        _is_integer(getattr(source, name, None)) for name in ("begin_step", "end_step", "frequency")
    )


def _is_integer(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True
