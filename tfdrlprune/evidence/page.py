"""The report as one self-contained page: verdict first, then the table, the plot, how to repeat it.

It needs no script and no network, follows the reader's light or dark setting, and fits a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from tfdrlprune.evidence import drawing, table
from tfdrlprune.evidence.drawing import ACCENT, INK, MUTED
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.sweeping import curves

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report


def render(report: Report) -> str:
    """Returns the page as HTML."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files("tfdrlprune.evidence").joinpath("report.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rows = report.rows()
    columns, lines = table.columns_and_lines(rows)
    return environment.from_string(source).render(
        report=report,
        **words(report),
        columns=columns,
        lines=lines,
        plot=plot(report),
        differences=(report.judged.differences.lines() if report.judged.differences else []),
        panels=[] if report.robustness is None else curves.panels(report.robustness),
        runs=_runs(report.seeds),
    )


def words(report: Report) -> dict[str, str]:
    """Returns title, verdict, message and summary, as every form of the report has them."""
    message = report.message.removeprefix(f"{report.verdict}: ")
    return {
        "title": f"{report.environment or 'Policy'}: {report.final.replace('_', ' ')}",
        "verdict": report.verdict or "NOT JUDGED",
        "message": message[:1].upper() + message[1:],
        "summary": summary(report),
    }


def summary(report: Report) -> str:
    """Returns in two sentences what the final stage does beside the dense one."""
    final, dense = report.judged, report.baseline
    parts = []
    if final.returns is not None and dense.returns is not None:
        parts.append(
            f"It returns {table.number(final.returns['mean'])} over {final.returns['episodes']} "
            f"episodes, and the dense policy {table.number(dense.returns['mean'])} on the same."
        )
    if final is not dense:
        parts.append(
            f"{final.nonzero:,} of the dense policy's {dense.parameters:,} parameters are left; "
            f"the file has {final.size_bytes:,} bytes ({final.gzip_bytes:,} gzipped) instead of "
            f"{dense.size_bytes:,} ({dense.gzip_bytes:,}); one action takes "
            f"{final.latency_us['median']:.1f} us instead of {dense.latency_us['median']:.1f} us."
        )
    return " ".join(parts)


def plot(report: Report) -> str:
    """Returns an SVG of return, with its interval, against size; empty without returns."""
    rows = [row for row in report.rows() if row.returns is not None]
    if not rows:
        return ""
    figure = drawing.figure(4.8, 3.0)
    axes = figure.add_subplot()
    for row, line in zip(rows, _label_lines(rows), strict=True):
        _draw(axes, row, ACCENT if row.name == report.final else INK, line)
    gate = report.judged.gate
    if gate is not None and report.baseline.returns is not None:
        loss = gate.margin_return
        allowed = report.baseline.returns["mean"] - loss
        axes.axhline(allowed, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            f"margin {table.number(loss) if gate.margin is None else f'{gate.margin:.0%}'}",
            (1, allowed),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            color=MUTED,
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.35)
    axes.set_xlabel("size of the model file, gzipped (bytes)", color=INK, fontsize=9)
    axes.set_ylabel("return, 95 % interval", color=INK, fontsize=9)
    _style(axes)
    return drawing.svg(figure, "Return with its interval against size of the file")


def _label_lines(rows: Sequence[StageRow]) -> list[int]:
    """Returns in which line above its point each name stands, so that neighbours stay readable."""
    sizes = [math.log(row.gzip_bytes) for row in rows]
    # The axis has a fourth of its range on either side; a character is about 1/50 of its width.
    width = 1.5 * (max(sizes) - min(sizes)) or 1.0
    ends: list[float] = []  # of the last name in each line
    lines = [0] * len(rows)
    for index in sorted(range(len(rows)), key=sizes.__getitem__):
        half = len(table.title(rows[index].name)) * width / 100
        start = sizes[index] - half
        free = [line for line, end in enumerate(ends) if end <= start]
        lines[index] = free[0] if free else len(ends)
        ends[lines[index] : lines[index] + 1] = [sizes[index] + half]
    return lines


def _draw(axes: Any, row: StageRow, colour: str, line: int) -> None:
    assert row.returns is not None
    mean = row.returns["mean"]
    ends = [row.returns["ci_low"], row.returns["ci_high"]]
    low, high = (mean if end is None else end for end in ends)
    axes.errorbar(
        row.gzip_bytes,
        mean,
        yerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
        fmt="o",
        color=colour,
        markersize=6,
        capsize=4,
        linewidth=1.5,
    )
    axes.annotate(
        table.title(row.name),
        (row.gzip_bytes, mean),
        xytext=(0, 7 + 11 * line),
        textcoords="offset points",
        ha="center",
        color=colour,
        fontsize=9,
    )


def _style(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    drawing.style(axes)
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _runs(seeds: tuple[int, ...]) -> str:
    """Returns the first and last seeds; all of them are in report.json."""
    if len(seeds) <= 6:
        return ", ".join(map(str, seeds))
    return f"{', '.join(map(str, seeds[:3]))}, ..., {seeds[-1]}"
