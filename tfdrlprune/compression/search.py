"""How far to go: candidates at one sparsity after another, until they stop being safe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

# Between the last that holds and the first that does not; each halves the distance in size.
BISECTIONS = 2
# Widening past this is no compression any more.
_MOST = 0.9


class Attempt(Protocol):
    """A candidate that was made and tried."""

    @property
    def holds(self) -> bool:
        """Whether it does what the dense policy does."""
        ...

    @property
    def parameters(self) -> int:
        """How many it has left."""
        ...


T = TypeVar("T", bound=Attempt)


@dataclass(frozen=True)
class Found(Generic[T]):
    """What a search came to.

    Attributes:
        attempts: all of them, in the order in which they were made.
        best: the smallest that holds; None where none does.
    """

    attempts: tuple[T, ...]
    best: T | None


def search(
    attempt: Callable[[float], T | None],
    keep: float,
    until: str,
    *,
    bisections: int = BISECTIONS,
) -> Found[T]:
    """Returns what holds, of candidates that keep more or less of the parameters.

    Args:
        attempt: makes and tries the candidate that keeps a fraction of the parameters; None where
            there is no network so small, which ends the way down.
        keep: where to begin, in (0, 1].
        until: "target" tries that alone; "holds" doubles what is kept until it holds; "breaks" also
            halves it as long as it does. Both then bisect.
        bisections: between the last that holds and the first that does not.
    """
    made: list[T] = []

    def holds(fraction: float) -> bool:
        tried = attempt(fraction)
        if tried is not None:
            made.append(tried)
        return tried is not None and tried.holds

    good, bad = keep, keep
    if holds(keep):
        while until == "breaks" and good == bad:
            bad = good / 2
            if holds(bad):
                good = bad
    elif until != "target":
        while good == bad and bad < _MOST:
            wider = min(_MOST, 2 * bad)
            good, bad = (wider, bad) if holds(wider) else (wider, wider)
    for _ in range(bisections if good > bad else 0):
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return Found(tuple(made), _smallest([each for each in made if each.holds]))


def _smallest(attempts: Sequence[T]) -> T | None:
    return min(attempts, key=lambda each: each.parameters, default=None)
