"""Names beside points, where they run into nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# Room around a point, in pixels of the figure: its marker and a little air.
_MARKER = 6.0


@dataclass(frozen=True)
class Offset:
    """Where a name stands from its point.

    Attributes:
        right: in points of 1/72 inch.
        up: likewise.
        across: which side of the name is there: ``"left"``, ``"center"`` or ``"right"``.
        along: ``"top"``, ``"center"`` or ``"bottom"``.
    """

    right: float
    up: float
    across: str
    along: str


# Share of a name that is before its anchor.
_BEFORE = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "top": 1.0}
# The best first.
_OFFSETS = (
    Offset(8, 0, "left", "center"),
    Offset(-8, 0, "right", "center"),
    *(Offset(0, up, "center", "bottom") for up in (8, 18, 28)),
    *(Offset(0, -down, "center", "top") for down in (8, 18, 28)),
    *(Offset(8, up, "left", "center") for up in (11, -11, 22, -22, 33, -33)),
    *(Offset(-8, up, "right", "center") for up in (11, -11, 22, -22, 33, -33)),
)


def place(
    axes: Any,
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    intervals: Sequence[tuple[float, float]],
    line: tuple[Sequence[float], Sequence[float]],
    **text: Any,
) -> list[Offset]:
    """Returns where names stand so that they hide no point, interval, line or other words.

    Where there is no such place, one that hides the least.

    Args:
        axes: with their final limits.
        names: of the points.
        points: in data.
        intervals: of each, lower and upper end in data.
        line: its corners in data; each part goes across or along.
        text: how names are drawn.
    """
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    # Words that are there already are larger in Plotly.
    taken = [each.get_window_extent().expanded(1.6, 1.6) for each in axes.texts]
    for (x, y), (low, high) in zip(points, intervals, strict=True):
        (left, at), (_, bottom), (_, top) = (to_pixels((x, each)) for each in (y, low, high))
        taken.append(Bbox.from_extents(left - _MARKER, at - _MARKER, left + _MARKER, at + _MARKER))
        taken.append(Bbox.from_extents(left - 3, bottom, left + 3, top))
    corners = [to_pixels(corner) for corner in zip(*line, strict=True)]
    for (left, bottom), (right, top) in pairwise(corners):
        taken.append(Bbox.from_extents(left - 1, bottom - 1, right + 1, top + 1))
    chosen = []
    frame = axes.get_window_extent()
    for name, point in zip(names, points, strict=True):
        width, height = _size(axes, name, text)
        at = to_pixels(point)
        boxes = [_box(axes, at, width, height, offset) for offset in _OFFSETS]
        hidden = [_hidden(box, taken) + 4 * (not _within(box, frame)) for box in boxes]
        best = hidden.index(min(hidden))
        taken.append(boxes[best])
        chosen.append(_OFFSETS[best])
    return chosen


def _size(axes: Any, name: str, text: Any) -> tuple[float, float]:
    """Returns a name's width and height in pixels."""
    drawn = axes.text(0, 0, name, **text)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width, box.height


def _box(axes: Any, at: Any, width: float, height: float, offset: Offset) -> Any:
    from matplotlib.transforms import Bbox

    pixels = axes.figure.dpi / 72
    left = at[0] + pixels * offset.right - width * _BEFORE[offset.across]
    bottom = at[1] + pixels * offset.up - height * _BEFORE[offset.along]
    return Bbox.from_bounds(left, bottom, width, height)


def _hidden(box: Any, taken: Sequence[Any]) -> int:
    return sum(bool(box.overlaps(other)) for other in taken)


def _within(box: Any, frame: Any) -> bool:
    return bool(
        box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
    )
