"""The sparse forms: only blocks that are not zero, in a loop or line by line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.deployment.c_source.kernels import Kernel
from tfdrlprune.deployment.c_source.sums import WORD, Sums, packed, zero
from tfdrlprune.deployment.c_source.texts import indented, smallest_unsigned
from tfdrlprune.specs import Array

# Pixels of a convolution that take the same weights at a time.
_PIXELS = 4


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Blocks that are not zero, tile by tile.

    Attributes:
        values: [blocks, width].
        inputs: the input of each.
        starts: of each tile's blocks, and the end of the last one's.
    """

    values: Array
    inputs: Array
    starts: Array


def _blocks(part: Kernel, width: int, multiple: int) -> _Blocks:
    """Returns the blocks; each tile's are filled up to a multiple.

    They are filled up with zeros for an input that the tile takes anyway: so an input that is NaN
    comes to no output that does not depend on it.
    """
    tiles = part.tiles(width)
    values: list[Array] = []
    inputs: list[Array] = []
    starts = [0]
    for tile in tiles:
        used = np.flatnonzero(np.any(tile != 0, axis=1))
        if not tiles.any() and not inputs:
            used = np.array([0])  # C has no empty arrays
        missing = -len(used) % multiple
        values += [tile[used], np.zeros((missing, width), tile.dtype)]
        inputs += [used, np.repeat(used[-1:], missing)]
        starts.append(starts[-1] + len(used) + missing)
    return _Blocks(np.concatenate(values), np.concatenate(inputs), np.array(starts))


def block_sparse(sums: Sums, width: int, outputs: int) -> list[str]:
    """Returns a loop over tiles and their blocks, for the first outputs of a layer."""
    part, single = sums.kernel.part(0, outputs), sums.window.single
    pixels = 1 if single else min(_PIXELS, sums.window.columns)
    found = _blocks(part, width, 1)
    mean = len(found.values) / (len(found.starts) - 1)
    # So many sums side by side that none waits for the other, or as many as are in a word.
    count = (
        WORD if sums.whole or (single and mean >= 4 * WORD) else 2 if single and mean >= 4 else 1
    )
    found = _blocks(part, width, count)
    weights = sums.weights(packed(found.values) if sums.whole else found.values)
    table = sums.table(sums.window.offsets()[found.inputs])
    last = int(found.starts[-1])
    begins = sums.program.constant("s", found.starts.astype(smallest_unsigned(last)))
    names = [[f"a{p}_{n}" for n in range(count if single else 1)] for p in range(pixels)]
    inner = [sums.pointer("w", weights, f"n * {width}")]
    for n in range(count):
        at = f"{table}[n + {n}]" if n else f"{table}[n]"
        offset = "w" if sums.whole or not n else f"w + {n * width}"
        for p, row in enumerate(names):
            inner.append(sums.add(width, row[n % len(row)], offset, n, f"x{p}[{at}]"))
    loop = f"for (int n = {begins}[g]; n < {begins}[g + 1]; n += {count}) {{"
    body = _around(sums, part, width, names, [loop, *indented(inner), "}"], "g")
    lines = sums.points(body, pixels)
    return [f"for (int g = 0; g < {len(found.starts) - 1}; g++) {{", *indented(lines), "}"]


def unrolled(sums: Sums, width: int, outputs: int) -> list[str]:
    """Returns a line for each block, for the first outputs of a layer with one point."""
    part = sums.kernel.part(0, outputs)
    found = _blocks(part, width, WORD if sums.whole else 1)
    weights = sums.weights(packed(found.values) if sums.whole else found.values)
    offsets = sums.window.offsets()[found.inputs]
    lines = []
    for tile, (begin, end) in enumerate(zip(found.starts[:-1], found.starts[1:], strict=True)):
        count = min(4, max(1, (end - begin) // 4))
        row = [f"a0_{n}" for n in range(count)]
        inner = []
        for n in range(begin, end):
            first = n // WORD * WORD if sums.whole else n
            if n == begin or found.values[n].any():  # else it only fills up a word
                weight = f"{weights} + {first * width}"
                value = f"x[{offsets[n]}]"
                inner.append(sums.add(width, row[n % count], weight, n % WORD, value))
        body = _around(sums, part, width, [row], inner, str(tile))
        body = [line.replace("y0 +", "y +") for line in body]
        lines += ["{", *indented(body), "}"]
    return lines


def _around(
    sums: Sums, part: Kernel, width: int, names: list[list[str]], inner: list[str], tile: str
) -> list[str]:
    """Returns the lines that begin sums, add, join and write them."""
    constants = sums.constants(part, width)
    at = f"{tile} * {width}" if tile == "g" else str(int(tile) * width)
    lines = []
    for row in names:
        lines += sums.begin(row[0], width, f"{constants[0]} + {at}")
        lines += [f"lanes{width} {name} = {zero(width)};" for name in row[1:]]
    lines += inner
    count, rest = str(width), part.outputs % width
    if rest:
        count = f"(g == {part.outputs // width} ? {rest} : {width})" if tile == "g" else str(rest)
    for p, row in enumerate(names):
        lines += [f"JOIN{width}({row[0]}, {name});" for name in row[1:]]
        lines += sums.scaled(row[0], width, constants, at)
        lines += sums.write(row[0], width, f"y{p} + {at}", count)
    return lines
