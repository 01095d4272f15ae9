"""What stands in reports beside returns, with numbers that are easy to tell apart."""

from __future__ import annotations

from tfdrlprune.evidence.bounding.interval_results import DifferenceBounds
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.diagnostics import Deviation, Diagnostics, Flips, Quantiles
from tfdrlprune.evidence.differences import Differences
from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping.sweep_results import Curve, Point, Robustness, SweepResult
from tfdrlprune.evidence.sweeping.sweeps import Sweep
from tfdrlprune.evidence.tried import Tried

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

QUANTILES = Quantiles(0.0, 0.1, 0.2, 0.3)
BOUNDS = DifferenceBounds((-1.0,), (2.0,), 2.0, 0.5, None, None, None, 0.9, 0.01, True, 64)
COVERAGE = Coverage(100, 90, 0.02, 1.5, 3.0, 7, 0.1, {"observation": [2, 0]})
FLIPS = Flips(0.03, 1.0, 0.1, 0.5, 0.1, 0.5, 12)
CHOOSES = Differences(
    Diagnostics(100, 0.97, FLIPS, None, QUANTILES, QUANTILES), COVERAGE, BOUNDS, ()
)
MOVES = Differences(
    Diagnostics(100, 0.9, None, Deviation(QUANTILES, 0.3, 4, 1), QUANTILES, None),
    None,
    None,
    ("coverage: none",),
)
TRIED = Tried("prune", 0.9, 67_330, 6_733, "PASS", 498.0, -2.0, 150, 12.5, True)
REHEARSAL = Coverage(2_048, 20_000, 0.025, 0.5, 1.5, 7, 0.01, {"observation": [2]})
