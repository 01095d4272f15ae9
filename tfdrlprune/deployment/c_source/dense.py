"""The dense form: loops over all inputs, for several vectors of outputs at a time."""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source.kernels import WIDE
from tfdrlprune.deployment.c_source.sums import WORD, Sums, packed
from tfdrlprune.deployment.c_source.texts import c_type, indented, smallest_unsigned
from tfdrlprune.specs import Array

# Vectors of a dense layer, and pixels x vectors of a convolution, that are summed up at a time.
# More would not stay in the registers of a processor that has sixteen.
_TILES, _CONV_TILES, _PIXELS = 4, 2, 2
# Inputs and outputs from which zeros among the inputs are passed over.
_MANY = 128


def dense(sums: Sums, outputs: int) -> list[str]:
    """Returns the lines for the first outputs of a layer."""
    count = outputs // WIDE
    most = _TILES if sums.window.single else _CONV_TILES
    whole = count // most * most * WIDE
    lines = found(sums) if skips(sums) else []
    lines += _groups(sums, 0, whole, WIDE, most) if whole else []
    if count % most:
        lines += _groups(sums, whole, count * WIDE, WIDE, count % most)
    if rest := outputs % WIDE:
        width = next(w for w in (4, 8, WIDE) if w >= rest)
        lines += _groups(sums, outputs - rest, outputs, width, 1)
    return lines


def skips(sums: Sums) -> bool:
    """Tells whether inputs that are zero are passed over.

    Half of them are, behind a relu. Finding the others takes some cycles for each input, which pays
    where an input has many weights; of int8 ones four inputs are in a word.
    """
    kernel, window = sums.kernel, sums.window
    wide = kernel.outputs >= _MANY and kernel.inputs >= _MANY
    return window.zeros and window.single and window.plain and wide and not sums.whole


def found(sums: Sums) -> list[str]:
    """Returns the lines that list the inputs that are not zero."""
    inputs = sums.kernel.inputs
    dtype = smallest_unsigned(inputs)
    kind, size = c_type(dtype), np.dtype(dtype).itemsize * (inputs + 1)
    sums.program.local(size)
    return [
        f"{kind} used[{inputs + 1}];",
        "int count = 0;",
        f"for (int i = 0; i < {inputs}; i++) {{",
        f"    used[count] = ({kind})i;",
        "    count += x[i] != 0.0f;",
        "}",
    ]


def _groups(sums: Sums, begin: int, end: int, width: int, tiles: int) -> list[str]:
    """Returns a loop over groups of tiles, which holds those over points and inputs."""
    part, window = sums.kernel.part(begin, end), sums.window
    step = tiles * width
    values = _ordered(part.tiles(width), window.runs, tiles, sums.whole)
    groups, each = len(values), values[0].size
    weights, constants = sums.weights(values), sums.constants(part, width)
    pixels = min(_PIXELS, window.columns)
    names = [[f"a{p}_{t}" for t in range(tiles)] for p in range(pixels)]
    body = []
    for row in names:
        for t, name in enumerate(row):
            body += sums.begin(name, width, f"{constants[0]} + g * {step} + {t * width}")
    body.append(sums.pointer("w", weights, f"g * {each}"))
    body += _inputs(sums, names, width)
    for p, row in enumerate(names):
        for t, name in enumerate(row):
            body += sums.scaled(name, width, constants, f"g * {step} + {t * width}")
            target = f"y{p} + {begin + t * width} + g * {step}"
            body += sums.write(name, width, target, str(min(width, end - begin)))
    inner = sums.points(body, pixels)
    return [f"for (int g = 0; g < {groups}; g++) {{", *indented(inner), "}"]


def _ordered(stored: Array, runs: int, tiles: int, whole: bool) -> Array:
    """Returns [tiles, inputs, width] in the order of the loops: [groups, inputs, tiles, width].

    Of integers each run is filled up to whole words.
    """
    count, inputs, width = stored.shape
    if not whole:
        return stored.reshape(count // tiles, tiles, inputs, width).swapaxes(1, 2)
    split = stored.reshape(count // tiles, tiles, runs, inputs // runs, width)
    missing = -(inputs // runs) % WORD
    filled = np.pad(split, ((0, 0), (0, 0), (0, 0), (0, missing), (0, 0)))
    words = packed(filled.reshape(-1, width)).reshape(count // tiles, tiles, -1, width, WORD)
    return words.swapaxes(1, 2)


def _inputs(sums: Sums, names: list[list[str]], width: int) -> list[str]:
    """Returns the loops over runs and inputs."""
    window, tiles = sums.window, len(names[0])
    if skips(sums):
        inner = [
            "const int i = used[n];",
            f"const float *const v = w + i * {tiles * width};",
            *(line.replace("w +", "v +") for line in _taken(sums, names, width, 1)),
        ]
        inner = [line.replace("[r + i", "[i") for line in inner]
        return ["for (int n = 0; n < count; n++) {", *indented(inner), "}"]
    stride = WORD if sums.whole else 1
    step = tiles * width * stride
    inner = _taken(sums, names, width, stride)
    end = window.length // stride * stride
    loops = [f"for (int i = 0; i < {end}; i += {stride}, w += {step}) {{", *indented(inner), "}"]
    if rest := window.length - end:
        inner = _taken(sums, names, width, rest)
        loops += ["{", f"    const int i = {end};", *indented(inner), f"    w += {step};", "}"]
    if window.runs == 1:
        return [line.replace("[r + i", "[i") for line in loops]
    last = window.runs * window.gap
    return [f"for (int r = 0; r < {last}; r += {window.gap}) {{", *indented(loops), "}"]


def _taken(sums: Sums, names: list[list[str]], width: int, count: int) -> list[str]:
    """Returns the lines that take in some inputs, from i on."""
    lines = []
    for j in range(count):
        for p in range(len(names)):
            at = f"r + i + {j}" if j else "r + i"
            lines.append(f"const float v{p}_{j} = x{p}[{at}];")
    for j in range(count):
        for t in range(len(names[0])):
            shift = t * width * (WORD if sums.whole else 1)
            for p, row in enumerate(names):
                lines.append(sums.add(width, row[t], f"w + {shift}", j, f"v{p}_{j}"))
    return lines
