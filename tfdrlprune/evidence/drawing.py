"""Plots as SVG elements for the report's page: in its colours, the same for the same data."""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

# Colours of a plot that the page's style sheet then replaces, so that they follow its theme.
COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--line)",
    "#030303": "var(--accent)",
    "#040404": "var(--muted)",
    "#050505": "var(--open)",
    "#060606": "var(--pass)",
}
INK, LINE, ACCENT, MUTED, OPEN, GREEN = COLOURS


def figure(width: float, height: float) -> Any:
    """Returns an empty figure, in inches of 72 px; 4.8 is about the width of a phone."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(made)
    return made


def style(axes: Any) -> None:
    """Takes paper and frame off the axes and puts a quiet grid below what is drawn."""
    axes.patch.set_alpha(0)
    axes.figure.patch.set_alpha(0)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, labelsize=8, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


def svg(drawn: Any, label: str, name: str = "plot") -> str:
    """Returns a figure as an SVG element.

    Args:
        drawn: the figure.
        label: what a screen reader says.
        name: distinct among the plots of a page, whose ids begin with it.
    """
    import matplotlib

    buffer = io.StringIO()
    # Text stays text: it can be read aloud, searched, and follows the page's font.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfdrlprune"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for placeholder, variable in COLOURS.items():
        text = text.replace(placeholder, variable)
    # An id is one element's in the whole page.
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", text)
    # The page's style sheet says how wide it is.
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
