"""Stages as a table: in plain text, on terminals of any width and in notebooks."""

from __future__ import annotations

import io

import pytest
from reports import DENSE, report, row
from rich.console import Console

from tfdrlprune.evidence.diagnostics import Deviation, Diagnostics, Quantiles
from tfdrlprune.evidence.differences import Differences
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.table import COLUMNS, cells


def test_a_folder_keeps_its_name_in_the_table():
    assert cells(row("runs/small_v2", None))[0] == "runs/small_v2"
    assert cells(row("small_dense", None))[0] == "small dense"


def test_of_continuous_actions_the_distance_is_told_as_hardly_any_is_equal():
    off = Deviation(Quantiles(0.021, 0.03, 0.04, 0.2), value=0.4, observation=3, dimension=0)
    nothing = Quantiles(0.0, 0.0, 0.0, 0.0)
    states = Diagnostics(100, 0.09, None, off, outputs=nothing, centred_outputs=None)
    between = Differences(states, coverage=None, bounds=None, notes=())
    agreement = COLUMNS.index("agreement")
    assert cells(row("int8", None, agreement=0.09, differences=between))[agreement] == "off by 2.1%"
    assert cells(row("int8", None, agreement=0.09))[agreement] == "9.0%"


def test_as_text_every_number_stands_on_its_stages_line():
    lines = str(report()).splitlines()
    assert lines[0].split() == [
        *("stage", "return", "(95", "%", "interval)", "parameters", "non-zero", "sparsity"),
        *("bytes", "gzip", "latency", "us", "(p99)", "agreement", "verdict"),
    ]
    assert lines[1].split() == [
        *("dense", "500", "(500", "to", "500)", "67,330", "67,330", "0.0%", "271,000"),
        *("40,100", "7.1", "(9.0)"),
    ]
    assert lines[2].split()[-2:] == ["97.0%", "PASS"]
    assert lines[-1].startswith("PASS: not worse than")


@pytest.mark.parametrize(("width", "first"), [(160, "dense  "), (80, "stage")])
def test_a_narrow_terminal_gets_one_column_a_stage_and_loses_no_number(width, first):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(report(small=True))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for number in ("67,330", "6,733", "90.0%", "271,000", "40,100", "97.0%", "300", "7.1"):
        assert number in text
    assert any(line.startswith(first) for line in text.splitlines())


@pytest.mark.parametrize("width", [250, 80])
def test_brackets_in_a_name_are_no_markup(width):
    rows = [row("dense", DENSE, beside=None), row("[red]x[/]", DENSE)]
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(
        Report.of(rows, requested="[red]x[/]", env="CartPole-v1", seed=0)
    )
    assert "[red]x[/]" in out.getvalue()


def test_in_a_notebook_the_table_is_in_the_text_rather_than_displayed(monkeypatch):
    shown = str(report())
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report()) == shown
    assert "return (95 % interval)" in shown
