"""Return against cost for Plotly: the same points, with their numbers where one points."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Any

from tfdrlprune.evidence import table
from tfdrlprune.evidence.drawing import MUTED
from tfdrlprune.evidence.plots.labels import Offset
from tfdrlprune.evidence.plots.plot import axis, layout, variable
from tfdrlprune.evidence.plots.scene import RETURN_LABEL, Scene, allowed, interval
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.tried import Tried


def spec(scene: Scene, offsets: Sequence[Offset]) -> dict[str, Any]:
    """Returns ``data`` and ``layout``.

    Args:
        scene: what is shown.
        offsets: of the stages' names from their points, as in the drawing.
    """
    xs, ys = scene.xs, scene.ys
    place = log10 if xs.log else float  # where Plotly has annotations and ends of an axis
    data = [_line(*scene.frontier)]
    data += [_candidate(each, at) for each, at in zip(scene.tried, scene.others, strict=True)]
    data += [_stage(scene, row, at) for row, at in zip(scene.rows, scene.points, strict=True)]
    notes, shapes = _margin(scene)
    for row, (x, y), offset in zip(scene.rows, scene.points, offsets, strict=True):
        name = escape(table.title(row.name))
        notes.append(
            {
                **{"x": place(x), "y": y, "showarrow": False},
                "text": f"<b>{name}</b>" if row.name == scene.report.final else name,
                **{"xshift": offset.right, "yshift": offset.up, "xanchor": offset.across},
                "yanchor": "middle" if offset.along == "center" else offset.along,
                "font": {"color": scene.look(row).variable},
            }
        )
    across = axis(
        scene.cost_label,
        (place(xs.low), place(xs.high)),
        type="log" if xs.log else "linear",
        tickvals=list(xs.ticks),
        ticktext=xs.labels,
    )
    up = axis(RETURN_LABEL, (ys.low, ys.high), tickvals=list(ys.ticks), ticktext=ys.labels)
    return {"data": data, "layout": layout(across, up, annotations=notes, shapes=shapes)}


def _margin(scene: Scene) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the margin's name and line, as lists of notes and of shapes."""
    if (found := allowed(scene.report)) is None:
        return [], []
    height, text = found
    line = {"color": variable(MUTED), "width": 1, "dash": "dash"}
    shape = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height}
    note = {
        **{"xref": "paper", "x": 1, "y": height, "text": text, "showarrow": False},
        **{"xanchor": "right", "yanchor": "top"},
        "font": {"color": variable(MUTED), "size": 11},
    }
    return [note], [{**shape, "line": line, "layer": "below"}]


def _line(xs: list[float], ys: list[float]) -> dict[str, Any]:
    return {
        **{"type": "scatter", "mode": "lines", "x": xs, "y": ys, "hoverinfo": "skip"},
        "line": {"color": variable(MUTED, 0.75), "width": 1.3},
    }


def _stage(scene: Scene, row: StageRow, at: tuple[float, float]) -> dict[str, Any]:
    low, high = interval(row)
    colour, symbol = scene.look(row).variable, scene.look(row).symbol
    cells = dict(zip(table.COLUMNS[1:], table.cells(row)[1:], strict=True))
    facts = "<br>".join(f"{name}: {cell}" for name, cell in cells.items() if cell)
    return {
        **{"type": "scatter", "mode": "markers", "x": [at[0]], "y": [at[1]]},
        "error_y": {
            **{"array": [high - at[1]], "arrayminus": [at[1] - low], "color": colour},
            **{"type": "data", "symmetric": False, "thickness": 1.5, "width": 4},
        },
        "marker": {"color": colour, "symbol": symbol, "size": 10},
        "hovertemplate": f"<b>{escape(table.title(row.name))}</b><br>{facts}<extra></extra>",
    }


def _candidate(each: Tried, at: tuple[float, float]) -> dict[str, Any]:
    words = str(each).replace(", ", "<br>").replace(": ", "<br>")
    line = {"color": variable(MUTED), "width": 2.5 if each.chosen else 1}
    return {
        **{"type": "scatter", "mode": "markers", "x": [at[0]], "y": [at[1]]},
        "marker": {
            **{"symbol": "circle-open", "size": 12 if each.chosen else 8},
            **{"color": variable(MUTED), "line": line},
        },
        "hovertemplate": f"{words}<extra>tried</extra>",
    }
