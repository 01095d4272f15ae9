"""A layer of int8 weights on bytes: its numbers, and how many cycles each of its forms takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.deployment.c_source.integers.quads import QUAD, WIDE
from tfdrlprune.deployment.c_source.integers.scales import Rounding
from tfdrlprune.deployment.c_source.sums import Window
from tfdrlprune.specs import Array

# Cycles of a processor with a product of bytes: for a quad in a dense loop, for one whose inputs
# are behind each other, and for one whose inputs are fetched one by one.
_DENSE, _RUN, _FETCHED = 1.0, 1.4, 3.2
# Of these many are lines of code rather than a loop.
_UNROLLED = 64
# Cycles for the end of sixteen sums.
_END = 6.0
# Bytes a cycle from beyond the first cache.
_BANDWIDTH, _FIRST_CACHE = 30.0, 32 << 10
# A narrow end is dot products of its outputs, rather than sixteen sums of which few are used.
_NARROW, _LONG = 8, 16


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights of one layer, and what becomes of its sums.

    Attributes:
        weights: int8 [inputs, outputs].
        bias: int32 [outputs], for inputs that are bytes: what their zero adds is taken out. Or
            float32, of outputs that are floats.
        scale: float32 [outputs], of a sum in steps of the output; of the weights where outputs are
            floats.
        rounding: of the output; None where outputs are floats.
        window: on the input.
    """

    weights: Array
    bias: Array
    scale: Array
    rounding: Rounding | None
    window: Window

    @property
    def inputs(self) -> int:
        """How many numbers a sum takes in."""
        return int(self.weights.shape[0])

    @property
    def outputs(self) -> int:
        """How many sums there are at a point."""
        return int(self.weights.shape[1])

    @property
    def sums(self) -> Array:
        """The weights of each output added up, int32: what a zero that is not 0 is counted in."""
        return np.asarray(self.weights.sum(axis=0, dtype=np.int32))

    @property
    def dotted(self) -> int:
        """How many of the last outputs are dot products, in whatever form the others are."""
        rest = self.outputs % WIDE
        window = self.window
        fits = rest <= _NARROW and self.inputs >= _LONG and window.single and window.plain
        return rest if fits else 0

    @property
    def tiled(self) -> int:
        """How many of the first outputs are summed up side by side."""
        return self.outputs - self.dotted

    def tiles(self) -> Array:
        """Returns the weights of these as [tiles, inputs, 16], zeros where there are no outputs."""
        count = -(-self.tiled // WIDE)
        full = np.zeros((self.inputs, count * WIDE), np.int8)
        full[:, : self.tiled] = self.weights[:, : self.tiled]
        return np.ascontiguousarray(full.reshape(self.inputs, count, WIDE).transpose(1, 0, 2))

    def filled(self, values: Array) -> Array:
        """Returns biases or scales of the tiled outputs, filled up with zeros to whole tiles."""
        missing = -self.tiled % WIDE
        return np.pad(values[: self.tiled], (0, missing))


@dataclass(frozen=True)
class Form:
    """How the tiles of a layer are computed.

    Attributes:
        kind: "unrolled", "block-sparse" or "dense".
        runs: whether the inputs of a quad lie behind each other; always in a dense form.
    """

    kind: str
    runs: bool


def choose(layer: Layer) -> Form:
    """Returns the form with the fewest cycles; the costs are rough, see `kernels`."""
    tiles, window = layer.tiles(), layer.window
    if not layer.tiled:
        return Form("dense", True)
    used: Array = np.any(tiles, axis=2)
    fetched = int((-(-np.count_nonzero(used, axis=1) // QUAD)).sum())
    ends = len(tiles) * _END
    costs = {Form("block-sparse", False): _cycles(fetched, _FETCHED) + ends}
    if fetched <= _UNROLLED and window.single:
        costs[Form("unrolled", False)] = fetched * _FETCHED + ends / 2
    if window.at is None and window.length >= QUAD:
        runs = int(in_runs(used, window).any(axis=2).sum())
        costs[Form("block-sparse", True)] = _cycles(runs, _RUN) + ends
    if window.at is None:
        dense = len(tiles) * window.runs * -(-window.length // QUAD)
        costs[Form("dense", True)] = _cycles(dense, _DENSE) + ends / 2
    return min(costs, key=lambda form: costs[form])


def in_runs(values: Array, window: Window) -> Array:
    """Returns [tiles, inputs, ...] as [tiles, quads, 4, ...], the quads of each run for itself.

    Where a run is no multiple of four, its last quad begins earlier, so that nothing behind the run
    is read; what the quad before has taken in, it has zeros for.
    """
    count, _, *rest = values.shape
    split = values.reshape(count, window.runs, window.length, *rest)
    whole, tail = divmod(window.length, QUAD)
    quads = split[:, :, : whole * QUAD].reshape(count, window.runs, whole, QUAD, *rest)
    if tail:
        last = np.zeros((count, window.runs, 1, QUAD, *rest), values.dtype)
        at = slice(QUAD - tail, None) if whole else slice(0, tail)
        last[:, :, 0, at] = split[:, :, whole * QUAD :]
        quads = np.concatenate([quads, last], axis=2)
    return quads.reshape(count, -1, QUAD, *rest)


def run_offsets(window: Window) -> Array:
    """Returns where each quad of `in_runs` begins, counted from the point."""
    starts = np.arange(0, window.length, QUAD)
    starts = np.minimum(starts, max(0, window.length - QUAD))
    return np.asarray((np.arange(window.runs)[:, None] * window.gap + starts).ravel())


def _cycles(quads: int, each: float) -> float:
    stored = quads * WIDE * QUAD
    return max(quads * each, stored / _BANDWIDTH if stored > _FIRST_CACHE else 0.0)


@dataclass(frozen=True, eq=False)
class Quads:
    """The quads of a layer that are not zero, tile by tile.

    Attributes:
        values: of each tile int8 [quads, 16, 4].
        offsets: of each tile where the inputs are, counted from the point: [quads, 1] of the first,
            where they lie behind each other, or [quads, 4].
    """

    values: tuple[Array, ...]
    offsets: tuple[Array, ...]

    def some(self, begin: int, end: int) -> Quads:
        """Returns those of some tiles."""
        return Quads(self.values[begin:end], self.offsets[begin:end])


def quads(layer: Layer, runs: bool) -> Quads:
    """Returns the quads that are not zero.

    Args:
        layer: that they are of.
        runs: whether the inputs of a quad lie behind each other; else they are any four.
    """
    tiles, window = layer.tiles(), layer.window
    values: list[Array] = []
    offsets: list[Array] = []
    for tile in tiles:
        if runs:
            blocks = in_runs(tile[None], window)[0]
            kept = np.flatnonzero(blocks.any(axis=(1, 2)))
            values.append(blocks[kept].swapaxes(1, 2))
            offsets.append(run_offsets(window)[kept, None])
        else:
            used = np.flatnonzero(tile.any(axis=1))
            missing = -len(used) % QUAD
            blocks = np.pad(tile[used], ((0, missing), (0, 0))).reshape(-1, QUAD, WIDE)
            values.append(blocks.swapaxes(1, 2))
            offsets.append(np.pad(window.offsets()[used], (0, missing)).reshape(-1, QUAD))
    return Quads(tuple(values), tuple(offsets))


def together(found: Quads, tiles: int) -> tuple[Array, Array, Array]:
    """Returns the quads of some tiles at a time: the n-th of each, then the next of each.

    Where a tile has fewer than its neighbours, it gets zeros.

    Returns:
        values [n, tiles, 16, 4], offsets [n, tiles, 1 or 4], and where each group begins in these,
        with the end of the last one. There is one quad at least, as C has no empty arrays.
    """
    values: list[Array] = []
    offsets: list[Array] = []
    starts = [0]
    for first in range(0, len(found.values), tiles):
        parts = range(first, first + tiles)
        count = max(len(found.values[t]) for t in parts)
        if first + tiles >= len(found.values) and starts[-1] + count == 0:
            count = 1
        for kept, held in ((values, found.values), (offsets, found.offsets)):
            padding = [((0, count - len(held[t])), *[(0, 0)] * (held[t].ndim - 1)) for t in parts]
            kept.append(
                np.stack([np.pad(held[t], p) for t, p in zip(parts, padding, strict=True)], axis=1)
            )
        starts.append(starts[-1] + count)
    return np.concatenate(values), np.concatenate(offsets), np.array(starts)
