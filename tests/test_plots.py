"""Plots hold every number, in both of their forms; Plotly knows every word of theirs."""

import base64
import dataclasses
import io
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from findings import FOUND, TRIED
from PIL import Image
from reports import COUNT, DENSE, episodes, report, row

from tfdrlprune.evidence import drawing
from tfdrlprune.evidence.plots import distributions, labels, pareto, pictures, scales, sweep_plots
from tfdrlprune.evidence.plots.plot import look
from tfdrlprune.evidence.plots.scene import frontier
from tfdrlprune.evidence.report import Report

LAST = episodes(np.tile([500.0, 496.0, 500.0, 300.0], COUNT // 4))


def made(**changes):
    full = report(last=LAST, small=True, gzip_bytes=4_000, **changes)
    return dataclasses.replace(full, robustness=FOUND, tried=(TRIED,))


def every(full):
    return [
        *pareto.plots(full),
        *pareto.tried(full),
        *distributions.plots(full),
        *sweep_plots.plots(full.robustness),
    ]


def coloured(value):
    """Returns a spec as the page's script gives it to Plotly."""
    if isinstance(value, dict):
        return {key: coloured(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [coloured(each) for each in value]
    return "#123456" if isinstance(value, str) and value.startswith("var(") else value


def test_plotly_takes_every_word():
    plots = every(made())
    assert [plot.name for plot in plots] == [
        *("size", "latency", "weights", "spread", "paired", "sweep0"),
    ]
    for plot in plots:
        go.Figure(coloured(plot.spec))  # raises on what it does not know


def test_an_unknown_word_would_be_noticed():
    (plot, *_) = every(made())
    with pytest.raises(ValueError, match="colour"):
        go.Figure(coloured({**plot.spec, "layout": {"colour": "red"}}))


def test_colours_are_of_the_page_only():
    for plot in every(made()):
        assert set(re.findall(r"#[0-9a-f]{6}", str(plot.spec))) == set()
        assert set(re.findall(r"var\(--(\w+)\)", str(plot.spec))) <= {
            *("ink", "line", "accent", "muted", "open", "pass", "card"),
        }


def traces(plot, mode="markers"):
    return [each for each in plot.spec["data"] if each["mode"] == mode]


def test_both_costs_have_every_stage_at_its_numbers():
    size, latency = pareto.plots(made(latency_us={"median": 3.5, "p99": 4.0}))
    assert [(each["x"], each["y"]) for each in traces(size)] == [
        ([40_100.0], [500.0]),
        ([4_000.0], [449.0]),
        ([40_100.0], [300.0]),
    ]
    assert [each["x"] for each in traces(latency)] == [[7.14], [3.5], [7.14]]
    for plot in (size, latency):
        shown = [note["text"] for note in plot.spec["layout"]["annotations"]]
        assert shown == ["margin 5%", "dense", "<b>pruned</b>", "small dense"]
        assert {"dense", "pruned", "small dense"} <= set(re.findall(r">([^<>]+)</text>", plot.svg))


def test_what_was_tried_stands_by_its_weights():
    (weights,) = pareto.tried(made())
    tried, *stages = traces(weights)
    assert (tried["x"], tried["y"]) == ([6_733.0], [498.0])
    assert tried["marker"]["symbol"] == "circle-open"
    assert [each["x"] for each in stages] == [[67_330.0], [6_733.0], [7_010.0]]
    assert pareto.tried(dataclasses.replace(made(), tried=())) == []


def test_the_frontier_is_what_no_other_beats_in_both():
    assert frontier([(10, 5.0), (2, 4.0), (2, 3.0), (3, 3.5), (4, 4.5)]) == [1, 4, 0]
    size, *_ = pareto.plots(made())
    (line,) = traces(size, "lines")
    end = line["x"][-1]
    assert line["x"] == [4_000.0, 40_100.0, 40_100.0, end]
    assert line["y"] == [449.0, 449.0, 500.0, 500.0]
    assert end > 40_100


def test_the_spread_holds_every_episode():
    spread, paired = distributions.plots(made())
    dense, final, small = spread.spec["data"]
    for each, top in ((dense, 1.0), (final, 0.75), (small, 1.0)):
        bars = np.array(each["y"])[1:-1:2]
        assert bars.sum() == pytest.approx(1.0)
        assert bars.max() == pytest.approx(top)
    (points,) = traces(paired)
    assert points["x"] == DENSE.returns.tolist()
    assert points["y"] == LAST.returns.tolist()
    assert points["customdata"] == DENSE.seeds.tolist()
    assert "Of 200, pruned returns more on 0, less on 100, and the same on 100." in paired.note


def test_a_failed_episode_counts_with_the_lowest_return():
    ends = LAST.outcomes.copy()
    ends[0] = "error"
    failed = dataclasses.replace(LAST, outcomes=ends)
    _, paired = distributions.plots(report(last=failed))
    assert traces(paired)[0]["y"][0] == 0.0


def test_one_stage_alone_has_no_pairs_and_nothing_played_has_no_plots():
    alone = Report.of([row("dense", DENSE, beside=None)], requested="dense", env="x", seed=0)
    assert [plot.name for plot in every(alone)] == ["size", "latency", "spread"]
    nothing = Report.of([row("dense", None)], requested="dense", env=None, seed=0)
    assert every(nothing) == []


def test_sweeps_have_every_level_and_interval():
    (plot,) = sweep_plots.plots(FOUND)
    lines = [each for each in plot.spec["data"] if each["mode"] == "lines+markers"]
    assert [(each["name"], each["yaxis"], each["y"]) for each in lines] == [
        ("baseline", "y", [9.0, 7.0]),
        ("pruned", "y", [9.0, 4.0]),
        ("pruned", "y2", [0.0, 0.0]),
    ]
    assert lines[1]["customdata"] == [[8.5, 9.5, 0], [3.0, 5.0, 2]]
    # A single episode has no interval: its band ends in a point.
    assert plot.spec["data"][0]["y"] == [8.0, 7.0, 7.0, 10.0]


def test_a_name_is_no_markup_of_plotly():
    rows = [row("dense", DENSE, beside=None), row("<b>x", LAST)]
    named = Report.of(rows, requested="<b>x", env="CartPole-v1", seed=0)
    for plot in every(named):
        assert "<b>x" not in str(plot.spec["data"])
        assert "$x" not in plot.svg


def test_far_numbers_stand_in_decades_and_near_ones_begin_at_zero():
    near = scales.of_sizes([2.5, 2.8])
    assert (near.low, near.log, near.ticks) == (0.0, False, (0, 1, 2, 3))
    far = scales.of_sizes([100, 10_000])
    assert far.log
    assert far.low < 100
    assert far.high > 10_000
    assert {100, 1_000, 10_000} <= set(far.ticks)
    assert far.labels == ["100", "300", "1 k", "3 k", "10 k"]
    assert scales.of_sizes([0, 900]).labels == ["0", "250", "500", "750", "1000"]
    assert scales.of_sizes([0, 9e6]).labels == ["0", "2.5 M", "5 M", "7.5 M", "10 M"]
    assert scales.of_returns([-15_000, 5_000]).labels == ["-10 k", "0"]
    assert scales.of_returns([-3.0, -3.0]).low < -3.0 < scales.of_returns([-3.0, -3.0]).high


def test_names_of_neighbours_run_into_neither_each_other_nor_a_line():
    figure = drawing.figure(4.8, 3.3)
    axes = figure.add_subplot()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 10)
    points, ends = [(5.0, 5.0), (5.05, 5.05), (5.0, 4.9)], [(4.0, 6.0)] * 3
    names = ["a long name", "another long name", "a third long name"]
    found = labels.place(axes, names, points, ends, ([0, 5, 5, 10], [5, 5, 8, 8]), fontsize=9)
    boxes = []
    for name, point, offset in zip(names, points, found, strict=True):
        text = axes.annotate(
            name,
            point,
            xytext=(offset.right, offset.up),
            textcoords="offset points",
            ha=offset.across,
            va=offset.along,
            fontsize=9,
        )
        boxes.append(text.get_window_extent())
    for at, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[at + 1 :])
    left, low = axes.transData.transform((0, 4.99))
    right, high = axes.transData.transform((5, 5.01))
    for box in boxes:
        assert not (box.x0 < right and box.x1 > left and box.y0 < high and box.y1 > low)
    # At the right edge a name stands to the left.
    (edge,) = labels.place(axes, names[:1], [(9.9, 5.0)], [(5.0, 5.0)], ([0, 1], [0, 0]))
    assert edge.across == "right"


def test_pictures_show_signs_in_two_colours_and_what_is_gone_as_paper():

    uri = pictures.of_weights(np.array([[-127, 0, 1, 127]], np.int8))
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    cells = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))[0]
    assert cells[:, 3].tolist()[::3] == [255, 255]
    assert cells[1, 3] == 0
    assert 40 < cells[2, 3] < 80  # nearly nothing, and yet seen
    assert cells[0, 0] > cells[0, 2]  # orange
    assert cells[3, 2] > cells[3, 0]  # blue
    noise = np.random.default_rng(0).integers(-127, 128, (96, 96)).astype(np.int8)
    assert len(pictures.of_weights(noise)) < 14_000
    mask = pictures.of_mask(np.array([[0, 255]], np.uint8))
    kept = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask.split(",")[1]))).convert("RGBA"))[
        0
    ]
    assert kept[:, 3].tolist() == [0, 255]


def test_a_stage_looks_the_same_in_every_plot():
    full = made()
    looks = [look(each, full.baseline, full.judged) for each in full.rows()]
    assert [each.marker for each in looks] == ["o", "s", "^"]
    assert len({each.colour for each in looks}) == 3
