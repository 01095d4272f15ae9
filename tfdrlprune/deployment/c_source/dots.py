"""Dot products along the inputs, for the few outputs of a narrow layer with one point."""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source.kernels import WIDE
from tfdrlprune.deployment.c_source.sums import WORD, Sums, packed
from tfdrlprune.specs import Array

# Where fewer inputs count, they are put behind each other first.
_DENSE = 0.75
# So few of them line by line.
_LINES = 32


def dots(sums: Sums, begin: int, *, sparse: bool) -> list[str]:
    """Returns the lines for the outputs from ``begin`` on."""
    part = sums.kernel.part(begin, sums.kernel.outputs)
    sums.use(WIDE)
    sums.program.used.add("sum")
    values, lines, source = part.values, ["{"], "x"
    columns = np.flatnonzero(values.any(axis=1))
    fewer = sparse and len(columns) < _DENSE * part.inputs
    if fewer or not sums.window.plain:
        columns = columns if fewer else np.arange(part.inputs)
        values = values[columns]
        missing = -len(columns) % WIDE if len(columns) else WIDE
        values = np.pad(values, ((0, missing), (0, 0)))
        lines += _gathered(sums, sums.window.offsets()[columns], len(values))
        source = "packed"
    long = len(values) // WIDE * WIDE
    names = [f"a{row}" for row in range(part.outputs)]
    lines += [f"    lanes{WIDE} {name} = {{0}};" for name in names]
    lines += _along(sums, values[:long], names, source)
    bias = sums.program.constant("b", part.bias)
    scale = "" if part.scale is None else sums.program.constant("q", part.scale)
    tail = values[long:]
    rest = sums.weights(tail.T) if len(tail) else ""
    lines.append(f"    float s[{WIDE}], d;")
    for row, name in enumerate(names):
        lines += [f"    STORE{WIDE}(s, {name});", "    d = sum16(s);"]
        lines += [
            f"    d += (float){rest}[{row * len(tail) + n}] * x[{long + n}];"
            for n in range(len(tail))
        ]
        scaled = f"d * {scale}[{row}]" if scale else "d"
        lines.append(f"    y[{begin + row}] = {scaled} + {bias}[{row}];")
    return [*lines, "}"]


def _along(sums: Sums, values: Array, names: list[str], source: str) -> list[str]:
    """Returns the loop over inputs: of words, four vectors of them at a time."""
    count = WORD if sums.whole else 1
    missing = -len(values) % (WIDE * count)
    filled = np.pad(values, ((0, missing), (0, 0))).T
    if sums.whole:
        filled = np.stack([packed(row.reshape(-1, WIDE)) for row in filled])
    weights = sums.weights(filled)
    each = filled[0].size

    def taken(at: str, vectors: int) -> list[str]:
        lines = []
        for n in range(vectors):
            for row, name in enumerate(names):
                weight = f"{weights} + {row * each} + {at}"
                value = f"{source} + {at} + {n * WIDE}"
                call = f"DOT{WIDE}Q({name}, {weight}, {n}, {value});"
                lines.append(call if sums.whole else f"DOT{WIDE}({name}, {weight}, {value});")
        return lines

    end = len(values) // (WIDE * count) * WIDE * count
    lines = []
    if end:
        lines.append(f"    for (int i = 0; i < {end}; i += {WIDE * count}) {{")
        lines += [f"        {line}" for line in taken("i", count)]
        lines.append("    }")
    return lines + [f"    {line}" for line in taken(str(end), (len(values) - end) // WIDE)]


def _gathered(sums: Sums, at: Array, size: int) -> list[str]:
    """Returns lines that put the inputs that count behind each other."""
    sums.program.local(4 * size)
    lines = [f"    float packed[{size}] ALIGNED = {{0.0f}};"]
    if len(at) <= _LINES:
        return lines + [f"    packed[{n}] = x[{offset}];" for n, offset in enumerate(at)]
    return [
        *lines,
        f"    for (int i = 0; i < {len(at)}; i++) {{",
        f"        packed[i] = x[{sums.table(at)}[i]];",
        "    }",
    ]
