"""What a sweep found, with numbers that are easy to tell apart."""

from __future__ import annotations

from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping.sweep_results import Curve, Point, Robustness, SweepResult
from tfdrlprune.evidence.sweeping.sweeps import Sweep

ZERO = Estimate(0.0, 0.0, 0.0)
FOUND = Robustness(
    episodes=1,
    seed=3,
    confidence=0.9,
    worst=-5.0,
    sweeps=(
        SweepResult(
            Sweep("masspole", (2.0,)),
            (
                Curve(
                    "baseline",
                    (
                        Point(1.0, Estimate(9.0, 8.0, 10.0), 0, None, None),
                        Point(2.0, Estimate(7.0, None, None), 1, None, None),
                    ),
                ),
                Curve(
                    "pruned",
                    (
                        Point(1.0, Estimate(9.0, 8.5, 9.5), 0, ZERO, ZERO),
                        Point(2.0, Estimate(4.0, 3.0, 5.0), 2, Estimate(-3.0, -4.0, -2.0), ZERO),
                    ),
                ),
            ),
        ),
    ),
)
