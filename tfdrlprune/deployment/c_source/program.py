"""What is written as C: steps on numbered buffers, constants, and where the buffers lie in RAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfdrlprune.deployment.c_source.texts import array, indented
from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.specs import Array

# Buffers begin on cache lines and end on them: vectors of 16 may run beyond what is used.
LINE = 16


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
    """

    layer: str
    form: str
    block: int
    weights: int
    total: int
    dtype: str

    def __str__(self) -> str:
        blocks = "" if self.form == "dense" else f" in blocks of {self.block} outputs"
        return f"{self.form}, {self.weights} of {self.total} weights{blocks}, {self.dtype}"


@dataclass(frozen=True)
class _Step:
    lines: tuple[str, ...]
    buffers: frozenset[int]


@dataclass
class Program:
    """Collects a policy's C, step by step, in the order it runs.

    Attributes:
        graph: that is written.
        layers: how those with weights are computed.
        constants: definitions of arrays.
        functions: of C, before the one that runs the steps.
        flash_bytes: of the constants.
        used: vectors that must be defined; see `lanes.definitions`.
        local_bytes: of the stack that one of the functions takes for arrays of its own, at most.
    """

    graph: Graph
    layers: list[LayerForm] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    flash_bytes: int = 0
    used: set[str] = field(default_factory=set)
    local_bytes: int = 0
    _places: dict[int, Place] = field(default_factory=dict)
    _sizes: list[int] = field(default_factory=list)
    _steps: list[_Step] = field(default_factory=list)
    _bodies: dict[str, str] = field(default_factory=dict)
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)

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
            self._places[index] = Place(self.constant("c", value.astype(np.float32)))
        return self._places[index]

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
        self._sizes.append(-(-size // LINE) * LINE)
        number = len(self._sizes) - 1
        return Place(f"t{number}", 0, number)

    def step(self, lines: Sequence[str], *places: Place) -> None:
        """Adds lines that read and write these places."""
        used = frozenset(place.buffer for place in places if place.buffer is not None)
        self._steps.append(_Step(tuple(lines), used))

    def constant(self, name: str, values: Array) -> str:
        """Returns the name of a constant array; equal ones are one."""
        key = (values.dtype.name, values.tobytes())
        if key not in self._known:
            self._known[key] = f"{name}{len(self._known)}"
            self.constants.append(array(self._known[key], values))
            self.flash_bytes += values.nbytes
        return self._known[key]

    def function(self, layer: LayerForm, lines: Sequence[str]) -> str:
        """Returns the name of the function from x to y; equal layers share one."""
        body = "\n".join(indented(lines))
        if body not in self._bodies:
            self._bodies[body] = name = f"layer{len(self.layers)}"
            self.layers.append(layer)
            self.functions.append(
                f"/* {layer.layer}: {layer} */\n"
                f"static void {name}(const float *restrict x, float *restrict y)\n{{\n{body}\n}}\n"
            )
        return self._bodies[body]

    def body(self, kept: Sequence[Place]) -> tuple[list[str], int]:
        """Returns the lines of the steps, and how many numbers of RAM their buffers take.

        Args:
            kept: what must still be there after the last step.
        """
        spans = self._spans(kept)
        offsets, total = _packed(self._sizes, spans)
        lines = [
            f"float *const t{number} = arena + {offset};" for number, offset in offsets.items()
        ]
        for each in self._steps:
            lines += each.lines
        return lines, total

    def _spans(self, kept: Sequence[Place]) -> dict[int, tuple[int, int]]:
        """Returns the first and the last step of each buffer."""
        spans: dict[int, tuple[int, int]] = {}
        for at, each in enumerate(self._steps):
            for number in each.buffers:
                spans[number] = (spans.get(number, (at, at))[0], at)
        for place in kept:
            if place.buffer is not None:
                first = spans.get(place.buffer, (0, 0))[0]
                spans[place.buffer] = (first, len(self._steps))
        return spans


def _packed(sizes: Sequence[int], spans: dict[int, tuple[int, int]]) -> tuple[dict[int, int], int]:
    """Returns each buffer's offset, such that no two that live at a time overlap, and the end.

    The largest first, each in the lowest gap that is free all its life.
    """
    offsets: dict[int, int] = {}
    for number in sorted(spans, key=lambda n: (-sizes[n], n)):
        first, last = spans[number]
        taken = sorted(
            (offset, offset + sizes[other])
            for other, offset in offsets.items()
            if spans[other][0] <= last and first <= spans[other][1]
        )
        offset = 0
        for begin, end in taken:
            if offset + sizes[number] <= begin:
                break
            offset = max(offset, end)
        offsets[number] = offset
    total = max((offset + sizes[number] for number, offset in offsets.items()), default=LINE)
    return dict(sorted(offsets.items())), total


def unsupported(graph: Graph, node: Node, why: str = "") -> ValueError:
    """Returns the error for an operation that cannot be written as C; names it."""
    return ValueError(
        f"The operation {node.kind} ({graph.tensors[node.output].name}) cannot be written as C"
        f"{why}. Export with formats=('tflite',), which LiteRT runs."
    )
