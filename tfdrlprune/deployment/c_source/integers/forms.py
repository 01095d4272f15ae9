"""The forms of a layer on bytes: dense, block-sparse, line by line, and dot products.

Each is the body of a function from x to y. Sums of up to 64 outputs are kept at a time, and scaled
together: that many bytes are a vector, and a microcontroller has the room.
"""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source.integers.layer import Form, Layer, in_runs, quads, together
from tfdrlprune.deployment.c_source.integers.quads import QUAD, WIDE
from tfdrlprune.deployment.c_source.program import LayerForm, Program
from tfdrlprune.deployment.c_source.sums import over_points
from tfdrlprune.deployment.c_source.texts import indented, smallest_unsigned
from tfdrlprune.specs import Array

# Tiles of sixteen outputs at a time.
_TILES = 4
# Zeros that tiles of a sparse layer get to be as long as their neighbours, at most.
_UNEVEN = 1.3
# Of a narrow end's weights so few that count that the inputs of these are put together first.
_FEWER = 0.4


class Writer:
    """Writes a layer's lines.

    Attributes:
        program: of bytes, that constants are added to.
        layer: that is written.
        x, y: C's names for where the inputs and the outputs of a point begin.
        stored: weights that were written down.
    """

    def __init__(self, program: Program, layer: Layer) -> None:
        self.program, self.layer, self.stored = program, layer, 0
        self.x, self.y = ("x", "y") if layer.window.single else ("x0", "y0")

    def lines(self, form: Form) -> list[str]:
        """Returns the body of the layer's function."""
        body: list[str] = []
        if not self.layer.tiled:
            pass
        elif form.kind == "dense":
            body = self._dense()
        elif form.kind == "unrolled":
            body = self._unrolled()
        else:
            body = self._sparse(form.runs)
        if self.layer.dotted:
            body += self._dots()
        return body

    def described(self, name: str, form: Form) -> LayerForm:
        """Returns how the layer is computed, once its lines are written."""
        layer, total = self.layer, self.layer.weights.size
        kind = form.kind if layer.tiled or self.stored == total else "block-sparse"
        return LayerForm(name, kind, WIDE, self.stored, total, "int8", "int32")

    def _weights(self, values: Array) -> str:
        self.stored += values.size
        return self.program.constant("w", np.ascontiguousarray(values))

    def _start(self, names: list[str], first: str) -> list[str]:
        """Returns the lines with which sums of tiles begin, from the output ``first`` on."""
        layer, lines = self.layer, [f"sums16 {name};" for name in names]
        if layer.rounding is None:
            self.program.helpers.add("clear16")
            return lines + [f"clear16(&{name});" for name in names]
        self.program.helpers.add("begin16")
        signed = layer.filled(layer.bias + 128 * layer.sums)
        bias = self.program.constant("b", layer.filled(layer.bias), ("SIGNED_QUADS", signed))
        at = [f"{first} + {t * WIDE}" if t else first for t in range(len(names))]
        starts = [f"begin16(&{n}, {bias} + {a});" for n, a in zip(names, at, strict=True)]
        return lines + starts

    def _end(self, part: slice, at: str, count: int) -> str:
        """Returns the line that makes outputs of sums.

        Args:
            part: of the outputs, those whose constants are in one array.
            at: which of these the first sum is of.
            count: of sums.
        """
        layer, program = self.layer, self.program
        tiled = part.stop == layer.tiled
        target = f"{self.y if tiled else 'y'} + {part.start} + {at}"

        def array(name: str, values: Array) -> str:
            missing = -layer.tiled % WIDE if tiled else 0
            return f"{program.constant(name, np.pad(values[part], (0, missing)))} + {at}"

        scale = array("q", layer.scale)
        if layer.rounding is not None:
            program.helpers.update(("rounded", "give"))
            return f"give({target}, s, {scale}, {count}, {layer.rounding});"
        program.helpers.add("give_floats")
        arrays = f"{array('n', layer.sums)}, {scale}, {array('b', layer.bias)}"
        zero = "zero - QUAD_ZERO" if tiled else "zero"
        return f"give_floats({target}, s, {arrays}, {count}, step, {zero});"

    def _groups(self, most: int = _TILES) -> list[tuple[int, int, int]]:
        """Returns loops over groups of tiles: the first tile, groups, and tiles in each.

        A tile that is not full is in a group of its own kind, the last one: where there are more
        points, nothing may be written beyond the outputs of one.
        """
        tiles = -(-self.layer.tiled // WIDE)
        full = self.layer.tiled // (most * WIDE)
        rest = tiles - full * most
        found = [(0, full, most)] if full else []
        return found + ([(full * most, 1, rest)] if rest else [])

    def _around(self, group: tuple[int, int, int], body: list[str]) -> list[str]:
        """Returns the loop over groups and points around what leaves its sums in s."""
        first, count, tiles = group
        layer = self.layer
        self.program.helpers.add("take16")
        self.program.local(4 * WIDE * _TILES)
        size = tiles * WIDE
        # Beyond a single point's outputs its buffer goes on to the end of a cache line.
        written = size if layer.window.single else min(size, layer.tiled - first * WIDE)
        end = self._end(slice(0, layer.tiled), self._first(group), written)
        lines = [f"int32_t s[{size}] ALIGNED;", *body, end]
        if not layer.window.single:
            kinds = ("uint8_t", "uint8_t" if layer.rounding else "float")
            lines = over_points(layer.window, layer.outputs, lines, 1, kinds)
        return [f"for (int g = 0; g < {count}; g++) {{", *indented(lines), "}"]

    def _dense(self) -> list[str]:
        values = in_runs(self.layer.tiles(), self.layer.window)
        lines = []
        for group in self._groups():
            first, count, tiles = group
            part = values[first : first + count * tiles]
            part = part.reshape(count, tiles, -1, QUAD, WIDE).transpose(0, 2, 1, 4, 3)
            weights = self._weights(part)
            body = [f"const int8_t *w = {weights} + g * {part[0].size};"]
            names = [f"a{t}" for t in range(tiles)]
            body += self._start(names, self._first(group)) + self._inputs(names)
            body += [f"end16(s + {t * WIDE}, &{name});" for t, name in enumerate(names)]
            lines += self._around(group, body)
        return lines

    def _inputs(self, names: list[str]) -> list[str]:
        """Returns the loops over the inputs of a dense layer."""
        window = self.layer.window
        step = len(names) * WIDE * QUAD
        whole, tail = divmod(window.length, QUAD)
        takes = [
            f"take16(&{name}, w + {t * WIDE * QUAD}, v);" if t else f"take16(&{name}, w, v);"
            for t, name in enumerate(names)
        ]
        run = f"{self.x} + r" if window.runs > 1 else self.x
        lines = []
        if whole:
            self.program.helpers.add("quad_at")
            lines += [
                f"for (int i = 0; i < {whole * QUAD}; i += {QUAD}, w += {step}) {{",
                f"    const quad v = quad_at({run} + i);",
                *indented(takes),
                "}",
            ]
        if tail:
            value = f"quad_at({run} + {window.length - QUAD})"
            if not whole:
                self.program.helpers.add("quad_of")
                at = [f"({run})[{n}]" if n < tail else "0" for n in range(QUAD)]
                value = f"quad_of({', '.join(at)})"
            lines += [
                "{",
                f"    const quad v = {value};",
                *indented(takes),
                f"    w += {step};",
                "}",
            ]
        if window.runs == 1:
            return lines
        last = window.runs * window.gap
        return [f"for (int r = 0; r < {last}; r += {window.gap}) {{", *indented(lines), "}"]

    def _sparse(self, runs: bool) -> list[str]:
        """Returns loops over the quads that are not zero, those of some tiles at a time."""
        found = quads(self.layer, runs)
        groups = self._groups()
        counts = [len(part) for part in found.values]
        rows = sum(len(together(found.some(f, f + n * t), t)[0]) * t for f, n, t in groups)
        if rows > _UNEVEN * sum(counts):
            groups = self._groups(1)
        lines = []
        for first, count, tiles in groups:
            values, offsets, starts = together(found.some(first, first + count * tiles), tiles)
            weights, table, begins = (
                self._weights(values),
                self._table(offsets),
                self._table(starts),
            )
            names, takes, each = [f"a{t}" for t in range(tiles)], [], offsets[0].size
            for t, name in enumerate(names):
                at = [f"{table}[{each} * n + {n}]" for n in range(each)]
                value = self._quad(at[each // tiles * t : each // tiles * (t + 1)])
                w = f"{weights} + {WIDE * QUAD * tiles} * n + {WIDE * QUAD * t}"
                takes.append(f"take16(&{name}, {w}, {value});")
            body = self._start(names, self._first((first, count, tiles)))
            body += [f"for (int n = {begins}[g]; n < {begins}[g + 1]; n++) {{", *indented(takes)]
            body += ["}", *(f"end16(s + {WIDE * t}, &{name});" for t, name in enumerate(names))]
            lines += self._around((first, count, tiles), body)
        return lines

    def _first(self, group: tuple[int, int, int]) -> str:
        """Returns the C of a group's first output."""
        return (
            f"{group[0] * WIDE} + g * {group[2] * WIDE}" if group[0] else f"g * {group[2] * WIDE}"
        )

    def _quad(self, offsets: list[str]) -> str:
        """Returns the C of four inputs: behind each other from one place on, or at four places."""
        runs = len(offsets) == 1
        self.program.helpers.add("quad_at" if runs else "quad_of")
        if runs:
            return f"quad_at({self.x} + {offsets[0]})"
        return f"quad_of({', '.join(f'{self.x}[{offset}]' for offset in offsets)})"

    def _unrolled(self) -> list[str]:
        """Returns a line for each quad that is not zero, for a layer with one point."""
        found = quads(self.layer, runs=False)
        if not any(map(len, found.values)):
            return self._sparse(runs=False)
        weights, n = self._weights(np.concatenate(found.values)), 0
        lines = []
        for first, count, tiles in self._groups():
            for begin in range(first, first + count * tiles, tiles):
                body = []
                for t in range(tiles):
                    body += ["{", *indented(self._start(["a"], str(WIDE * (begin + t))))]
                    for offsets in found.offsets[begin + t]:
                        value = self._quad([str(offset) for offset in offsets])
                        body.append(f"    take16(&a, {weights} + {WIDE * QUAD * n}, {value});")
                        n += 1
                    body += [f"    end16(s + {WIDE * t}, &a);", "}"]
                lines += self._around((begin, 1, tiles), body)
        return lines

    def _dots(self) -> list[str]:
        """Returns the lines of the last outputs: dot products, which compilers know how to do."""
        layer, begin = self.layer, self.layer.tiled
        values, source, lines = layer.weights[:, begin:], "x", ["{"]
        used = np.flatnonzero(values.any(axis=1))
        if len(used) * (layer.dotted + 2) < _FEWER * values.size:
            used = used if len(used) else np.array([0])
            values, source = values[used], "packed"
            self.program.local(len(used))
            table = self._table(layer.window.offsets()[used])
            lines += [
                f"    uint8_t packed[{len(used)}];",
                f"    for (int i = 0; i < {len(used)}; i++) {{",
                f"        packed[i] = x[{table}[i]];",
                "    }",
            ]
        size, names = len(values), [f"d{n}" for n in range(layer.dotted)]
        weights = self._weights(values.T)
        starts = ["0"] * len(names)
        if layer.rounding is not None:
            bias = self.program.constant("b", layer.bias[begin:])
            starts = [f"{bias}[{n}]" for n in range(len(names))]
        lines += [f"    int32_t {name} = {at};" for name, at in zip(names, starts, strict=True)]
        lines.append(f"    for (int i = 0; i < {size}; i++) {{")
        for n, name in enumerate(names):
            at = f"{n * size} + i" if n else "i"
            lines.append(f"        {name} += {source}[i] * {weights}[{at}];")
        lines.append("    }")
        lines.append(f"    const int32_t s[{len(names)}] = {{{', '.join(names)}}};")
        end = self._end(slice(begin, layer.outputs), "0", len(names))
        return [*lines, f"    {end}", "}"]

    def _table(self, values: Array) -> str:
        kind = smallest_unsigned(int(values.max()))
        return self.program.constant("at", np.ascontiguousarray(values.astype(kind)))
