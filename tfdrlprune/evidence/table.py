"""Stages as a table: the same cells for a terminal, for plain text and for the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from tfdrlprune.evidence.stage import FINE_TUNED, SMALL_DENSE, StageRow

COLUMNS = (
    *("stage", "return (95 % interval)", "parameters", "non-zero", "sparsity"),
    *("bytes", "gzip", "latency us (p99)", "agreement", "verdict"),
)


def cells(row: StageRow) -> list[str]:
    """Returns one row's cells, in the order of `COLUMNS`; empty where nothing was measured."""
    return [
        title(row.name),
        _return(row),
        f"{row.parameters:,}",
        f"{row.nonzero:,}",
        f"{row.sparsity:.1%}",
        f"{row.size_bytes:,}",
        f"{row.gzip_bytes:,}",
        f"{row.latency_us['median']:.1f} ({row.latency_us['p99']:.1f})",
        _agreement(row),
        row.verdict or "",
    ]


# Names of stages that are no folder's.
_OURS = (SMALL_DENSE, "quantization_aware", FINE_TUNED)


def title(name: str) -> str:
    """Returns a stage's name for people; folders, which ``evaluate`` names, stay as they are."""
    return name.replace("_", " ") if name in _OURS else name


def number(value: float) -> str:
    """Returns a return with as many digits as people read: four, and none lost before the dot.

    Example:
        >>> number(-198.25), number(0.66666), number(10460.3)
        ('-198.2', '0.6667', '10460')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def columns_and_lines(rows: Sequence[StageRow]) -> tuple[list[str], list[list[str]]]:
    """Returns the names of the columns that any row fills, and each row's cells in them."""
    content = [cells(row) for row in rows]
    used = [index for index in range(len(COLUMNS)) if any(line[index] for line in content)]
    return [COLUMNS[index] for index in used], [[line[i] for i in used] for line in content]


class Table:
    """The table for `rich`: one line a stage where it fits, else one column a stage.

    Columns (or lines) that are empty for all stages are left out.
    """

    def __init__(self, rows: Sequence[StageRow]):
        self._names, self._lines = columns_and_lines(rows)

    def __rich_console__(self, console: Any, options: Any) -> Any:
        wide = self._wide()
        fits = console.measure(wide, options=options.update(width=1_000)).maximum
        yield wide if fits <= options.max_width else self._tall()

    def _wide(self) -> Any:
        table = empty()
        for name in self._names:
            left = name in ("stage", "verdict")
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
        for line in self._lines:
            table.add_row(*map(plain_cell, line))
        return table

    def _tall(self) -> Any:
        table = empty()
        table.add_column(self._names[0], no_wrap=True)
        for line in self._lines:
            table.add_column(plain_cell(line[0]), justify="right", no_wrap=True)
        for index, name in enumerate(self._names[1:], start=1):
            # The interval goes below its mean.
            table.add_row(
                name, *(plain_cell(line[index].replace(" (", "\n(")) for line in self._lines)
            )
        return table


def text(rows: Sequence[StageRow]) -> str:
    """Returns the table as plain text."""
    return plain_text(Table(rows), width=250)


def plain_text(drawn: Any, *, width: int) -> str:
    """Returns what `rich` draws, as text: no colours, no blanks at the ends of lines."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        color_system=None,
        legacy_windows=False,
        force_jupyter=False,  # in a notebook it would display the text rather than write it
    )
    console.print(drawn)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def empty() -> Any:
    """Returns a table of `rich` without lines, two blanks between its columns."""
    from rich.table import Table as RichTable

    return RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))


def plain_cell(cell: str) -> Any:
    """Returns a cell's text as it stands: never markup, a folder may be named [red]."""
    from rich.text import Text

    return Text(cell)


def _agreement(row: StageRow) -> str:
    """Returns the share of equal choices; of continuous actions, which never are, the distance."""
    deviation = None if row.differences is None else row.differences.states.deviation
    if deviation is not None and deviation.fraction is not None:
        return f"off by {deviation.fraction.p50:.1%}"
    return "" if row.agreement is None else f"{row.agreement:.1%}"


def _return(row: StageRow) -> str:
    if row.returns is None:
        return ""
    mean, low, high = (row.returns[key] for key in ("mean", "ci_low", "ci_high"))
    interval = "" if low is None else f" ({number(low)} to {number(high)})"
    return number(mean) + interval
