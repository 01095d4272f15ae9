"""What a plot is: drawn once as an SVG, and described once more for Plotly, in the same colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune.evidence import drawing
from tfdrlprune.evidence.drawing import ACCENT, COLOURS, INK, LINE, MUTED, OPEN
from tfdrlprune.evidence.plots.scales import Scale
from tfdrlprune.evidence.stage import SMALL_DENSE, StageRow

# matplotlib's markers, and Plotly's of the same shape.
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: distinct among the plots of a page.
        title: above it.
        svg: the element, in the page's colours.
        spec: ``data`` and ``layout`` for Plotly, in the page's colours as ``var(--ink)`` or, where
            the paper shines through, ``var(--ink)/0.2``.
        note: below it, for people; empty for none.
    """

    name: str
    title: str
    svg: str
    spec: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Look:
    """How a stage looks in all plots, told apart without colours too.

    Attributes:
        colour: of `drawing`.
        marker: matplotlib's.
    """

    colour: str
    marker: str

    @property
    def variable(self) -> str:
        """The colour as the page's style sheet has it."""
        return variable(self.colour)

    @property
    def symbol(self) -> str:
        """Plotly's marker of the same shape."""
        return SYMBOLS[self.marker]


def look(row: StageRow, baseline: StageRow, final: StageRow) -> Look:
    """Returns how a stage looks.

    Args:
        row: the stage.
        baseline: the first one.
        final: the one that is shipped.
    """
    if row.name == final.name:
        return Look(ACCENT, "s")
    if row.name == baseline.name:
        return Look(INK, "o")
    return Look(OPEN, "^") if row.name == SMALL_DENSE else Look(MUTED, "D")


def variable(colour: str, opacity: float | None = None) -> str:
    """Returns a colour of `drawing` as a spec has it."""
    return COLOURS[colour] + ("" if opacity is None else f"/{opacity:g}")


def frame(axes: Any, xs: Scale, ys: Scale, across: str, up: str) -> None:
    """Draws scales and titles around what is drawn.

    Args:
        axes: of a figure.
        xs: scale across.
        ys: scale upwards.
        across: title of the first.
        up: of the second.
    """
    drawing.style(axes)
    axes.set_xscale("log" if xs.log else "linear")
    axes.set_xlim(xs.low, xs.high)
    axes.set_ylim(ys.low, ys.high)
    axes.set_xticks(xs.ticks, xs.labels)
    axes.set_xticks([], minor=True)
    axes.set_yticks(ys.ticks, ys.labels)
    axes.set_xlabel(plain(across), color=INK, fontsize=9)
    axes.set_ylabel(plain(up), color=INK, fontsize=9)


def plain(text: str) -> str:
    """Returns a text as matplotlib shows it letter by letter: a dollar would begin mathematics."""
    return text.replace("$", r"\$")


def axis(title: str, bounds: Sequence[float], **more: Any) -> dict[str, Any]:
    """Returns an axis for Plotly: quiet lines, no zero line, and a range that holds.

    Args:
        title: of the axis.
        bounds: lowest and highest number.
        more: of Plotly's own.
    """
    line = variable(LINE)
    return {
        **{"title": {"text": title, "standoff": 8}, "range": list(bounds)},
        **{"gridcolor": line, "linecolor": line, "zeroline": False, "showline": True},
        "tickangle": 0,
        **more,
    }


def layout(xaxis: dict[str, Any], yaxis: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Returns a layout for Plotly without paper, frame, or legend."""
    return {
        **{"xaxis": xaxis, "yaxis": yaxis, "showlegend": False, "hovermode": "closest"},
        **{"margin": {"l": 58, "r": 14, "t": 10, "b": 46}},
        **{"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"},
        "font": {"color": variable(INK), "size": 12, "family": "system-ui, sans-serif"},
        "hoverlabel": {
            **{"bgcolor": "var(--card)", "bordercolor": "var(--line)", "align": "left"},
            "font": {"color": variable(INK), "size": 12},
        },
        **more,
    }
