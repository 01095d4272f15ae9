"""The terms on which a small policy is accepted: what it may lose, and how sure one wants to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tfdrlprune.evidence.bounds import Bounds


@dataclass(frozen=True)
class Terms:
    """What the gate asks of a candidate; chosen before its episodes are seen.

    With true mean returns c and b of candidate and baseline, the candidate keeps the return if
    ``c - floor > (1 - margin) * (b - floor)``: it has more than ``1 - margin`` of what the baseline
    has above the floor. A good floor is the return of a random policy, so that 5 % means 5 % of
    what was learned. Without one the loss is relative to ``|b|``: ``c > b - margin * |b|``. With
    ``margin_return`` it is ``c > b - margin_return``.

    Attributes:
        margin: relative loss of return allowed, in (0, 1).
        margin_return: absolute loss allowed, above 0, in units of the return; goes before
            ``margin``.
        confidence: one minus the probability of a wrong PASS, and of a wrong FAIL; in (0, 1).
        bounds: numbers that no return can leave. The wider, the more episodes it takes: the gate
            has to allow for a rare catastrophe.
        floor: the return that counts as nothing; at least the lower bound.
        max_failure_rate: if given, the candidate must also fail in less than this share of
            episodes, in (0, 1).
        failure_below: a return below this is a failure too, beside a crash and what is not finite.
        min_cvar: if given, the mean of the candidate's worst tenth of episodes (CVaR 10 %) must
            also be above this, in units of the return.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> Terms(margin=0.02, bounds=(0, 500), confidence=0.99).margin
        0.02
    """

    margin: float = 0.05
    margin_return: float | None = None
    confidence: float = 0.95
    bounds: Bounds | None = None
    floor: float | None = None
    max_failure_rate: float | None = None
    failure_below: float | None = None
    min_cvar: float | None = None

    def __post_init__(self) -> None:
        _check_share("margin", self.margin, "the relative loss of return allowed", 0.05)
        _check_share("confidence", self.confidence, "one minus the chance of a wrong verdict", 0.95)
        if self.max_failure_rate is not None:
            rule = "the share of episodes that may fail"
            _check_share("max_failure_rate", self.max_failure_rate, rule, 0.01)
        for name in ("margin_return", "failure_below", "min_cvar", "floor"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is a finite return. Received: {name}={value}.")
        self._check_together()
        if self.bounds is not None:
            low, high = self.bounds
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(
                    f"Return bounds are two finite numbers, LOW < HIGH. Received: {self.bounds}."
                )
            if self.floor is not None and not low <= self.floor < high:
                raise ValueError(
                    f"A floor is a return within the bounds {low:g} to {high:g}, and below the "
                    f"upper one. Received: floor={self.floor:g}."
                )

    def _check_together(self) -> None:
        if self.margin_return is not None and self.margin_return <= 0:
            raise ValueError(
                "margin_return is the loss of return allowed, above 0. "
                f"Received: margin_return={self.margin_return}."
            )
        if self.margin_return is not None and self.floor is not None:
            raise ValueError(
                "A floor is what a relative margin is measured from. Received: "
                f"margin_return={self.margin_return} and floor={self.floor}. Leave one out."
            )
        if self.failure_below is not None and self.max_failure_rate is None:
            raise ValueError(
                "failure_below says what counts as a failure, and nothing says how many are "
                f"allowed. Received: failure_below={self.failure_below}. Give max_failure_rate."
            )


def _check_share(name: str, value: float, rule: str, example: float) -> None:
    if not 0 < value < 1:
        raise ValueError(
            f"{name} is {rule}, in (0, 1). Received: {name}={value}. For {example:.0%} write "
            f"{example}."
        )
