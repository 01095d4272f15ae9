"""What sweeps found: curves of every policy over the levels of a disturbance; JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping.sweeps import Sweep

BASELINE = "baseline"


@dataclass(frozen=True)
class Point:
    """One policy at one level.

    Attributes:
        level: of the disturbance.
        returns: mean return, with its interval.
        failures: episodes of it that failed.
        difference: mean of policy minus baseline over the same seeds; None for the baseline.
        change: the margin that compression costs: that difference less the undisturbed one, over
            the same seeds. Below zero the policy loses more to the disturbance than the baseline
            does. None for the baseline.
    """

    level: float
    returns: Estimate
    failures: int
    difference: Estimate | None
    change: Estimate | None


@dataclass(frozen=True)
class Curve:
    """One policy over all levels of a sweep, ascending."""

    policy: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class SweepResult:
    """One sweep: a curve of the baseline, then one of each candidate."""

    sweep: Sweep
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Robustness:
    """What sweeps found.

    Attributes:
        episodes: of each policy at each level, on the same seeds.
        seed: that they were drawn from, as ``seeds_for("judging", seed, episodes)``.
        confidence: of every interval, each for itself.
        worst: what a failed episode counts as.
        sweeps: what was found.
    """

    episodes: int
    seed: int
    confidence: float
    worst: float
    sweeps: tuple[SweepResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values: ``episodes, seed, confidence, worst, sweeps``.

        Each of ``sweeps`` has ``name``, ``unit``, ``undisturbed`` (the level) and ``curves``; each
        of these ``policy`` (the first is ``"baseline"``) and ``points``; each of these ``level``,
        ``return``, ``failures``, ``difference`` and ``change``. ``return``, ``difference`` and
        ``change`` are ``{mean, ci_low, ci_high}``; the last two are null for the baseline, and an
        interval's ends are null after a single episode.
        """
        return {
            "episodes": self.episodes,
            "seed": self.seed,
            "confidence": self.confidence,
            "worst": self.worst,
            "sweeps": [_sweep_to_json(each) for each in self.sweeps],
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Robustness:
        """Returns what `to_json` wrote."""
        return Robustness(
            episodes=values["episodes"],
            seed=values["seed"],
            confidence=values["confidence"],
            worst=values["worst"],
            sweeps=tuple(_sweep_from_json(each) for each in values["sweeps"]),
        )


def _sweep_to_json(result: SweepResult) -> dict[str, Any]:
    return {
        "name": result.sweep.name,
        "unit": result.sweep.unit,
        "undisturbed": result.sweep.undisturbed,
        "curves": [
            {
                "policy": curve.policy,
                "points": [
                    {
                        "level": point.level,
                        "return": point.returns.to_json(),
                        "failures": point.failures,
                        "difference": point.difference and point.difference.to_json(),
                        "change": point.change and point.change.to_json(),
                    }
                    for point in curve.points
                ],
            }
            for curve in result.curves
        ],
    }


def _sweep_from_json(values: Mapping[str, Any]) -> SweepResult:
    curves = tuple(
        Curve(
            curve["policy"],
            tuple(
                Point(
                    point["level"],
                    Estimate.from_json(point["return"]),
                    point["failures"],
                    point["difference"] and Estimate.from_json(point["difference"]),
                    point["change"] and Estimate.from_json(point["change"]),
                )
                for point in curve["points"]
            ),
        )
        for curve in values["curves"]
    )
    levels = tuple(point.level for point in curves[0].points)
    return SweepResult(Sweep(values["name"], levels), curves)
