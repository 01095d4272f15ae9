"""Updates: when masks change, and what a schedule asks for then."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.pruning.schedules import DEFAULT_FREQUENCY
from tfdrlprune.recipe import check_sparsity
from tfdrlprune.recipe.checks import check_count

_TIMES = ("begin_step", "end_step", "frequency")


class Schedule:
    """What a schedule asks for, without one eager TensorFlow call per optimizer step.

    A batch may fuse hundreds of optimizer steps, so the callback asks which pruning step was due
    last, not what is due now.

    Args:
        source: a tfmot ``PruningSchedule``, a `Rise`, or a function of the step (int) that returns
            the sparsity. A function may have ``begin_step``, ``end_step`` and ``frequency`` too.
        frequency: steps between two mask updates where ``source`` has none.
        final: the sparsity to end with, if not that of ``source``; all others in proportion.

    Attributes:
        final_sparsity: that the schedule ends with; None where ``source`` does not say.
        has_own_frequency: whether ``source`` says when masks are updated.

    Raises:
        TypeError: ``source`` is neither.
        ValueError: the frequency is below 1.
    """

    def __init__(self, source: Any, frequency: int = DEFAULT_FREQUENCY, final: float | None = None):
        if not callable(source):
            raise TypeError(
                "schedule is one of tp.schedules such as tp.schedules.cubic(0.9, 0, 1000), a tfmot "
                "pruning schedule such as tp.PolynomialDecay(0.0, 0.9, begin_step=0, "
                f"end_step=1000), or a function of the step. Received: {source!r}."
            )
        self._sparsity_at: Callable[[int], float]
        if _is_tfmot_schedule(source):
            self._sparsity_at = lambda step: float(source(tf.constant(step, tf.int64))[1])
        else:
            self._sparsity_at = lambda step: _number(source(step), step)
        self.begin_step, self.frequency = 0, frequency
        self.end_step: int | None = None
        self.has_own_frequency = all(_is_integer(getattr(source, name, None)) for name in _TIMES)
        if self.has_own_frequency:
            self.begin_step, self.frequency = int(source.begin_step), int(source.frequency)
            # tfmot's -1 means "for ever".
            self.end_step = int(source.end_step) if source.end_step != -1 else None
        # tfmot's ConstantSparsity calls it its target.
        target = getattr(source, "target_sparsity", None)
        self.final_sparsity: float | None = getattr(source, "final_sparsity", target)
        self._factor = 1.0
        if final is not None:
            if not self.final_sparsity:
                raise ValueError(
                    "A role's own sparsity needs a schedule whose last sparsity is known: one of "
                    "tp.schedules or of tfmot's, or a function with an attribute final_sparsity."
                )
            self._factor, self.final_sparsity = final / self.final_sparsity, final
        check_count("frequency", self.frequency)

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
        sparsity = self._factor * self._sparsity_at(step)
        return check_sparsity(sparsity, f"the schedule at step {step}")


def _number(value: Any, step: int) -> float:
    if isinstance(value, str) or value is None:
        raise ValueError(
            "A schedule gives the sparsity at a step, in [0, 1). "
            f"Received at step {step}: {value!r}."
        )
    return float(value)


def _is_tfmot_schedule(source: Any) -> bool:
    # By the name of its class's module: importing tfmot takes a second.
    modules = [each.__module__ for each in type(source).__mro__]
    return any(name.startswith("tensorflow_model_optimization") for name in modules)


def _is_integer(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True
