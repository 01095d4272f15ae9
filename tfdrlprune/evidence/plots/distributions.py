"""Every episode's return: how they are spread, and seed by seed beside the dense policy."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdrlprune.evidence import drawing, table
from tfdrlprune.evidence.drawing import MUTED
from tfdrlprune.evidence.plots import scales
from tfdrlprune.evidence.plots.plot import Look, Plot, axis, frame, layout, look, variable
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.specs import Array

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report

_BINS = 30


@dataclass(frozen=True)
class _Sample:
    """The returns of one stage, and how it looks."""

    name: str
    look: Look
    seeds: Array
    returns: Array


def plots(report: Report) -> list[Plot]:
    """Returns the spread of returns, and the final stage beside the dense one on each seed.

    Failed episodes count as in the gate: with the lowest return that there can be. The second is
    left out where there is one stage only; none where nothing was played.
    """
    shown = [report.baseline, report.judged, report.small_dense]
    # Each once, in this order.
    rows = {row.name: row for row in shown if row is not None and row.episodes is not None}
    if not rows:
        return []
    samples = [_sample(report, row) for row in rows.values()]
    found = [_spread(samples)]
    if report.judged is not report.baseline and len(samples) > 1:
        found.append(_paired(samples[0], samples[1]))
    return found


def _sample(report: Report, row: StageRow) -> _Sample:
    assert row.episodes is not None
    gate = report.judged.gate
    worst = None if gate is None else gate.bounds[0]
    its = look(row, report.baseline, report.judged)
    return _Sample(row.name, its, row.episodes.seeds, row.episodes.scores(worst))


def _spread(samples: list[_Sample]) -> Plot:
    every = np.concatenate([each.returns for each in samples])
    low, high = float(every.min()), float(every.max())
    # All the same: one bar around them.
    half = 0.0 if high > low else 0.02 * abs(high) or 0.5
    edges = np.linspace(low - half, high + half, _BINS + 1 if high > low else 2)
    steps = {each.name: _outline(each.returns, edges) for each in samples}
    top = max(float(ys.max()) for _, ys in steps.values())
    xs, ys = scales.of_returns(edges.tolist()), scales.of_sizes([top])
    figure = drawing.figure(4.8, 3.0)
    axes = figure.add_subplot()
    frame(axes, xs, ys, "return of an episode", "share of episodes")
    axes.set_yticks(ys.ticks, [f"{tick:.0%}" for tick in ys.ticks])
    data: list[dict[str, Any]] = []
    for each in samples:
        line, is_small = steps[each.name], each.look.marker == "^"
        axes.plot(*line, color=each.look.colour, linewidth=1.4, linestyle="--" if is_small else "-")
        if not is_small:
            axes.fill_between(*line, color=each.look.colour, alpha=0.14, linewidth=0)
        data.append(_filled(each, *line, dash="dash" if is_small else "solid"))
    spec = {
        "data": data,
        "layout": layout(
            axis("return of an episode", (xs.low, xs.high), tickvals=list(xs.ticks)),
            axis("share of episodes", (0, ys.high), tickvals=list(ys.ticks), tickformat=".0%"),
        ),
    }
    svg = drawing.svg(figure, "How the returns of single episodes are spread", "spread")
    return Plot("spread", "How returns are spread", svg, spec)


def _outline(returns: Array, edges: Array) -> tuple[Array, Array]:
    """Returns a histogram's outline, from the floor to the floor."""
    counts = np.histogram(returns, edges)[0] / len(returns)
    return np.repeat(edges, 2), np.concatenate([[0], np.repeat(counts, 2), [0]])


def _filled(each: _Sample, xs: Array, ys: Array, dash: str) -> dict[str, Any]:
    name = escape(table.title(each.name))
    filled = {"fill": "tozeroy", "fillcolor": variable(each.look.colour, 0.14)}
    return {
        **{"type": "scatter", "mode": "lines", "x": xs.tolist(), "y": ys.tolist()},
        **(filled if dash == "solid" else {}),
        "line": {"color": each.look.variable, "width": 1.6, "dash": dash},
        "hovertemplate": f"{name}<br>%{{y:.1%}} of episodes near %{{x:.4g}}<extra></extra>",
    }


def _paired(dense: _Sample, final: _Sample) -> Plot:
    count = min(len(dense.seeds), len(final.seeds))
    theirs, ours = dense.returns[:count], final.returns[:count]
    scale = scales.of_returns([*theirs.tolist(), *ours.tolist()])
    final_name = table.title(final.name)
    labels = f"return of {table.title(dense.name)}", f"return of {final_name}"
    figure = drawing.figure(4.8, 3.0)
    axes = figure.add_subplot()
    frame(axes, scale, scale, *labels)
    ends = [scale.low, scale.high]
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    colour = final.look.colour
    axes.plot(theirs, ours, "o", color=colour, markersize=3.5, alpha=0.45, markeredgewidth=0)
    better, worse = int((ours > theirs).sum()), int((ours < theirs).sum())
    note = (
        f"Each point is one seed. Of {count}, {final_name} returns more on {better}, less on "
        f"{worse}, and the same on {count - better - worse}."
    )
    ticks = {"tickvals": list(scale.ticks)}
    spec = {
        "data": [
            {
                **{"type": "scatter", "mode": "lines", "x": ends, "y": ends, "hoverinfo": "skip"},
                "line": {"color": variable(MUTED), "width": 1, "dash": "dash"},
            },
            {
                **{"type": "scatter", "mode": "markers", "x": theirs.tolist(), "y": ours.tolist()},
                "customdata": dense.seeds[:count].tolist(),
                "marker": {"color": variable(colour, 0.5), "size": 6},
                "hovertemplate": (
                    f"seed %{{customdata}}<br>{escape(table.title(dense.name))} %{{x:.4g}}<br>"
                    f"{escape(final_name)} %{{y:.4g}}<extra></extra>"
                ),
            },
        ],
        "layout": layout(axis(labels[0], ends, **ticks), axis(labels[1], ends, **ticks)),
    }
    svg = drawing.svg(figure, f"Returns of {final_name} and dense on the same seeds", "paired")
    return Plot("paired", "Seed by seed", svg, spec, note)
