"""Plots follow the page's colours, and share a page with others."""

import re
from xml.etree import ElementTree

from tfdrlprune.evidence import drawing


def plot(name="plot", label="A & B", height=1.0):
    figure = drawing.figure(4.8, 3.0)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, height], color=drawing.ACCENT, marker="o")
    axes.set_title("words", color=drawing.INK)
    drawing.style(axes)
    return drawing.svg(figure, label, name)


def test_colours_are_those_of_the_page():
    svg = plot()
    assert {"var(--accent)", "var(--ink)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.search(r"#0\d0\d0\d", svg)


def test_a_plot_is_as_wide_as_the_page_says_and_can_be_read_aloud():
    root = ElementTree.fromstring(plot())
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "A & B"
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    assert root.attrib["viewBox"] == "0 0 345.6 216"  # 4.8 x 3 inches of 72 px
    assert "words" in [each.text for each in root.iter() if each.tag.endswith("text")]


def test_plots_of_one_page_share_no_id_and_find_their_own():
    first, second = plot("a"), plot("b")
    ids = [set(re.findall(r'\bid="([^"]*)"', each)) for each in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', first))
    assert used
    assert used <= ids[0]


def test_the_same_data_give_the_same_plot():
    assert plot() == plot()
    assert plot() != plot(height=2.0)
