"""Schedules: how much is removed at which optimizer step, as functions of the step.

Beside these, tfmot's ``PolynomialDecay`` and ``ConstantSparsity`` are taken as they are, and so is
any function of yours from a step to a sparsity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tfdrlprune.recipe import Recipe, check_sparsity
from tfdrlprune.recipe.checks import check_count, check_number, check_share

__all__ = ["ReturnGated", "Rise", "cubic", "cyclical", "from_recipe", "linear", "one_shot"]

DEFAULT_FREQUENCY = 100


@dataclass(frozen=True, kw_only=True)
class Rise:
    """Sparsity that rises between two steps, once or several times; a function of the step.

    In each of ``cycles`` equal parts of the range it is

        final + (initial - final) * (1 - p) ** power,

    where p in [0, 1) is the share of the part that is over; before ``begin_step`` it is
    ``initial``, from ``end_step`` on ``final``.

    Attributes:
        initial_sparsity: at ``begin_step``, and where each further cycle begins.
        final_sparsity: what each cycle rises to.
        begin_step: first optimizer step at which masks are updated.
        end_step: step at which the final sparsity is reached.
        frequency: steps between two mask updates.
        power: 1 is linear, 3 the cubic of Zhu & Gupta.
        cycles: how often it rises.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> rise = Rise(
        ...     initial_sparsity=0.2, final_sparsity=0.6, begin_step=100, end_step=200, power=1
        ... )
        >>> [round(rise(step), 2) for step in (0, 100, 150, 200)]
        [0.2, 0.2, 0.4, 0.6]
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int = DEFAULT_FREQUENCY
    power: float = 3.0
    cycles: int = 1

    def __post_init__(self) -> None:
        for name in ("initial_sparsity", "final_sparsity", "power"):
            check_number(name, getattr(self, name))
        check_sparsity(self.initial_sparsity, "the schedule's beginning")
        check_sparsity(self.final_sparsity, "the schedule's end")
        for name in ("begin_step", "end_step"):
            check_number(name, getattr(self, name), whole=True)
        if not 0 <= self.begin_step <= self.end_step:
            raise ValueError(
                "A schedule has 0 <= begin_step <= end_step. "
                f"Received: begin_step={self.begin_step}, end_step={self.end_step}."
            )
        for name in ("frequency", "cycles"):
            check_count(name, getattr(self, name))
        if not 0.0 < self.power < math.inf:
            raise ValueError(f"power is a finite number above 0. Received: power={self.power!r}.")

    def __call__(self, step: int) -> float:
        """Returns the sparsity at an optimizer step."""
        if step >= self.end_step:
            return self.final_sparsity
        if step < self.begin_step:
            return self.initial_sparsity
        length = self.end_step - self.begin_step
        # In whole numbers, so that a cycle begins exactly where it should.
        over = (step - self.begin_step) * self.cycles % length / length
        span = self.initial_sparsity - self.final_sparsity
        return self.final_sparsity + span * (1.0 - over) ** self.power


def one_shot(sparsity: float, at: int) -> Rise:
    """Returns a schedule that removes everything at one step.

    Example:
        >>> one_shot(0.9, at=100)(100)
        0.9
    """
    return Rise(initial_sparsity=0.0, final_sparsity=sparsity, begin_step=at, end_step=at)


def linear(
    sparsity: float,
    begin_step: int,
    end_step: int,
    *,
    initial_sparsity: float = 0.0,
    frequency: int = DEFAULT_FREQUENCY,
) -> Rise:
    """Returns a schedule that removes equally much at every update.

    Example:
        >>> linear(0.5, 0, 100)(50)
        0.25
    """
    rise = cubic(sparsity, begin_step, end_step, frequency=frequency)
    return replace(rise, initial_sparsity=initial_sparsity, power=1.0)


def cubic(
    sparsity: float,
    begin_step: int,
    end_step: int,
    *,
    initial_sparsity: float = 0.0,
    frequency: int = DEFAULT_FREQUENCY,
) -> Rise:
    """Returns a schedule that removes much at first and ever less towards the end.

    Zhu & Gupta 2017, "To prune, or not to prune"; tfmot's ``PolynomialDecay`` with power 3.

    Example:
        >>> cubic(0.5, 0, 100)(50)
        0.4375
    """
    return Rise(
        initial_sparsity=initial_sparsity,
        final_sparsity=sparsity,
        begin_step=begin_step,
        end_step=end_step,
        frequency=frequency,
    )


