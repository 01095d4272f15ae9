"""What the forms of a layer share: where inputs are, and how sums begin, end and are written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.deployment.c_source.kernels import Kernel
from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.c_source.texts import indented, smallest_unsigned
from tfdrlprune.specs import Array

# int8 weights in a word; see `lanes`.
WORD = 4


@dataclass(frozen=True, eq=False)
class Window:
    """Where the inputs of a sum are, and at which points sums are taken.

    Attributes:
        runs: of inputs that lie behind each other.
        length: of one run.
        gap: from the start of one run to that of the next.
        rows, columns: of points.
        down, right: from one point to the next.
        at: where each input is, where runs do not tell.
        zeros: whether many inputs are likely to be zero, as behind a relu.
    """

    runs: int
    length: int
    gap: int
    rows: int = 1
    columns: int = 1
    down: int = 0
    right: int = 0
    at: Array | None = None
    zeros: bool = False

    @property
    def single(self) -> bool:
        """Whether there is one point only."""
        return self.rows * self.columns == 1

    @property
    def plain(self) -> bool:
        """Whether the inputs of a point lie behind each other."""
        return self.at is None and (self.runs == 1 or self.gap == self.length)

    def offsets(self) -> Array:
        """Returns where each input is, counted from the point."""
        if self.at is not None:
            return self.at
        return (np.arange(self.runs)[:, None] * self.gap + np.arange(self.length)).ravel()


class Sums:
    """Writes parts of a layer's function, whose parameters are ``x`` and ``y``.

    Attributes:
        program: that constants are added to.
        kernel: of the layer.
        window: on its input.
        stored: weights that were written down.
    """

    def __init__(self, program: Program, kernel: Kernel, window: Window) -> None:
        self.program, self.kernel, self.window = program, kernel, window
        self.stored = 0
        self.whole = kernel.scale is not None

    def use(self, width: int) -> None:
        """Says that vectors of a width are needed."""
        self.program.used.add(f"{width}q" if self.whole else f"{width}")

    def weights(self, values: Array) -> str:
        """Returns the name of an array of weights."""
        self.stored += values.size
        return self.program.constant("w", np.ascontiguousarray(values))

    def table(self, offsets: Array) -> str:
        """Returns the name of an array of positions."""
        return self.program.constant("at", offsets.astype(smallest_unsigned(int(offsets.max()))))

    def pointer(self, name: str, weights: str, offset: str) -> str:
        """Returns the declaration of a pointer into weights."""
        return f"const {'int8_t' if self.whole else 'float'} *{name} = {weights} + {offset};"

    def add(self, width: int, total: str, weight: str, part: int, value: str) -> str:
        """Returns the line that adds a vector of weights times a value to a sum.

        Args:
            width: of the vector.
            total: the sum.
            weight: pointer to the vector; of int8, to the words that it is part of.
            part: which part of the words.
            value: that is multiplied.
        """
        if self.whole:
            return f"ADD{width}Q({total}, {weight}, {part}, {value});"
        return f"ADD{width}({total}, {weight}, {value});"

    def constants(self, part: Kernel, width: int) -> tuple[str, str]:
        """Returns the names of biases and scales, filled up to whole vectors."""
        size = -(-part.outputs // width) * width
        bias, scale = np.zeros(size, np.float32), np.ones(size, np.float32)
        bias[: part.outputs] = part.bias
        if part.scale is None:
            return self.program.constant("b", bias), ""
        scale[: part.outputs] = part.scale
        return self.program.constant("b", bias), self.program.constant("q", scale)

    def begin(self, name: str, width: int, bias: str) -> list[str]:
        """Returns the lines with which a sum begins: at the bias, or at 0 where it comes last."""
        self.use(width)
        lines = [f"lanes{width} {name} = {zero(width)};"]
        return lines if self.whole else [*lines, f"LOAD{width}({name}, {bias});"]

    def scaled(self, name: str, width: int, constants: tuple[str, str], at: str) -> list[str]:
        """Returns the line that scales a sum of integers and adds the bias."""
        if not self.whole:
            return []
        return [f"SCALE{width}({name}, {constants[1]} + {at}, {constants[0]} + {at});"]

    def write(self, name: str, width: int, target: str, count: str) -> list[str]:
        """Returns the lines that write a sum's first ``count`` numbers to y.

        A single point's buffer ends on a cache line: what is written beyond the outputs is ours.
        """
        if self.window.single or count == str(width):
            return [f"STORE{width}({target}, {name});"]
        return [
            "{",
            f"    float out[{width}];",
            f"    STORE{width}(out, {name});",
            f"    for (int k = 0; k < {count}; k++) {{",
            f"        ({target})[k] = out[k];",
            "    }",
            "}",
        ]

    def points(self, body: list[str], pixels: int) -> list[str]:
        """Returns loops over the points around a body; see `over_points`."""
        return over_points(self.window, self.kernel.outputs, body, pixels)


def over_points(
    window: Window,
    outputs: int,
    body: list[str],
    pixels: int,
    kinds: tuple[str, str] = ("float", "float"),
) -> list[str]:
    """Returns loops over the points around a body that works on ``pixels`` of them at a time.

    The last ones of a row are done twice where their number is no multiple. Where there is one
    point only, the body stands by itself.

    Args:
        window: on the input.
        outputs: at a point.
        body: reads from x0, x1, ... and writes to y0, y1, ...
        pixels: how many of these.
        kinds: C's types of inputs and of outputs.
    """
    kind, made = kinds
    if window.single:
        return [f"const {kind} *const x0 = x;", f"{made} *const y0 = y;", *body]
    last = window.columns - pixels
    lines = [
        f"const {kind} *const x0 = x + row * {window.down} + column * {window.right};",
        f"{made} *const y0 = y + (row * {window.columns} + column) * {outputs};",
    ]
    for p in range(1, pixels):
        lines.append(f"const {kind} *const x{p} = x0 + {p * window.right};")
        lines.append(f"{made} *const y{p} = y0 + {p * outputs};")
    return [
        f"for (int row = 0; row < {window.rows}; row++) {{",
        f"    for (int c = 0; c < {window.columns}; c += {pixels}) {{",
        f"        const int column = c < {last} ? c : {last};",
        *indented([*lines, *body], 2),
        "    }",
        "}",
    ]


def packed(blocks: Array) -> Array:
    """Returns int8 vectors as words: of [4 n, width] [n, width, 4].

    Example:
        >>> packed(np.arange(8, dtype=np.int8).reshape(4, 2)).tolist()
        [[[0, 2, 4, 6], [1, 3, 5, 7]]]
    """
    return blocks.reshape(-1, WORD, blocks.shape[-1]).swapaxes(1, 2)


def zero(width: int) -> str:
    """Returns the initial value of a vector of zeros."""
    return "{0}" if width > 1 else "0.0f"
