"""Curves and table show every policy, level and interval that sweeps found."""

import dataclasses
import re
from xml.etree import ElementTree

import numpy as np
from findings import FOUND

from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping import curves
from tfdrlprune.evidence.sweeping.sweep_results import Curve, Point, Robustness, SweepResult
from tfdrlprune.evidence.sweeping.sweeps import Sweep


def words(svg):
    root = ElementTree.fromstring(svg)
    return [each.text for each in root.iter() if each.tag.endswith("text")]


def result(name, levels, names=("baseline", "pruned")):
    sweep = Sweep(name, levels)
    points = tuple(
        Point(level, Estimate(level, level - 1, level + 1), 0, *[Estimate(0.0, 0.0, 0.0)] * 2)
        for level in sweep.levels
    )
    return SweepResult(sweep, tuple(Curve(each, points) for each in names))


def found(*results):
    return Robustness(10, 0, 0.95, 0.0, results)


def test_the_table_has_a_line_for_each_level_and_policy():
    lines = curves.text(FOUND).splitlines()
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    assert cells[0] == ["sweep", "level", "policy", "return", "- baseline", "change", "failed"]
    assert cells[1] == ["masspole", "1", "baseline", "9 (8 to 10)"]
    assert cells[2] == ["pruned", "9 (8.5 to 9.5)", "0 (0 to 0)", "0 (0 to 0)"]
    assert cells[3] == ["2", "baseline", "7", "1"]
    assert cells[4] == ["pruned", "4 (3 to 5)", "-3 (-4 to -2)", "0 (0 to 0)", "2"]
    assert "90% intervals" in lines[5]
    assert len(lines) == 6


def test_a_name_is_no_markup_of_the_table():
    changed = result("drop", (0.1,), ("baseline", "[red]x[/red]"))
    assert "[red]x[/red]" in curves.text(found(changed))


def test_each_sweep_has_a_panel_with_its_levels_and_policies():
    panels = curves.panels(found(result("noise", (0.1,)), result("masspole", (0.5, 2.0))))
    assert len(panels) == 2
    noise, mass = map(words, panels)
    assert {"Observation noise", "0", "0.1", "baseline", "pruned", "return"} <= set(noise)
    assert {"Parameter masspole", "factor of masspole", "0.5", "1", "2"} <= set(mass)


def test_panels_take_the_colours_of_the_page_and_share_no_ids():
    policies = ("baseline", "a", "b", "c", "d")
    panels = curves.panels(found(*[result("noise", (0.1,), policies)] * 2))
    used = set(re.findall(r"var\(--(\w+)\)", panels[0]))
    assert {"ink", "line", "muted", "accent", "open", "pass"} == used
    assert not re.search(r"#0\d0\d0\d", "".join(panels))
    ids = [set(re.findall(r'\bid="([^"]*)"', each)) for each in panels]
    assert not ids[0] & ids[1]


def test_the_band_reaches_from_end_to_end_of_the_interval(monkeypatch):
    drawn = []
    monkeypatch.setattr(curves.drawing, "svg", lambda figure, label, name: drawn.append(figure))
    curves.panels(FOUND)
    above, below = drawn[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in above.lines}
    assert lines["baseline"] == [[1, 9], [2, 7]]
    assert lines["pruned"] == [[1, 9], [2, 4]]
    bands = [np.unique(each.get_paths()[0].vertices, axis=0) for each in above.collections]
    # A single episode has no interval: the band ends in a point.
    assert bands[0].tolist() == [[1, 8], [1, 10], [2, 7]]
    assert bands[1].tolist() == [[1, 8.5], [1, 9.5], [2, 3], [2, 5]]
    assert [line.get_label() for line in below.lines if len(line.get_xydata()) == 2][1:2] == [
        "pruned"
    ]
    assert len(below.collections) == 1  # the baseline has no margin


def test_labels_of_levels_do_not_run_into_each_other():
    crowded = set(words(curves.panels(found(result("noise", (0.001, 0.01, 0.5, 1.0))))[0]))
    assert {"0", "0.5", "1"} <= crowded
    assert not {"0.001", "0.01"} & crowded


def test_a_long_name_keeps_its_end_and_a_dollar_stays_one():
    names = ("baseline", "/".join(["a_long_folder"] * 5) + "/the_end", "$x$")
    shown = words(curves.panels(found(result("noise", (0.1,), names)))[0])
    (long,) = [each for each in shown if each.endswith("/the_end")]
    assert long.startswith("…")
    assert len(long) == 40
    assert "$x$" in "".join(shown)


def test_the_same_sweeps_give_the_same_panels():
    assert curves.panels(FOUND) == curves.panels(FOUND)
    other = dataclasses.replace(FOUND, sweeps=(result("masspole", (2.0,)),))
    assert curves.panels(FOUND) != curves.panels(other)


def test_all_panels_have_one_scale_that_holds_every_interval(monkeypatch):
    drawn = []
    monkeypatch.setattr(curves.drawing, "svg", lambda figure, label, name: drawn.append(figure))
    curves.panels(found(result("noise", (2.0,)), result("masspole", (10.0,))))
    limits = [[axes.get_ylim() for axes in figure.axes] for figure in drawn]
    assert limits[0] == limits[1]
    # Means 0, 1, 2 and 10, each give or take 1: from -1 to 11, and 6 % of it around.
    np.testing.assert_allclose(limits[0][0], (-1.72, 11.72))
    assert limits[0][1] == (-1, 1)  # nothing changed
