"""Draws the pictures of docs/concepts.md, from objects of this package; nothing is drawn by hand.

    python docs/make_images.py [FOLDER]

FOLDER is docs/images if not given. Everything is seeded, so the same versions write the same bytes.
Each picture has a light ground of its own and can be read on a dark page as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tfdrlprune as tp

# isort: split
import matplotlib as mpl
import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from tfdrlprune.evidence.claims import keeps_return
from tfdrlprune.structure.shrink import shrink

Array = NDArray[Any]
Figure = Any

INK, GROUND, GONE, KEPT = "#22262b", "#fbfbfc", "#dfe3e8", "#1f5fa8"
COLOURS = ("#1f5fa8", "#c1571a", "#2c7a4b", "#7a3e9d")
STYLE = {
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 9,
    "legend.frameon": False,
    # Words stay words: they can be searched, and are set in the reader's own font.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "svg.hashsalt": "tfdrlprune",
}


def dense(*sizes: int) -> Any:
    """Returns a functional Keras model of dense layers, with the initial weights of seed 0."""
    tf.keras.utils.set_random_seed(0)
    given = tensor = tf.keras.Input((sizes[0],))
    for index, size in enumerate(sizes[1:-1]):
        tensor = tf.keras.layers.Dense(size, "relu", name=f"hidden_{index}")(tensor)
    model = tf.keras.Model(given, tf.keras.layers.Dense(sizes[-1], name="outputs")(tensor))
    model.compile("sgd", "mse")
    return model


def pruned(model: Any, sparsity: float, **choices: Any) -> list[Array]:
    """Returns the masks, 1 where a weight stays, of all kernels after one step of training."""
    x = np.zeros((32, model.input_shape[1]), np.float32)  # a step that moves no kernel
    pruning = tp.PruningCallback(lambda step: sparsity, frequency=1, **choices)
    model.fit(x, model(x), verbose=0, callbacks=[pruning])
    return [layer.kernel.numpy() != 0.0 for layer in model.layers if hasattr(layer, "kernel")]


def show(axes: Any, mask: Array, title: str) -> None:
    """Draws a mask with a cell for each weight: inputs downwards, outputs to the right."""
    axes.imshow(mask, cmap=ListedColormap([GONE, KEPT]), vmin=0, vmax=1, interpolation="none")
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def distributions() -> Figure:
    """Returns ERK beside uniform: the masks of a 4-64-64-2 network at a sparsity of 0.9."""
    figure, rows = plt.subplots(
        2, 3, figsize=(8, 5.6), width_ratios=(8, 8, 3), layout="constrained"
    )
    for row, name in zip(rows, ("erk", "uniform"), strict=True):
        masks = pruned(dense(4, 64, 64, 2), 0.9, distribution=name)
        for axes, mask, layer in zip(row, masks, ("first", "second", "last"), strict=True):
            show(axes, mask, f"{layer}: {mask.sum():,} of {mask.size:,}")
        row[0].set_ylabel(name)
    return figure


def granularities() -> Figure:
    """Returns what goes together: one kernel of 32 inputs and 32 outputs, five granularities."""
    figure, row = plt.subplots(1, 5, figsize=(8, 2), layout="constrained")
    choices = (("element", 0.75), ("2:4", 0.5), ("block:4x4", 0.75), ("block:1x16", 0.75))
    for axes, (granularity, sparsity) in zip(row, (*choices, ("unit", 0.75)), strict=True):
        mask = pruned(dense(32, 32, 4), sparsity, granularity=granularity, spare="last")[0]
        show(axes, mask, f"{granularity}\n{1 - mask.mean():.2f}")
    return figure


def shrinking() -> Figure:
    """Returns a 4-16-16-2 network with half of its units masked, and the same one shrunk."""
    model = dense(4, 16, 16, 2)
    masked = pruned(model, 0.5, granularity="unit", distribution="uniform")
    small = shrink(model).model
    kernels = [layer.kernel.numpy() != 0.0 for layer in small.layers if hasattr(layer, "kernel")]
    figure, rows = plt.subplots(
        2, 3, figsize=(6, 4.2), width_ratios=(16, 16, 4), layout="constrained"
    )
    for row, masks, name in zip(rows, (masked, kernels), ("pruned", "shrunk"), strict=True):
        for axes, mask in zip(row, masks, strict=True):
            show(axes, mask, " x ".join(str(size) for size in mask.shape))
            axes.set_xlim(-0.5, 15.5 if axes is not row[2] else 3.5)
            axes.set_ylim(15.5, -0.5)
        row[0].set_ylabel(name)
    return figure


def schedules() -> Figure:
    """Returns the sparsity at each step under four schedules."""
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    made = {
        "cubic": tp.schedules.cubic(0.9, 2_000, 8_000),
        "linear": tp.schedules.linear(0.9, 2_000, 8_000),
        "one_shot": tp.schedules.one_shot(0.9, at=5_000),
        "cyclical": tp.schedules.cyclical(0.9, 2_000, 8_000, cycles=3),
    }
    steps = np.arange(0, 10_001, 20)
    for colour, (name, schedule) in zip(COLOURS, made.items(), strict=True):
        # one_shot is a jump: before its step nothing is pruned.
        values = [schedule(step) if step >= schedule.begin_step else 0.0 for step in steps]
        axes.plot(steps, values, color=colour, label=name)
    axes.set(xlabel="optimizer step", ylabel="sparsity", ylim=(0, 1), xlim=(0, 10_000))
    axes.legend(loc="upper left")
    return figure


def betting() -> Figure:
    """Returns the gate's capital after each pair of episodes, for three candidates.

    Returns are drawn: the baseline's from a beta law on 0 to 500, a candidate's as a share of the
    same episode's, with noise.
    """
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    generator = np.random.default_rng(5)
    bounds, terms = (0.0, 500.0), tp.Terms(margin=0.05)
    shares = (1.0, 0.95, 0.8)
    labels = ("as good: PASS", "at the margin: undecided", "a fifth worse: FAIL")
    for colour, share, label in zip(COLOURS, shares, labels, strict=False):
        theirs = 500 * generator.beta(8, 2, 200)
        ours = np.clip(share * theirs + generator.normal(0, 20, 200), *bounds)
        claim = keeps_return(ours, theirs, terms, bounds)
        bet = claim.contra if share < 1 - terms.margin else claim.pro
        axes.plot(np.arange(1, 201), np.exp(bet.log_capital), color=colour, label=label)
    axes.axhline(1 / (1 - terms.confidence), color=INK, linestyle="--", linewidth=1)
    axes.text(200, 23, "decided at 20", ha="right")
    axes.set(yscale="log", ylim=(0.02, 2_000), xlim=(0, 200))
    axes.set(xlabel="pairs of episodes", ylabel="capital, from 1")
    axes.legend(loc="upper left")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "distributions": distributions,
    "granularities": granularities,
    "shrinking": shrinking,
    "schedules": schedules,
    "betting": betting,
}


def draw(folder: Path, names: Sequence[str] = tuple(PICTURES)) -> list[Path]:
    """Returns the files that were written, one SVG for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(STYLE):
        for name in names:
            figure = PICTURES[name]()
            written.append(folder / f"{name}.svg")
            figure.savefig(
                written[-1],
                bbox_inches="tight",
                pad_inches=0.15,
                metadata={"Date": None, "Creator": None},
            )
            plt.close(figure)
    return written


if __name__ == "__main__":
    mpl.use("svg")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "images")
    for path in draw(parser.parse_args().folder):
        print(path)
