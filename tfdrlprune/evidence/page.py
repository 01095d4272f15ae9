"""The report as one self-contained page: verdict first, then plots, tables, how to repeat it.

It needs no network, follows the reader's light or dark setting, and fits a phone. Without a script
all of it can be read; where one may run, Plotly takes the place of the plots that are worth
pointing at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from tfdrlprune.evidence import layers, machine, table
from tfdrlprune.evidence.plots import distributions, library, pareto, pictures, sweep_plots
from tfdrlprune.evidence.plots.plot import Plot, look
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.stored_kernels import Kernel
from tfdrlprune.evidence.tried import Tried

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report


def render(report: Report, *, plain: bool = False) -> str:
    """Returns the page as HTML.

    Args:
        report: of a compression.
        plain: whether it does without a script: 2 MB less, and plots that only can be looked at.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tfdrlprune.evidence", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"spec": _spec, "titled": table.title}
    columns, lines = table.columns_and_lines(report.rows())
    shown = layers.stages_of(report)
    pictured = [_pictured(each, shown) for each in layers.layers_of(shown)]
    return environment.get_template("report.html").render(
        report=report,
        **words(report),
        figures=figures(report),
        looks={row.name: look(row, report.baseline, report.judged) for row in report.rows()},
        columns=columns,
        lines=lines,
        costs=pareto.plots(report),
        tried=[_cells(each) for each in report.tried],
        ways=pareto.tried(report),
        spreads=distributions.plots(report),
        sweeps=sweep_plots.plots(report.robustness),
        stages=shown,
        layers=pictured,
        masked=any(each.mask for layer in pictured for each in layer["pictures"]),
        differences=(report.judged.differences.lines() if report.judged.differences else []),
        runs=_runs(report.seeds),
        style=_read("report.css"),
        script="" if plain else _read("report.js"),
        plotly="" if plain else library.compressed(),
    )


def words(report: Report) -> dict[str, str]:
    """Returns title, verdict, message and summary, as every form of the report has them."""
    message = report.message.removeprefix(f"{report.verdict}: ")
    return {
        "title": f"{report.environment or 'Policy'}: {table.title(report.final)}",
        "verdict": report.verdict or "NOT JUDGED",
        "message": message[:1].upper() + message[1:],
        "summary": summary(report),
        "machine": machine.in_words(report.machine),
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


@dataclass(frozen=True)
class Figure:
    """A number that is seen first.

    Attributes:
        name: what it is.
        value: of the final stage.
        unit: of the value; empty for none.
        beside: how it stands beside the dense policy.
    """

    name: str
    value: str
    unit: str
    beside: str


def figures(report: Report) -> list[Figure]:
    """Returns the numbers of the final stage that are seen first, each beside the dense one's."""
    final, dense = report.judged, report.baseline
    found = []
    if final.returns is not None and dense.returns is not None:
        mean = table.number(dense.returns["mean"])
        found.append(Figure("return", table.number(final.returns["mean"]), "", f"dense: {mean}"))
    ours, theirs = final.latency_us["median"], dense.latency_us["median"]
    found += [
        Figure(
            *("parameters left", f"{final.nonzero:,}", ""),
            _times(final.nonzero, dense.parameters, "fewer", "more", f"{dense.parameters:,}"),
        ),
        Figure(
            *("file, gzipped", f"{final.gzip_bytes:,}", "bytes"),
            _times(
                *(final.gzip_bytes, dense.gzip_bytes, "smaller", "larger"), f"{dense.gzip_bytes:,}"
            ),
        ),
        Figure(
            *("one action", f"{ours:.1f}", "us"),
            _times(ours, theirs, "faster", "slower", f"{theirs:.1f}"),
        ),
    ]
    if final is dense:
        return [Figure(each.name, each.value, each.unit, "") for each in found]
    return found


def _times(ours: float, theirs: float, less: str, more: str, shown: str) -> str:
    """Returns how many times less or more than the dense policy's; near it, only the latter."""
    factor = theirs / ours if ours else 1.0
    word = less if factor > 1 else more
    factor = max(factor, 1 / factor)
    # Latencies of the same file differ by as much.
    if factor < 1.15:
        return f"dense: {shown}"
    digits = 0 if factor >= 9.5 else 1
    return f"{factor:.{digits}f} × {word} than {shown}"


def _cells(each: Tried) -> list[str]:
    """Returns a candidate's cells in the table of what was tried."""
    played = each.mean is not None and each.difference is not None
    return [
        f"{each.name}{' (taken)' if each.chosen else ''}",
        f"{each.nonzero:,}",
        f"{table.number(each.mean or 0.0)} ({each.difference:+.3g})" if played else "",
        f"{each.seconds:.1f}",
        each.verdict or "",
    ]


@dataclass(frozen=True)
class Picture:
    """A kernel as the page shows it.

    Attributes:
        stage: title of its stage.
        shape: of the kernel, for people.
        count: how many of its weights are left, for people.
        weights: data URI.
        mask: data URI; None where nothing is gone, or an earlier stage shows it.
        columns: cells across.
        rows: cells down.
    """

    stage: str
    shape: str
    count: str
    weights: str
    mask: str | None
    columns: int
    rows: int


def _pictured(layer: layers.Layer, stages: list[StageRow]) -> dict[str, Any]:
    shown: list[Picture] = []
    for stage, kernel in zip(stages, layer.kernels, strict=True):
        if kernel is not None:
            # Later stages have the mask that the first one with a mask has.
            masked = any(each.mask for each in shown)
            shown.append(_picture(kernel, table.title(stage.name), masked))
    return {
        "name": layer.name,
        "left": layer.left,
        "pictures": shown,
        "gone": layer.kernels[-1] is None,
    }


def _picture(kernel: Kernel, stage: str, masked: bool) -> Picture:
    gone = 1 - kernel.nonzero / kernel.size
    rows, columns = kernel.weights.shape
    return Picture(
        stage,
        layers.shape(kernel),
        f"{kernel.nonzero:,} of {kernel.size:,}" if gone else f"{kernel.size:,}",
        pictures.of_weights(kernel.weights),
        # A zero or two by chance are no mask.
        pictures.of_mask(kernel.kept) if gone > 0.05 and not masked else None,
        columns,
        rows,
    )


def _spec(plot: Plot) -> str:
    """Returns a plot's description as JSON that no page ends early."""
    text = json.dumps(plot.spec, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _read(name: str) -> str:
    return resources.files("tfdrlprune.evidence").joinpath(name).read_text("utf-8")


def _runs(seeds: tuple[int, ...]) -> str:
    """Returns the first and last seeds; all of them are in report.json."""
    if len(seeds) <= 6:
        return ", ".join(map(str, seeds))
    return f"{', '.join(map(str, seeds[:3]))}, ..., {seeds[-1]}"