def cyclical(
    sparsity: float,
    begin_step: int,
    end_step: int,
    *,
    cycles: int = 4,
    initial_sparsity: float = 0.0,
    frequency: int = DEFAULT_FREQUENCY,
) -> Rise:
    """Returns a schedule of several cubic rises; between them weights may come back.

    The idea is that of Srinivas et al. 2022, "Cyclical Pruning for Sparse Neural Networks": a
    weight that was removed wrongly in one cycle can recover in the next. Here all cycles are of
    the same length and rise from the same to the same sparsity. What comes back starts at zero.

    Example:
        >>> schedule = cyclical(0.5, 0, 200, cycles=2)
        >>> [schedule(step) for step in (50, 100, 150, 200)]
        [0.4375, 0.0, 0.4375, 0.5]
    """
    rise = cubic(sparsity, begin_step, end_step, frequency=frequency)
    return replace(rise, initial_sparsity=initial_sparsity, cycles=cycles)


@dataclass(frozen=True, kw_only=True)
class ReturnGated:
    """Sparsity that rises only while the evaluated return holds, and backs off where it does not.

    It looks at ``return`` in the log at the end of every epoch, which `EvaluationCallback` puts
    there: that callback comes first, and ``fit`` has many epochs. While dense, the reference is the
    mean of the latest ``window`` returns; later it follows the returns that held, upwards only, so
    that many small losses do not add up. A return holds if it is at least

        reference - margin * |reference|.

    Where it holds, the state is remembered as the last good one, and ``stride`` of what is left
    goes. Where it does not hold ``patience + 1`` times running, the last good state comes back,
    weights, masks and optimizers' moments, and the stride is halved; below ``smallest_stride`` the
    sparsity stays. At the end of the fit a state that was not seen to hold gives way to the last
    good one.

    Attributes:
        final_sparsity: where it stops.
        begin_step: first optimizer step at which anything goes.
        margin: loss of return that is allowed, relative to the reference.
        stride: share of the remaining weights that go at each rise, in (0, 1).
        smallest_stride: see above.
        patience: returns in a row that may fall short before the state is taken back.
        window: returns that the reference is the mean of.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> import tfdrlprune as tp
        >>> rule = ReturnGated(final_sparsity=0.95, begin_step=6_000, margin=0.1)
        >>> callbacks = [tp.EvaluationCallback(), tp.PruningCallback(rule)]  # in this order
    """

    final_sparsity: float
    begin_step: int = 0
    margin: float = 0.05
    stride: float = 0.3
    smallest_stride: float = 0.03
    patience: int = 1
    window: int = 3

    def __post_init__(self) -> None:
        check_number("final_sparsity", self.final_sparsity)
        check_sparsity(self.final_sparsity, "the schedule's end")
        for name in ("begin_step", "patience", "window"):
            check_number(name, getattr(self, name), whole=True)
        for name in ("margin", "stride", "smallest_stride"):
            check_share(name, getattr(self, name))
        if self.begin_step < 0 or self.patience < 0 or self.window < 1:
            raise ValueError(
                "A return-gated schedule has begin_step >= 0, patience >= 0 and window >= 1. "
                f"Received: begin_step={self.begin_step}, patience={self.patience}, "
                f"window={self.window}."
            )


def from_recipe(recipe: Recipe, steps: int) -> Rise | ReturnGated:
    """Returns the schedule of a recipe for a run of ``steps`` optimizer steps, rising from 0.

    Example:
        >>> from_recipe(Recipe(sparsity=0.8, begin=0.2, end=0.6), steps=1000)(600)
        0.8
    """
    begin = int(recipe.begin * steps)
    if recipe.schedule == "return_gated":
        return ReturnGated(
            final_sparsity=recipe.sparsity,
            begin_step=begin,
            margin=recipe.return_margin,
            stride=recipe.return_stride,
            patience=recipe.return_patience,
        )
    if recipe.schedule == "one_shot":
        return one_shot(recipe.sparsity, begin)
    return Rise(
        initial_sparsity=0.0,
        final_sparsity=recipe.sparsity,
        begin_step=begin,
        end_step=max(int(recipe.end * steps), begin + 1),
        frequency=recipe.frequency,
        power=1.0 if recipe.schedule == "linear" else 3.0,
        cycles=recipe.cycles if recipe.schedule == "cyclical" else 1,
    )
