"""What a plot of return against cost shows, for both of its forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfdrlprune.evidence import table
from tfdrlprune.evidence.plots.plot import Look, look
from tfdrlprune.evidence.plots.scales import Scale
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.tried import Tried

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report

RETURN_LABEL = "return, 95 % interval"
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Scene:
    """Stages and candidates by what they cost and what they return.

    Attributes:
        report: that they are from.
        cost_label: what is across.
        rows: the stages.
        points: of each (cost, mean return).
        tried: candidates on the way.
        others: of each (cost, mean return).
        xs: scale of the cost.
        ys: scale of the return.
    """

    report: Report
    cost_label: str
    rows: Sequence[StageRow]
    points: Points
    tried: Sequence[Tried]
    others: Points
    xs: Scale
    ys: Scale

    @property
    def frontier(self) -> tuple[list[float], list[float]]:
        """The frontier as a line: from each point on, what is had for that cost."""
        best = [self.points[index] for index in frontier(self.points)]
        xs, ys = [best[0][0]], [best[0][1]]
        for x, y in best[1:]:
            xs += [x, x]
            ys += [ys[-1], y]
        return [*xs, self.xs.high], [*ys, ys[-1]]

    def look(self, row: StageRow) -> Look:
        """Returns how a stage looks."""
        return look(row, self.report.baseline, self.report.judged)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Returns the indices of (cost, return) that no other beats in both, the cheapest first.

    Example:
        >>> frontier([(10, 500), (2, 490), (3, 480), (2, 300)])
        [1, 0]
    """
    found: list[int] = []
    for index in sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1])):
        if not found or points[index][1] > points[found[-1]][1]:
            found.append(index)
    return found


def mean(row: StageRow) -> float:
    """Returns a stage's mean return."""
    assert row.returns is not None
    return float(row.returns["mean"])


def interval(row: StageRow) -> tuple[float, float]:
    """Returns the ends of the mean's interval; of a single episode the mean twice."""
    assert row.returns is not None
    low, high = (row.returns[key] for key in ("ci_low", "ci_high"))
    return (mean(row), mean(row)) if low is None else (low, high)


def allowed(report: Report) -> tuple[float, str] | None:
    """Returns the return down to which the final stage may fall, and how the plot names it."""
    gate = report.judged.gate
    if gate is None or report.baseline.returns is None:
        return None
    loss = gate.margin_return
    text = table.number(loss) if gate.margin is None else f"{gate.margin:.0%}"
    return report.baseline.returns["mean"] - loss, f"margin {text}"
