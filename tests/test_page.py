"""The page as readers see it in a browser: nothing empty, cut, or beside the point."""

from __future__ import annotations

import dataclasses
import io

import chromium
import numpy as np
import pytest
from findings import CHOOSES, FOUND, TRIED
from PIL import Image
from reports import COUNT, episodes, report

from tfdrlprune.evidence.stored_kernels import Kernel

pytestmark = pytest.mark.slow

# Readers, as `chromium.Page` has them.
READERS = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"width": 360, "height": 740, "touch": True},
    "dark phone": {"width": 360, "height": 740, "touch": True, "dark": True},
    "tablet": {"width": 800, "touch": True},
    "no script": {"script": False},
    "phone without script": {"width": 360, "height": 740, "touch": True, "script": False},
}
# What stands beyond the window, or is wider than what it stands in.
_CUT = """[...document.querySelectorAll("body *:not(script):not(style)")].filter(each => {
  const box = each.getBoundingClientRect();
  const inside = each.closest("svg") && each.tagName !== "text";
  const unseen = each.closest("thead, .unseen") || !box.width || !box.height;
  return !inside && !unseen && (box.left < -0.5 || box.right > innerWidth + 0.5);
}).map(each => each.outerHTML.slice(0, 120))"""
_RUN_OVER = """[...document.querySelectorAll("p, td, th, dd, dt, h1, h2, h3, pre, code, li")]
  .filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth
    && !each.closest("thead, .unseen") && getComputedStyle(each).display !== "inline")
  .map(each => each.outerHTML.slice(0, 120))"""
# What is written in each plot: no word may stand on another.
_WORDS = """[...document.querySelectorAll(".plot")].map(plot => [...plot.querySelectorAll("text")]
  .map(each => [each.textContent.trim(), each.getBoundingClientRect()])
  .filter(([text, box]) => text && box.width)
  .map(([text, box]) => [text, box.left, box.top, box.right, box.bottom]))"""


def kernel(layer, shape, density, seed):
    draw = np.random.default_rng(seed)
    weights = draw.integers(-127, 128, shape) * (draw.random(shape) < density)
    kept = np.where(weights == 0, 0, 255).astype(np.uint8)
    nonzero = int(np.count_nonzero(weights))
    return Kernel(layer, "FULLY_CONNECTED", shape, nonzero, weights.astype(np.int8), kept)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    draw = np.random.default_rng(0)
    last = episodes(np.clip(draw.normal(490, 20, COUNT), 0, 500))
    shapes = {"dense": (8, 96), "a_layer_with_a_long_name_of_its_own": (64, 64), "outputs": (2, 64)}
    kernels = [
        tuple(kernel(name, shape, density, at) for at, (name, shape) in enumerate(shapes.items()))
        for density in (1.0, 0.1)
    ]
    made = report(
        last=last, small=True, differences=CHOOSES, gzip_bytes=5_000, sha256="ab" * 32,
        kernels=kernels[1],
    )  # fmt: skip
    first = dataclasses.replace(made.stages[0], kernels=kernels[0], sha256="cd" * 32)
    other = dataclasses.replace(TRIED, nonzero=3_000, verdict="FAIL", mean=420.0, chosen=False)
    made = dataclasses.replace(
        made, stages=(first, made.stages[1]), robustness=FOUND, tried=(TRIED, other)
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(made.files()["report.html"])
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.started(tmp_path_factory.mktemp("profile")) as started:
        yield started


def opened(browser, file, **reader):
    """Returns the page with every plot drawn, as after somebody has scrolled through it."""
    page = chromium.Page(browser, file, **reader)
    if reader.get("script", True):
        for index in range(page.value("document.querySelectorAll('.plot').length")):
            plot = f"document.querySelectorAll('.plot')[{index}]"
            page.value(f"{plot}.scrollIntoView()")
            page.wait_until(f"{plot}.classList.contains('live')")
        page.value("scrollTo(0, 0)")
    return page


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float)


def overlapping(plots):
    """Returns the pairs of words that stand on each other; boxes are a little larger than words."""
    return [
        (one[0], other[0])
        for words in plots
        for index, one in enumerate(words)
        for other in words[index + 1 :]
        if min(one[3], other[3]) - max(one[1], other[1]) > 2
        and min(one[4], other[4]) - max(one[2], other[2]) > 4
    ]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gets_a_page_where_nothing_is_empty_cut_or_wrong(reader, browser, file):
    page = opened(browser, file, **READERS[reader])
    try:
        # A phone would zoom out of what is too wide.
        width = READERS[reader].get("width", 1280)
        assert page.value("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
        assert page.value(_CUT) == []
        assert page.value(_RUN_OVER) == []
        assert page.errors() == []
        words = page.value(_WORDS)
        assert min(map(len, words)) > 5
        assert {"dense", "pruned", "small dense"} <= {each[0] for each in words[0]}
        assert overlapping(words) == []
        seen = pixels(page.picture())
        paper = seen[2, 2]
        assert (paper.mean() < 60) == ("dark" in reader)
        # Every plot and picture has something drawn in it.
        boxes = page.value(
            "[...document.querySelectorAll('.plot, .cells img')].map(each => {"
            "const box = each.getBoundingClientRect();"
            "return [box.left, box.top + scrollY, box.right, box.bottom + scrollY]})"
        )
        assert len(boxes) == 3 + 2 + 1 + 3 * 3  # costs, episodes, sweep; pictures of each layer
        for left, top, right, bottom in np.rint(boxes).astype(int):
            part = seen[top:bottom, left:right]
            assert part.size
            assert np.abs(part - paper).max() > 60
            assert part.std() > 3
    finally:
        page.close()


def test_without_a_script_the_plots_are_there_as_drawn(browser, file):
    page = chromium.Page(browser, file, script=False)
    try:
        assert page.value("document.querySelectorAll('.plot.live').length") == 0
        assert page.value("document.querySelectorAll('.plot > svg').length") == 6
        assert page.value("document.querySelector('.plot > svg').clientHeight") > 200
    finally:
        page.close()


def test_a_plot_tells_numbers_where_one_points_and_follows_the_readers_setting(browser, file):
    page = opened(browser, file)
    try:
        assert page.value("getComputedStyle(document.querySelector('#size > svg')).display") == (
            "none"
        )
        page.point_at("#size .scatterlayer .trace:nth-child(3) .points path")
        page.wait_until("document.querySelector('#size .hoverlayer text')")
        said = page.value("document.querySelector('#size .hoverlayer').textContent")
        assert "pruned" in said
        assert "non-zero: 6,733" in said
        ink = "document.querySelector('#size .drawn .xtick text').style.fill"
        assert page.value(ink) == "rgb(27, 33, 45)"
        page.prefer(dark=True)
        page.wait_until(f"{ink} === 'rgb(230, 233, 239)'")
    finally:
        page.close()
