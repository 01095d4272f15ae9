"""Sweeps for Plotly, beside the panels that `curves` draws."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from tfdrlprune.evidence import table
from tfdrlprune.evidence.drawing import LINE, MUTED
from tfdrlprune.evidence.plots.plot import SYMBOLS, Plot, axis, layout, variable
from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping import curves
from tfdrlprune.evidence.sweeping.sweep_results import Curve, Point, Robustness, SweepResult

# Of the height: what compression costs below, mean returns above.
_BELOW, _ABOVE = (0.0, 0.32), (0.42, 1.0)


def plots(robustness: Robustness | None) -> list[Plot]:
    """Returns a plot for each sweep; none where nothing was disturbed."""
    if robustness is None:
        return []
    scales = [curves.scale(robustness, each) for each in (curves.returns_of, curves.change_of)]
    drawn = zip(robustness.sweeps, curves.panels(robustness), strict=True)
    return [
        Plot(f"sweep{at}", "", svg, _spec(result, scales)) for at, (result, svg) in enumerate(drawn)
    ]


def _spec(result: SweepResult, scales: list[tuple[float, float]]) -> dict[str, Any]:
    heading, unit = curves.title(result.sweep.name)
    data = []
    for index, curve in enumerate(result.curves):
        data += _traces(curve, index, curves.returns_of, "y")
        data += _traces(curve, index, curves.change_of, "y2")
    levels = result.sweep.levels
    room = 0.04 * (levels[-1] - levels[0]) or 0.5
    ticks = {"tickvals": list(levels), "ticktext": curves.tick_labels(levels)}
    undisturbed = result.sweep.undisturbed
    shapes = [
        {
            **{"type": "line", "layer": "below", "x0": undisturbed, "x1": undisturbed},
            **{"yref": "paper", "y0": 0, "y1": 1},
            "line": {"color": variable(LINE), "width": 2},
        },
        {
            **{"type": "line", "layer": "below", "xref": "paper", "x0": 0, "x1": 1},
            **{"yref": "y2", "y0": 0, "y1": 0},
            "line": {"color": variable(MUTED), "width": 1},
        },
    ]
    return {
        "data": data,
        "layout": layout(
            axis(unit, (levels[0] - room, levels[-1] + room), anchor="y2", **ticks),
            axis("return", scales[0], domain=list(_ABOVE), nticks=5),
            yaxis2=axis("change", scales[1], domain=list(_BELOW), nticks=4),
            shapes=shapes,
            title={"text": f"<b>{heading}</b>", "x": 0.02, "y": 0.98, "font": {"size": 14}},
            margin={"l": 58, "r": 14, "t": 34, "b": 76},
            showlegend=True,
            legend={"orientation": "h", "x": 0, "y": -0.24, "bgcolor": "rgba(0,0,0,0)"},
        ),
    }


def _traces(
    curve: Curve, index: int, choose: Callable[[Point], Estimate | None], yaxis: str
) -> list[dict[str, Any]]:
    """Returns a curve, and the band of its intervals behind it."""
    found = [(point, each) for point in curve.points if (each := choose(point)) is not None]
    if not found:
        return []
    colour, marker, dashes = curves.LOOKS[index % len(curves.LOOKS)]
    levels = [point.level for point, _ in found]
    low = [each.value if each.low is None else each.low for _, each in found]
    high = [each.value if each.high is None else each.high for _, each in found]
    name, group = escape(table.title(curve.policy)), curve.policy
    band = {
        **{"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False},
        **{"x": [*levels, *levels[::-1]], "y": [*low, *high[::-1]], "yaxis": yaxis},
        **{"fill": "toself", "fillcolor": variable(colour, 0.15), "line": {"width": 0}},
        "legendgroup": group,
    }
    line = {
        **{"type": "scatter", "mode": "lines+markers", "x": levels, "yaxis": yaxis},
        **{"y": [each.value for _, each in found], "name": name, "legendgroup": group},
        "showlegend": yaxis == "y",
        "marker": {"symbol": SYMBOLS[marker], "size": 9 if index == 0 else 6},
        "line": {
            **{"color": variable(colour), "width": 2.6 if index == 0 else 1.8},
            "dash": "solid" if dashes == "-" else "dash",
        },
        "customdata": [
            [a, b, point.failures] for (point, _), a, b in zip(found, low, high, strict=True)
        ],
        "hovertemplate": (
            f"<b>{name}</b> at %{{x:g}}<br>%{{y:.4g}} (%{{customdata[0]:.4g}} to "
            "%{customdata[1]:.4g})<br>failed: %{customdata[2]}<extra></extra>"
        ),
    }
    return [band, line]
