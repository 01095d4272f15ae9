"""The report: what is judged, what is written, and what a reader sees."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from reports import BOUNDS, COUNT, DENSE, episodes, report, row
from rich.console import Console
from test_reading import REHEARSAL, TRIED

from tfdrlprune.evidence.diagnostics import Deviation, Diagnostics, Quantiles
from tfdrlprune.evidence.differences import Differences
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.gate import judge
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.stored_kernels import Kernel
from tfdrlprune.evidence.sweeping.sweep_results import Curve, Point, Robustness, SweepResult
from tfdrlprune.evidence.sweeping.sweeps import Sweep
from tfdrlprune.evidence.table import COLUMNS, cells
from tfdrlprune.evidence.terms import Terms


class Page(HTMLParser):
    """The tags of a page, and its text without styles."""

    def __init__(self, content: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "style":
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag == "style":
            self._open.pop()

    def handle_data(self, data):
        if not self._open:
            self.text += data


@pytest.fixture(scope="module", name="page")
def page_of_a_report() -> Page:
    return Page(report(small=True).files()["report.html"].decode())


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


def test_the_last_stage_is_judged_against_the_first():
    made = report()
    assert made.verdict == "PASS"
    assert made.gate["stage"] == "pruned"
    assert made.gate["difference"] == pytest.approx(-2.0)
    assert report(last=episodes(np.full(COUNT, 100.0))).verdict == "FAIL"


def test_report_json_has_the_keys_that_scripts_rely_on():
    value = json.loads(report(small=True).files()["report.json"])
    assert [stage["name"] for stage in value["stages"]] == ["dense", "pruned"]
    assert value["baseline"]["name"] == "dense"
    assert value["small_dense"]["return"]["mean"] == 300.0
    assert {"verdict", "margin", "confidence", "episodes"} <= set(value["gate"])
    assert value["environment"] == "CartPole-v1"
    assert value["seeds"] == {"seed": 3, "episodes": list(range(COUNT))}
    assert value["versions"]["tfdrlprune"]


def test_a_stage_without_a_verdict_says_why_and_is_valid_json():
    nothing = report(last=None, env=None, returns=None, episodes=None, verdict=None, gate=None)
    assert json.loads(nothing.files()["report.json"])["gate"]["verdict"] is None
    assert "No environment" in nothing.gate["message"]
    unbounded = report(verdict="INCONCLUSIVE", gate=None)
    assert unbounded.gate["verdict"] == "INCONCLUSIVE"
    for remedy in ("--return-bounds LOW HIGH", "Judging(terms=Terms(bounds=(LOW, HIGH)))"):
        assert remedy in unbounded.gate["message"]


def test_the_final_stage_must_have_been_measured():
    with pytest.raises(ValueError, match="No stage is named 'int8'"):
        Report.of([row("dense", DENSE, beside=None)], requested="int8", env=None, seed=0)


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


def test_the_page_says_the_verdict_first_and_then_the_numbers(page):
    text = re.sub(r"\s+", " ", page.text)
    body = text[text.rindex("CartPole-v1: pruned") :]
    places = [body.index(each) for each in ("PASS", "Not worse than", "498", "Stages", "Make it")]
    assert places == sorted(places)
    assert "6,733 10 × fewer than 67,330" in body


@pytest.mark.parametrize(
    ("name", "route", "small", "told"),
    [
        ("pruned", "prune", False, "No dense network of as few parameters was trained beside it."),
        ("distilled", "distil", False, "It is a dense network itself, taught from scratch."),
        ("fine_tuned", "distil", False, "It is a dense network itself, taught from scratch."),
        ("fine_tuned", "prune", False, "No dense network of as few parameters was trained"),
        ("pruned", "prune", True, None),
    ],
)
def test_the_page_says_where_a_dense_network_of_that_size_is(name, route, small, told):
    rows = [row("dense", DENSE, beside=None), row(name, DENSE)]
    rows += [row("small_dense", DENSE)] if small else []
    made = Report.of(rows, requested=name, env="CartPole-v1", seed=3)
    tried = (dataclasses.replace(TRIED, route=route),)
    made = dataclasses.replace(made, tried=tried, rehearsal=REHEARSAL)
    text = re.sub(r"\s+", " ", Page(made.files(plain=True)["report.html"].decode()).text)
    sentences = ("No dense network of as few parameters", "It is a dense network itself")
    assert [each in text for each in sentences] == [
        bool(told) and each in told for each in sentences
    ]
    assert not re.search(r"[a-z]{2}\.[A-Z0-9]", text.partition("How it was measured")[0])


def test_the_page_needs_nothing_from_elsewhere(page):
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe")]
    addresses = [
        value
        for _, attrs in page.tags
        for key, value in attrs.items()
        if key in ("src", "href", "xlink:href") and value and not value.startswith(("#", "data:"))
    ]
    assert addresses == []
    assert "@import" not in report().files()["report.html"].decode()


def test_a_plain_page_has_no_script_and_is_small():
    content = report(small=True).files(plain=True)["report.html"]
    assert b"<script" not in content
    assert len(content) < 200_000
    whole = report(small=True).files()["report.html"].decode()
    assert whole.count("<svg") == content.decode().count("<svg") == 4
    packed = re.search(r'id="plotly">([^<]+)<', whole)
    source = gzip.decompress(base64.b64decode(packed[1])).decode()
    assert source.startswith("/**\n* plotly.js v")
    assert "Licensed under the MIT license" in source[:200]


def test_the_plot_draws_every_stage_in_colours_of_the_page(page):
    content = report(small=True).files()["report.html"].decode()
    svg = content[content.index("<svg") : content.index("</svg>")]
    assert {"dense", "pruned", "small dense"} <= set(re.findall(r">([^<>]+)</text>", svg))
    assert "var(--accent)" in svg
    assert not re.search(r"#0[1-9]0[1-9]0[1-9]", svg)


def test_the_page_escapes_what_comes_from_outside(page):
    content = report(env="<script>alert(1)</script>").files(plain=True)["report.html"].decode()
    assert "<script>" not in content
    assert "tfdrlprune compress &lt;x&gt;" in content


def test_the_page_is_the_same_for_the_same_numbers():
    assert report().files() == report().files()


def test_a_report_without_returns_has_no_plot():
    nothing = Report.of([row("dense", None)], requested="dense", env=None, seed=0)
    assert "<svg" not in nothing.files()["report.html"].decode()


def test_write_makes_all_files_and_spares_a_folder_that_is_no_report(tmp_path):
    report().write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.json", "report.npz", "report.md", "report.html"),
    }
    with pytest.raises(FileExistsError, match="--force"):
        report().write(tmp_path / "out")
    report().write(tmp_path / "out", force=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="something else"):
        report().write(tmp_path / "home", force=True)


def test_a_stage_that_breaks_the_policy_is_named_and_the_last_safe_one_shipped():
    rows = [
        row("dense", DENSE, beside=None),
        row("pruned", DENSE),
        row("float16", DENSE),
        row("int8", episodes(np.full(COUNT, 300.0))),
    ]
    asked = {"requested": "int8", "env": "CartPole-v1", "seed": 0}
    made = Report.of(rows, fallback=True, **asked)
    assert (made.final, made.verdict) == ("float16", "PASS")
    assert (made.gate["stage"], made.gate["requested"]) == ("float16", "int8")
    assert made.gate["broken_by"] == "int8"
    assert made.message.startswith("PASS: not worse")
    assert "float16 is shipped instead of int8, since int8 did not pass. int8: FAIL:" in (
        made.message
    )
    alone = Report.of(rows, **asked)
    assert (alone.final, alone.verdict) == ("int8", "FAIL")
    assert alone.message.startswith("FAIL: worse")


def test_a_stage_after_one_that_did_not_pass_does_not_count_where_one_may_fall_back():
    few = Episodes(*(column[:20] for column in vars(DENSE).values()))
    rows = [
        row("dense", DENSE, beside=None),
        row("pruned", few, beside=few),
        row("int8", DENSE),
    ]
    asked = {"requested": "int8", "env": "CartPole-v1", "seed": 0}
    made = Report.of(rows, fallback=True, **asked)
    assert (made.final, made.verdict) == ("int8", "INCONCLUSIVE")
    assert "pruned did not pass, so that int8 does not count" in made.message
    assert made.gate["verdict"] == "INCONCLUSIVE"
    assert Report.of(rows, **asked).verdict == "PASS"


def test_stages_after_the_requested_one_are_left_out():
    rows = [row("dense", DENSE, beside=None), row("pruned", DENSE), row("int8", DENSE)]
    made = Report.of(rows, requested="pruned", env=None, seed=0)
    assert [each.name for each in made.stages] == ["dense", "pruned"]


def test_as_markdown_the_verdict_comes_first_and_every_stage_has_a_line():
    lines = report(small=True).files()["report.md"].decode().splitlines()
    assert lines[0] == "# CartPole-v1: pruned"
    assert lines[2].startswith("**PASS**: Not worse than")
    table = [line for line in lines if line.startswith("| ")]
    assert table[0].startswith("| stage | return (95 % interval) |")
    assert set(table[1]) <= set("|- ")
    assert table[3].startswith("| pruned | 498 (")
    assert table[4].startswith("| small dense | 300 (300 to 300) |")
    assert {line.count("|") for line in table[:5]} == {table[0].count("|")}
    assert "| return | PASS | -2 | -25 | " in "\n".join(lines)
    assert "tfdrlprune compress <x>" in lines


def test_markdown_names_what_is_left_of_each_layer_and_the_file():
    none = np.zeros((1, 1), np.uint8)
    kernels = [
        (Kernel("a|b", "FULLY_CONNECTED", (64, 4), count, none, none),) for count in (256, 64)
    ]
    made = report(kernels=kernels[1], sha256="ab" * 32)
    first = dataclasses.replace(made.stages[0], kernels=kernels[0])
    made = dataclasses.replace(made, stages=(first, made.stages[1]))
    text = made.files()["report.md"].decode()
    assert "| a\\|b | 64 × 4 | 64 × 4 | 64 | 75.0% |" in text
    assert f"SHA-256 of policy.tflite: `{'ab' * 32}`." in text


def test_a_bar_in_a_name_does_not_end_its_cell_in_markdown():
    rows = [row("dense", DENSE, beside=None), row("a|b", DENSE)]
    made = Report.of(rows, requested="a|b", env="CartPole-v1", seed=0)
    assert "| a\\|b | 500" in made.files()["report.md"].decode()


def test_every_form_shows_what_disturbances_do():
    nothing = Estimate(0, 0, 0)
    ours = Point(0.0, Estimate(498, 488, 499), 0, nothing, nothing)
    curves = (
        Curve("baseline", (Point(0.0, Estimate(500, 490, 500), 0, None, None),)),
        Curve("pruned", (ours,)),
    )
    swept = Robustness(10, 0, 0.95, 0.0, (SweepResult(Sweep("delay", (0.0,)), curves),))
    plain = report()
    made = dataclasses.replace(plain, robustness=swept)
    files = made.files()
    assert json.loads(files["report.json"])["robustness"] == swept.to_json()
    assert json.loads(plain.files()["report.json"])["robustness"] is None
    assert "500 (490 to 500)" in files["report.md"].decode()
    assert "Delayed actions" in files["report.html"].decode()
    assert "Delayed actions" not in plain.files()["report.html"].decode()
    assert "500 (490 to 500)" in str(made)


def test_a_margin_in_units_of_the_return_is_drawn_as_such():
    gate = judge(DENSE, DENSE, Terms(bounds=BOUNDS, margin_return=20.0))
    assert "margin 20<" in report(gate=gate).files()["report.html"].decode()
    assert "margin 5%<" in report().files()["report.html"].decode()


def luminance(colour):
    """Returns the relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_words_stand_out_from_the_paper_in_both_themes():
    style = resources.files("tfdrlprune.evidence").joinpath("report.css").read_text("utf-8")
    themes = re.findall(r":root \{([^}]*)\}", style)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6});", theme))
        assert len(colours) == 9
        for name in ("ink", "muted", "accent", "pass", "fail", "open"):
            for paper in ("paper", "card"):
                pair = sorted(luminance(colours[each]) for each in (name, paper))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, paper)


def test_in_a_notebook_the_table_is_in_the_text_rather_than_displayed(monkeypatch):
    shown = str(report())
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report()) == shown
    assert "return (95 % interval)" in shown
