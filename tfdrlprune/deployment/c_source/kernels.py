"""Which form of a layer is the fastest: unrolled, a loop over the blocks that count, or dense.

Costs are rough cycles of a processor with wide vectors. They need to be right only where the forms
are far apart; where they are near, either is good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.specs import Array

WIDE = 16
_WIDTHS = (16, 8, 4, 1)
# Cycles for a vector of weights: in a dense loop it comes with its input; in a sparse one the
# input's index comes first, and int8 is widened. What is narrower costs less of the second part.
_DENSE, _INDEX, _WIDEN = 1.0, 1.0, 1.5
# Cycles for the end of a sum.
_TILE = 6.0
# (bytes of weights, bytes a cycle): beyond the first cache, and beyond the second.
_CACHES = ((32 << 10, np.inf), (1 << 20, 24.0), (np.inf, 10.0))
# A narrow layer's outputs are dot products along many inputs, rather than vectors of few outputs.
_NARROW, _LONG = 8, 32
# So many blocks cost less as lines of code than as a loop.
_UNROLLED = 160


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights of one layer.

    Attributes:
        values: float32 or int8, [inputs, outputs].
        scale: of int8 weights, float32, [outputs]; None of float32 ones.
        bias: float32, [outputs].
    """

    values: Array
    scale: Array | None
    bias: Array

    @property
    def inputs(self) -> int:
        """How many numbers a sum takes in."""
        return int(self.values.shape[0])

    @property
    def outputs(self) -> int:
        """How many sums there are."""
        return int(self.values.shape[1])

    def part(self, begin: int, end: int) -> Kernel:
        """Returns the kernel of some of the outputs."""
        scale = None if self.scale is None else self.scale[begin:end]
        return Kernel(self.values[:, begin:end], scale, self.bias[begin:end])

    def tiles(self, width: int) -> Array:
        """Returns the weights as [tiles, inputs, width], zeros where there are no outputs."""
        count = -(-self.outputs // width)
        full = np.zeros((self.inputs, count * width), self.values.dtype)
        full[:, : self.outputs] = self.values
        return np.ascontiguousarray(full.reshape(self.inputs, count, width).transpose(1, 0, 2))


@dataclass(frozen=True)
class Form:
    """How a kernel is computed.

    Attributes:
        kind: "unrolled", "block-sparse" or "dense".
        width: outputs in a block.
    """

    kind: str
    width: int


def choose(kernel: Kernel, *, repeated: bool, regular: bool = True) -> Form:
    """Returns the form with the fewest cycles.

    Args:
        kernel: of the layer.
        repeated: whether it is used more than once, as convolutions are; never unrolled then.
        regular: whether inputs lie in runs; a dense loop needs that.
    """
    widen = _WIDEN if kernel.scale is not None else 0.0
    size = kernel.values.dtype.itemsize
    costs = {}
    for width in _WIDTHS:
        rest = 0 if repeated else dotted(kernel, width)
        tiles = -(-(kernel.outputs - rest) // width)
        # Dot products take in as many inputs at a time as a vector holds.
        used = kernel.values[:, kernel.outputs - rest :].any(axis=1).sum() if rest else 0
        ends = rest * (used / WIDE * (_DENSE + widen) + _TILE)
        if width == WIDE and regular:
            vectors = kernel.inputs * tiles
            full = rest * (kernel.inputs / WIDE * (_DENSE + widen) + _TILE)
            stored = vectors * WIDE * size
            costs[Form("dense", width)] = _cycles(vectors, _DENSE + widen, stored) + full
        blocks = int(kernel.part(0, kernel.outputs - rest).tiles(width).any(axis=2).sum())
        each = _INDEX + (_DENSE + widen) * width / WIDE
        stored = blocks * (width * size + 2)
        loop = _cycles(blocks, each, stored) + _TILE * tiles + ends
        costs[Form("block-sparse", width)] = loop
        if blocks <= _UNROLLED and not repeated:
            lines = blocks * (_DENSE + widen) + 0.5 * _TILE * tiles + ends
            costs[Form("unrolled", width)] = lines
    return min(costs, key=lambda form: costs[form])


def dotted(kernel: Kernel, width: int) -> int:
    """Returns how many of the last outputs, short of a block, are rather dot products."""
    rest = kernel.outputs % width
    return rest if rest <= _NARROW and kernel.inputs >= _LONG else 0


def _cycles(count: int, each: float, stored: int) -> float:
    speed = next(speed for limit, speed in _CACHES if stored <= limit)
    return max(count * each, stored / speed)
