"""What report.html says, to whom it shows it, and that it needs nothing from elsewhere."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from findings import REHEARSAL, TRIED
from reports import BOUNDS, DENSE, report, row

from tfdrlprune.evidence.gate import judge
from tfdrlprune.evidence.report import Report
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


def test_the_page_says_the_verdict_first_and_then_the_numbers(page):
    text = re.sub(r"\s+", " ", page.text)
    body = text[text.rindex("CartPole-v1: pruned") :]
    places = [body.index(each) for each in ("PASS", "Not worse than", "498", "Stages", "Make it")]
    assert places == sorted(places)
    assert "6,733 10 × fewer than 67,330" in body


@pytest.mark.parametrize(
    ("route", "further", "small", "told"),
    [
        ("prune", "", False, "No dense network of as few parameters was trained beside it."),
        ("distil", "", False, "It is a dense network itself, taught from scratch."),
        ("distil", "element=0.5", False, "No dense network of as few parameters was trained"),
        ("prune", "", True, None),
    ],
)
@pytest.mark.parametrize("name", ["small", "fine_tuned"])  # that one stands for all before it
def test_the_page_says_where_a_dense_network_of_that_size_is(name, route, further, small, told):
    rows = [row("dense", DENSE, beside=None), row(name, DENSE)]
    rows += [row("small_dense", DENSE)] if small else []
    made = Report.of(rows, requested=name, env="CartPole-v1", seed=3)
    tried = (dataclasses.replace(TRIED, route=route, further=further),)
    made = dataclasses.replace(made, tried=tried, rehearsal=REHEARSAL)
    text = re.sub(r"\s+", " ", Page(made.files(plain=True)["report.html"].decode()).text)
    sentences = ("No dense network of as few parameters", "It is a dense network itself")
    assert [each in text for each in sentences] == [
        bool(told) and each in told for each in sentences
    ]
    assert not re.search(r"[a-z]{2}\.[A-Z0-9]", text.partition("How it was measured")[0])


def test_the_page_tells_candidates_of_one_size_apart():
    other = dataclasses.replace(
        TRIED, route="distil", further="element=0.5", fine_tuned=True, chosen=False
    )
    made = dataclasses.replace(report(), tried=(TRIED, other), rehearsal=REHEARSAL)
    text = Page(made.files(plain=True)["report.html"].decode()).text
    assert "prune to 0.9 (taken)" in text
    assert "distil to 0.9, element=0.5, fine-tuned" in text


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


def test_a_report_without_returns_has_no_plot():
    nothing = Report.of([row("dense", None)], requested="dense", env=None, seed=0)
    assert "<svg" not in nothing.files()["report.html"].decode()


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
