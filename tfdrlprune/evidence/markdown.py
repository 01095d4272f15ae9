"""The report as Markdown, for a pull request or a terminal."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from tfdrlprune.evidence import layers, page, table
from tfdrlprune.evidence.sweeping import curves

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report


def render(report: Report) -> str:
    """Returns the report as GitHub-flavoured Markdown."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files("tfdrlprune.evidence").joinpath("report.md").read_text("utf-8")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["number"] = table.number
    columns, lines = table.columns_and_lines(report.rows())
    gate = report.judged.gate
    stages = layers.stages_of(report)
    kernels = layers.layers_of(stages)
    return environment.from_string(source).render(
        report=report,
        **page.words(report),
        columns=columns,
        # A bar in a name would end its cell.
        lines=[[_cell(cell) for cell in line] for line in lines],
        kernels=[_kernel_cells(each) for each in kernels] if len(stages) > 1 else [],
        rulings=gate.rulings if gate is not None else (),
        differences=(report.judged.differences.lines() if report.judged.differences else []),
        swept="" if report.robustness is None else curves.text(report.robustness),
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _kernel_cells(layer: layers.Layer) -> list[str]:
    dense, final = layer.kernels[0], layer.kernels[-1]
    return [
        _cell(layer.name),
        *("" if kernel is None else layers.shape(kernel) for kernel in (dense, final)),
        f"{0 if final is None else final.nonzero:,}",
        f"{1 - layer.left:.1%}",
    ]
