"""Scales of axes: from zero, or in decades where numbers are far apart; with ticks for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Numbers that are this many times apart are shown in decades.
_DECADES_FROM = 8.0


@dataclass(frozen=True)
class Scale:
    """A scale.

    Attributes:
        low: lowest number.
        high: highest.
        log: whether it is in decades.
        ticks: where lines are drawn.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    @property
    def labels(self) -> list[str]:
        """The ticks as people read them, short enough for a phone: 500, 5 k, 50 k."""
        most = max(map(abs, self.ticks), default=0.0)
        units = [(step, letter) for step, letter in ((1e6, " M"), (1e3, " k")) if most >= 10 * step]
        return [_short(tick, units) for tick in self.ticks]


def _short(tick: float, units: Sequence[tuple[float, str]]) -> str:
    """Returns a number in the largest unit that it fills."""
    step, letter = next((unit for unit in units if abs(tick) >= unit[0]), (1.0, ""))
    return f"{tick / step:.6g}{letter}"


def of_sizes(values: Sequence[float]) -> Scale:
    """Returns a scale of numbers above zero: from zero, or in decades."""
    least, most = min(values), max(values)
    if least <= 0 or most < _DECADES_FROM * least:
        return _linear(0.0, 1.2 * (most or 1.0))
    room = 0.14 * math.log10(most / least) + 0.08
    low, high = least / 10**room, most * 10**room
    # Six or so: more would run into each other on a phone.
    steps = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 2_000 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return Scale(low, high, True, tuple(tick for tick in ticks if low <= tick <= high))


def of_returns(values: Sequence[float]) -> Scale:
    """Returns a scale that holds numbers of either sign, with some room around them."""
    low, high = min(values), max(values)
    # Numbers that are all the same have no range of their own.
    room = 0.14 * (high - low) or 0.1 * abs(high) or 1.0
    return _linear(low - room, high + room)


def _linear(low: float, high: float) -> Scale:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = (float(f"{tick:.12g}") for tick in found)
    return Scale(low, high, False, tuple(tick for tick in ticks if low <= tick <= high))
