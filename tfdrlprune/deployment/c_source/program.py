"""What is written as C: steps on numbered buffers, constants, and where the buffers lie in RAM."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tfdrlprune.deployment.c_source.packing import packed_buffers
from tfdrlprune.deployment.c_source.texts import array, indented, number
from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.specs import Array

# In floats: buffers begin on cache lines and end on them, as vectors may run beyond what is used.
LINE = 16
# What buffers hold, and how many of it are as long as a float.
_IN_A_FLOAT = {"float": 1, "uint8_t": 4}


@dataclass(frozen=True)
class Place:
    """Where a tensor is: an array of C, and how far into it.

    Attributes:
        name: of the array.
        offset: in numbers.
        buffer: of which it is part; None for what is not ours to lay out, such as an observation.
    """

    name: str
    offset: int = 0
    buffer: int | None = None

    def __str__(self) -> str:
        return f"{self.name} + {self.offset}" if self.offset else self.name

    def at(self, index: str) -> str:
        """Returns the element with this index, as C writes it."""
        if self.offset and index.isdigit():
            return f"{self.name}[{self.offset + int(index)}]"
        return f"{self.name}[{self.offset} + {index}]" if self.offset else f"{self.name}[{index}]"


@dataclass(frozen=True)
class LayerForm:
    """How a layer with weights is computed.

    Attributes:
        layer: where it comes from.
        form: "unrolled", "block-sparse" or "dense".
        block: outputs in a block; of a dense layer in a vector.
        weights: that are stored, zeros of blocks included.
        total: of the layer.
        dtype: of the weights.
        sums: in which they are added up, "float32" or "int32".
    """

    layer: str
    form: str
    block: int
    weights: int
    total: int
    dtype: str
    sums: str = "float32"

    def __str__(self) -> str:
        blocks = "" if self.form == "dense" else f" in blocks of {self.block} outputs"
        sums = "" if self.sums == "float32" else f", sums in {self.sums}"
        return f"{self.form}, {self.weights} of {self.total} weights{blocks}, {self.dtype}{sums}"


@dataclass(frozen=True)
class _Step:
    lines: tuple[str, ...]
    buffers: frozenset[int]


@dataclass
class Program:
    """Collects a policy's C, step by step, in the order it runs.

    Its tensors are floats. `whole` is this same program for rules that work on bytes: what is added
    to one is added to both, but where tensors are, each knows for its own kind.

    Attributes:
        graph: that is written.
        kind: C's type of what its buffers hold, ``"float"`` or ``"uint8_t"``.
        layers: how those with weights are computed.
        constants: definitions of arrays.
        functions: of C, before the one that runs the steps.
        used: vectors that must be defined; see `lanes.definitions`.
        helpers: functions on bytes that must be; see `quads.definitions`.
    """

    graph: Graph
    kind: str = "float"
    layers: list[LayerForm] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    helpers: set[str] = field(default_factory=set)
    _places: dict[int, Place] = field(default_factory=dict)
    _sizes: list[int] = field(default_factory=list)
    _kinds: list[str] = field(default_factory=list)
    _locals: list[int] = field(default_factory=list)
    _flash: list[int] = field(default_factory=list)
    _steps: list[_Step] = field(default_factory=list)
    _bodies: dict[str, str] = field(default_factory=dict)
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)

    @cached_property
    def whole(self) -> Program:
        """This program for tensors of whole numbers: int8 with 128 added, so none is negative."""
        return dataclasses.replace(self, kind="uint8_t", _places={})

    @property
    def flash_bytes(self) -> int:
        """How many bytes the constants take."""
        return sum(self._flash)

    @property
    def local_bytes(self) -> int:
        """How much of the stack one of the functions takes for arrays of its own, at most."""
        return max(self._locals, default=0)

    def local(self, size_bytes: int) -> None:
        """Says that a function has arrays of its own of that size."""
        self._locals.append(size_bytes)

    def shape(self, index: int) -> tuple[int, ...]:
        """Returns a tensor's shape, with the batch axis of one."""
        return self.graph.tensors[index].shape

    def size(self, index: int) -> int:
        """Returns how many numbers a tensor has."""
        return int(np.prod(self.shape(index), dtype=int))

    def place(self, index: int) -> Place:
        """Returns where a tensor is; a constant is written down when it is first asked for."""
        if index not in self._places:
            value = self.graph.tensors[index].value
            if value is None:
                name = self.graph.tensors[index].name
                raise ValueError(f"The tensor {name!r} is used before it is computed.")
            self._places[index] = Place(self.constant("c", self._held(index, value)))
        return self._places[index]

    def _held(self, index: int, value: Array) -> Array:
        """Returns a constant as buffers of this kind hold it."""
        stored = self.graph.tensors[index].stored
        if self.kind == "float" or stored is None:
            return value.astype(np.float32)
        return (stored.astype(np.int16) + 128).astype(np.uint8)

    def has(self, index: int) -> bool:
        """Tells whether a tensor is a constant, or was computed and is held in this kind."""
        return index in self._places or self.graph.tensors[index].value is not None

    def literal(self, value: float) -> str:
        """Returns a number of this kind as C writes it."""
        return number(value) if self.kind == "float" else str(int(value))

    def scalar(self, index: int) -> float | None:
        """Returns the number that a constant consists of; None for any other tensor."""
        value = self.graph.tensors[index].value
        same = value is not None and value.size and (value == value.flat[0]).all()
        return float(value.flat[0]) if value is not None and same else None

    def put(self, index: int, place: Place) -> None:
        """Says that a tensor is where another one is, or part of it."""
        self._places[index] = place

    def new(self, index: int) -> Place:
        """Returns a new buffer for a tensor."""
        self.put(index, self.scratch(self.size(index)))
        return self._places[index]

    def scratch(self, size: int) -> Place:
        """Returns a new buffer of some numbers."""
        self._sizes.append(-(-size // (LINE * _IN_A_FLOAT[self.kind])) * LINE)
        self._kinds.append(self.kind)
        at = len(self._sizes) - 1
        return Place(f"t{at}", 0, at)

    def step(self, lines: Sequence[str], *places: Place) -> None:
        """Adds lines that read and write these places."""
        used = frozenset(place.buffer for place in places if place.buffer is not None)
        self._steps.append(_Step(tuple(lines), used))

    def constant(self, name: str, values: Array, other: tuple[str, Array] | None = None) -> str:
        """Returns the name of a constant array; equal ones are one.

        Args:
            name: with which its name begins.
            values: of it.
            other: what it is instead where a macro is defined: the macro, and values of that size.
        """
        key = (values.dtype.name, values.tobytes() + (other[1].tobytes() if other else b""))
        if key not in self._known:
            self._known[key] = made = f"{name}{len(self._known)}"
            text = array(made, values)
            if other:
                text = f"#if defined({other[0]})\n{array(made, other[1])}#else\n{text}#endif\n"
            self.constants.append(text)
            self._flash.append(values.nbytes)
        return self._known[key]

    def function(self, layer: LayerForm, lines: Sequence[str], parameters: str = "") -> str:
        """Returns the name of the function from x to y; equal layers share one.

        Args:
            layer: that it computes.
            lines: of it.
            parameters: of the function; empty are x and y of this program's kind.
        """
        given = parameters or f"const {self.kind} *restrict x, {self.kind} *restrict y"
        body = "\n".join(indented(lines))
        if body not in self._bodies:
            self._bodies[body] = name = f"layer{len(self.layers)}"
            self.layers.append(layer)
            self.functions.append(
                f"/* {layer.layer}: {layer} */\nstatic void {name}({given})\n{{\n{body}\n}}\n"
            )
        return self._bodies[body]

    def body(self, kept: Sequence[Place]) -> tuple[list[str], int]:
        """Returns the lines of the steps, and how many numbers of RAM their buffers take.

        Args:
            kept: what must still be there after the last step.
        """
        spans = self._spans(kept)
        offsets, total = packed_buffers(self._sizes, spans)
        lines = []
        for at, offset in offsets.items():
            kind = self._kinds[at]
            cast = "" if kind == "float" else f"({kind} *)"
            begin = f"{cast}(arena + {offset})" if cast else f"arena + {offset}"
            lines.append(f"{kind} *const t{at} = {begin};")
        for each in self._steps:
            lines += each.lines
        return lines, max(total, LINE)

    def _spans(self, kept: Sequence[Place]) -> dict[int, tuple[int, int]]:
        """Returns the first and the last step of each buffer."""
        spans: dict[int, tuple[int, int]] = {}
        for at, each in enumerate(self._steps):
            for buffer in each.buffers:
                spans[buffer] = (spans.get(buffer, (at, at))[0], at)
        for place in kept:
            if place.buffer is not None:
                first = spans.get(place.buffer, (0, 0))[0]
                spans[place.buffer] = (first, len(self._steps))
        return spans


def unsupported(graph: Graph, node: Node, why: str = "") -> ValueError:
    """Returns the error for an operation that cannot be written as C; names it."""
    return ValueError(
        f"The operation {node.kind} ({graph.tensors[node.output].name}) cannot be written as C"
        f"{why}. Export with formats=('tflite',), which LiteRT runs."
    )
