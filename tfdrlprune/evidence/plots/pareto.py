"""Return against what it costs: size of the file, latency, and weights that are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfdrlprune.evidence import drawing, table
from tfdrlprune.evidence.drawing import MUTED
from tfdrlprune.evidence.plots import labels, scales
from tfdrlprune.evidence.plots.labels import Offset
from tfdrlprune.evidence.plots.pareto_spec import spec
from tfdrlprune.evidence.plots.plot import Plot, frame, plain
from tfdrlprune.evidence.plots.scene import RETURN_LABEL, Scene, allowed, interval, mean
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.tried import Tried

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report


@dataclass(frozen=True)
class _Cost:
    name: str
    title: str
    label: str
    of: Callable[[StageRow], float]


_COSTS = (
    _Cost("size", "Size of the file", "model file, gzipped (bytes)", lambda row: row.gzip_bytes),
    _Cost("latency", "Latency", "one action, median (us)", lambda row: row.latency_us["median"]),
)
_WEIGHTS = _Cost("weights", "", "parameters that are not zero", lambda row: row.nonzero)


def plots(report: Report) -> list[Plot]:
    """Returns a plot of the return against each cost; none where nothing was played."""
    rows = _played(report)
    return [_plot(report, rows, cost, ()) for cost in _COSTS] if rows else []


def tried(report: Report) -> list[Plot]:
    """Returns a plot of all that was tried, beside the stages; none where nothing was played.

    Candidates on the way have no file, so that they stand by the weights that are left.
    """
    candidates = [each for each in report.tried if each.mean is not None]
    rows = _played(report)
    return [_plot(report, rows, _WEIGHTS, candidates)] if rows and candidates else []


def _played(report: Report) -> list[StageRow]:
    return [row for row in report.rows() if row.returns is not None]


def _plot(
    report: Report, rows: Sequence[StageRow], cost: _Cost, candidates: Sequence[Tried]
) -> Plot:
    points = [(float(cost.of(row)), mean(row)) for row in rows]
    others = [(float(each.nonzero), float(each.mean or 0.0)) for each in candidates]
    margin = allowed(report)
    heights = [end for row in rows for end in interval(row)] + [y for _, y in others]
    heights += [] if margin is None else [margin[0]]
    scene = Scene(
        *(report, cost.label, rows, points, candidates, others),
        scales.of_sizes([x for x, _ in points + others]),
        scales.of_returns(heights),
    )
    figure = drawing.figure(4.8, 3.3)
    offsets = _draw(figure.add_subplot(), scene)
    svg = drawing.svg(figure, f"Return against {cost.label}", cost.name)
    return Plot(cost.name, cost.title, svg, spec(scene, offsets))


def _draw(axes: Any, scene: Scene) -> list[Offset]:
    """Draws the plot, and returns where names stand."""
    frame(axes, scene.xs, scene.ys, scene.cost_label, RETURN_LABEL)
    if (margin := allowed(scene.report)) is not None:
        _draw_margin(axes, *margin)
    axes.plot(*scene.frontier, color=MUTED, linewidth=1.2, alpha=0.75, zorder=1)
    for (x, y), each in zip(scene.others, scene.tried, strict=True):
        for size in (4.5, 9) if each.chosen else (4.5,):
            axes.plot(x, y, "o", mfc="none", mec=MUTED, markersize=size, alpha=0.7, zorder=2)
    intervals = [interval(row) for row in scene.rows]
    for row, (x, y), (low, high) in zip(scene.rows, scene.points, intervals, strict=True):
        axes.errorbar(
            *(x, y, [[max(0.0, y - low)], [max(0.0, high - y)]]),
            fmt=scene.look(row).marker,
            color=scene.look(row).colour,
            markersize=6,
            capsize=3,
            linewidth=1.4,
            zorder=3,
        )
    names = [plain(table.title(row.name)) for row in scene.rows]
    # On a phone Plotly's letters are larger beside the plot than these, so they get more room.
    offsets = labels.place(axes, names, scene.points, intervals, scene.frontier, fontsize=15)
    for name, row, point, offset in zip(names, scene.rows, scene.points, offsets, strict=True):
        axes.annotate(
            name,
            point,
            xytext=(offset.right, offset.up),
            textcoords="offset points",
            ha=offset.across,
            va=offset.along,
            color=scene.look(row).colour,
            fontsize=9,
            fontweight="bold" if row.name == scene.report.final else "normal",
        )
    return offsets


def _draw_margin(axes: Any, height: float, text: str) -> None:
    axes.axhline(height, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    axes.annotate(
        text,
        (1, height),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        color=MUTED,
        fontsize=8,
    )
