"""Sweeps as curves: a small SVG for each disturbance, which a page lays out, and a plain table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tfdrlprune.evidence import drawing, table
from tfdrlprune.evidence.drawing import ACCENT, GREEN, INK, LINE, MUTED, OPEN
from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping.sweep_results import (
    BASELINE,
    Curve,
    Point,
    Robustness,
    SweepResult,
)

# Colour, marker and dashes of each policy, the baseline's first: told apart without colours too.
LOOKS = (
    (INK, "o", "-"),
    (ACCENT, "s", "-"),
    (OPEN, "^", (0, (4, 1.5))),
    (GREEN, "D", (0, (1.5, 1.5))),
)
# Characters of a name that fit into half a panel, and into a whole one.
_HALF, _WHOLE = 16, 40
# Of a label of a level, with some space around it, as a share of the axis.
_LABEL_WIDTH = 0.1
_TITLES = {
    "noise": ("Observation noise", "std of the noise / std of each feature"),
    "delay": ("Delayed actions", "delay (env_steps)"),
    "drop": ("Lost observations", "probability of each to be lost"),
    "wind": ("Wind", "wind power"),
}


def panels(robustness: Robustness) -> list[str]:
    """Returns one SVG element a sweep: mean returns above, what compression costs below.

    Each is readable from about 300 px of width, so that a page shows them in as many columns as
    fit. All have the same scales. Bands are the intervals; the lower part is `Point.change`, where
    below zero a candidate loses more to the disturbance than the baseline does.
    """
    # One scale for all: a curve that stays looks flat beside one that falls.
    scales = [scale(robustness, choose) for choose in (returns_of, change_of)]
    return [_panel(result, f"sweep{at}", scales) for at, result in enumerate(robustness.sweeps)]


def text(robustness: Robustness) -> str:
    """Returns all sweeps as a plain table: a line for each level and policy."""
    grid = table.empty()
    for heading in ("sweep", "level", "policy", "return", "- baseline", "change", "failed"):
        left = heading in ("sweep", "policy")
        grid.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for result in robustness.sweeps:
        before = result.sweep.name
        for index, level in enumerate(result.sweep.levels):
            shown = f"{level:g}"
            for curve in result.curves:
                grid.add_row(*map(table.plain_cell, (before, shown, *_cells(curve, index))))
                before = shown = ""
    return f"{table.plain_text(grid, width=1_000)}\n{_note(robustness)}"


def title(name: str) -> tuple[str, str]:
    """Returns a sweep's title and the label of its levels."""
    return _TITLES.get(name, (f"Parameter {name}", f"factor of {name}"))


def _cells(curve: Curve, index: int) -> list[str]:
    point = curve.points[index]
    estimates = (point.returns, point.difference, point.change)
    return [
        table.title(curve.policy),
        *("" if each is None else _interval(each) for each in estimates),
        str(point.failures or ""),
    ]


def _note(robustness: Robustness) -> str:
    return (
        f"{robustness.episodes} episodes of each policy at each level, on the same seeds; "
        f"{robustness.confidence:.0%} intervals, each for itself. change: of the difference to "
        f"the {BASELINE}, from the undisturbed level."
    )


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return table.number(estimate.value)
    low, high = table.number(estimate.low), table.number(estimate.high)
    return f"{table.number(estimate.value)} ({low} to {high})"


def returns_of(point: Point) -> Estimate | None:
    """Returns the mean return at a level."""
    return point.returns


def change_of(point: Point) -> Estimate | None:
    """Returns what compression costs at a level; see `Point.change`."""
    return point.change


def scale(
    robustness: Robustness, choose: Callable[[Point], Estimate | None]
) -> tuple[float, float]:
    """Returns what all estimates and intervals lie in, with some space around them."""
    every = (p for each in robustness.sweeps for curve in each.curves for p in curve.points)
    found = [estimate for point in every if (estimate := choose(point)) is not None]
    ends = [end for each in found for end in (each.value, each.low, each.high) if end is not None]
    space = 0.06 * (max(ends) - min(ends)) or 1.0
    return min(ends) - space, max(ends) + space


def _panel(result: SweepResult, name: str, scales: Sequence[tuple[float, float]]) -> str:
    figure = drawing.figure(3.9, 3.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    heading, unit = title(result.sweep.name)
    for axes, choose, label, limits in (
        (above, returns_of, "return", scales[0]),
        (below, change_of, "change of\ndifference", scales[1]),
    ):
        drawing.style(axes)
        axes.axvline(result.sweep.undisturbed, color=LINE, linewidth=1.5)
        axes.set_ylabel(label, color=INK, fontsize=8.5)
        for index, curve in enumerate(result.curves):
            _draw(axes, curve, choose, index)
        axes.margins(x=0.04)
        axes.set_ylim(*limits)
        axes.locator_params(axis="y", nbins=4)
    below.axhline(0, color=MUTED, linewidth=1)
    below.set_xticks(result.sweep.levels, tick_labels(result.sweep.levels))
    below.set_xlabel(unit, color=INK, fontsize=8.5)
    figure.align_ylabels()
    above.set_title(heading, color=INK, fontsize=10, fontweight="bold", loc="left")
    figure.legend(
        *above.get_legend_handles_labels(),
        loc="outside lower left",
        ncols=2 if all(len(curve.policy) <= _HALF for curve in result.curves) else 1,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=2.4,
    )
    return drawing.svg(figure, f"{heading}: mean returns, and what compression costs", name)


def _draw(axes: Any, curve: Curve, choose: Callable[[Point], Estimate | None], index: int) -> None:
    found = [(point.level, choose(point)) for point in curve.points]
    drawn = [(level, estimate) for level, estimate in found if estimate is not None]
    if not drawn:
        return
    colour, marker, dashes = LOOKS[index % len(LOOKS)]
    levels = [level for level, _ in drawn]
    axes.plot(
        levels,
        [estimate.value for _, estimate in drawn],
        color=colour,
        marker=marker,
        linestyle=dashes,
        # The baseline shows behind a candidate that does as well.
        markersize=6.5 if index == 0 else 4,
        linewidth=2.2 if index == 0 else 1.4,
        label=_legend(curve.policy),
    )
    ends = [
        [estimate.value if end is None else end for end in (estimate.low, estimate.high)]
        for _, estimate in drawn
    ]
    axes.fill_between(levels, *zip(*ends, strict=True), color=colour, alpha=0.15, linewidth=0)


def _legend(name: str) -> str:
    """Returns a policy's name as it fits; of a long path its end."""
    shown = table.title(name)
    shown = shown if len(shown) <= _WHOLE else f"…{shown[1 - _WHOLE :]}"
    return shown.replace("$", r"\$")  # which matplotlib would take for mathematics


def tick_labels(levels: Sequence[float]) -> list[str]:
    """Returns the labels of ascending levels, empty where one would run into the last."""
    labels, room, last = [], _LABEL_WIDTH * (levels[-1] - levels[0]), -math.inf
    for level in levels:
        shown = level - last >= room
        last = level if shown else last
        labels.append(f"{level:g}" if shown else "")
    return labels
