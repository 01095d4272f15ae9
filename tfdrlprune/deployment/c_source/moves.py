"""Operations that only move numbers: which number goes where is found by NumPy on their positions.

A tensor that is a run of another one's numbers is no copy: it is a place in the same buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfdrlprune.deployment.c_source import loops
from tfdrlprune.deployment.c_source.program import Place, Program, unsupported
from tfdrlprune.deployment.c_source.texts import smallest_unsigned
from tfdrlprune.deployment.model_graph import Node
from tfdrlprune.specs import Array

ALIASES = ("DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE")


def alias(program: Program, node: Node) -> None:
    """Writes nothing: the output is where the input is."""
    program.put(node.output, program.place(node.inputs[0]))


def move(program: Program, node: Node) -> None:
    """Writes an operation each of whose outputs is made of numbers of the one input."""
    source = _MOVES[node.kind][1](node)
    place = program.place(node.inputs[source])
    shape = program.shape(node.inputs[source])
    positions = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    found = _MOVES[node.kind][0](program, node, positions)
    for output, each in zip(node.outputs, found, strict=True):
        take(program, output, place, each.reshape(program.shape(output)))


def take(program: Program, output: int, place: Place, positions: Array) -> None:
    """Writes a tensor that consists of the numbers at these positions of a place."""
    flat = positions.ravel()
    if flat.size and np.array_equal(flat, flat[0] + np.arange(flat.size)):
        at = Place(place.name, place.offset + int(flat[0]), place.buffer)
        program.put(output, at)
        return
    out = program.new(output)
    shape = positions.shape
    if (regular := loops.affine(positions)) is not None:
        offset, steps = regular
        source = Place(place.name, place.offset + offset, place.buffer)
        lines = loops.nest(
            shape,
            [loops.strides(shape), steps],
            lambda index: [f"{out.at(index[0])} = {source.at(index[1])};"],
        )
    else:
        kind = smallest_unsigned(int(flat.max()))
        table = program.constant("p", flat.astype(kind))
        lines = loops.nest(
            (flat.size,),
            [(1,)],
            lambda index: [f"{out.at(index[0])} = {place.at(f'{table}[{index[0]}]')};"],
        )
    program.step(lines, out, place)


def concatenate(program: Program, node: Node) -> None:
    """Writes CONCATENATION and PACK."""
    shape = program.shape(node.output)
    axis = node.options["axis"] % len(shape)
    parts = [program.shape(index) for index in node.inputs]
    if node.kind == "PACK":
        parts = [(*part[:axis], 1, *part[axis:]) for part in parts]
    _place_parts(program, node, list(zip(node.inputs, parts, strict=True)), axis)


def _place_parts(
    program: Program, node: Node, parts: list[tuple[int, tuple[int, ...]]], axis: int
) -> None:
    if node.activation != "NONE":
        raise unsupported(program.graph, node, f" with the activation {node.activation}")
    shape = program.shape(node.output)
    out = program.new(node.output)
    steps = list(loops.strides(shape))
    begin = 0
    for index, part in parts:
        source = program.place(index)
        target = Place(out.name, out.offset + begin * steps[axis], out.buffer)
        program.step(_copy(part, tuple(steps), target, source), out, source)
        begin += part[axis]


def pad(program: Program, node: Node, zero: float = 0.0) -> None:
    """Writes PAD and PADV2; ``zero`` is what stands for 0 where nothing else is given."""
    amounts = program.graph.tensors[node.inputs[1]].value
    if amounts is None:
        raise unsupported(program.graph, node, " with a padding that is computed")
    filler = program.scalar(node.inputs[2]) if len(node.inputs) > 2 else zero
    shapes = program.shape(node.inputs[0]), program.shape(node.output)
    before, source = amounts.astype(int)[:, 0], program.place(node.inputs[0])
    surrounded(program, source, *shapes, before, filler or 0.0, program.new(node.output))


def surrounded(
    program: Program,
    source: Place,
    shape: tuple[int, ...],
    wanted: tuple[int, ...],
    before: Array,
    filler: float,
    out: Place,
) -> None:
    """Writes numbers into the middle of a larger array."""
    size = int(np.prod(wanted, dtype=int))
    steps = loops.strides(wanted)
    offset = int(sum(int(n) * step for n, step in zip(before, steps, strict=True)))
    target = Place(out.name, out.offset + offset, out.buffer)
    fill = [
        f"for (int i = 0; i < {size}; i++) {{",
        f"    {out.at('i')} = {program.literal(filler)};",
        "}",
    ]
    program.step([*fill, *_copy(shape, steps, target, source)], out, source)


def _copy(
    shape: tuple[int, ...], steps: tuple[int, ...], target: Place, source: Place
) -> list[str]:
    return loops.nest(
        shape,
        [tuple(s if n > 1 else 0 for s, n in zip(steps, shape, strict=True)), loops.strides(shape)],
        lambda index: [f"{target.at(index[0])} = {source.at(index[1])};"],
    )


def _constant(program: Program, node: Node, at: int) -> list[int]:
    value = program.graph.tensors[node.inputs[at]].value
    if value is None:
        raise unsupported(program.graph, node, " where it depends on what is computed")
    return [int(item) for item in np.ravel(value)]


def _transpose(program: Program, node: Node, positions: Array) -> list[Array]:
    return [positions.transpose(_constant(program, node, 1))]


def _slice(program: Program, node: Node, positions: Array) -> list[Array]:
    begin, size = _constant(program, node, 1), _constant(program, node, 2)
    cut = tuple(slice(b, None if n < 0 else b + n) for b, n in zip(begin, size, strict=True))
    return [positions[cut]]


def _strided_slice(program: Program, node: Node, positions: Array) -> list[Array]:
    begin, end, step = (_constant(program, node, at) for at in (1, 2, 3))
    options = node.options
    cut: list[Any] = []
    for axis in range(len(begin)):
        bit = 1 << axis
        if options["ellipsisMask"] & bit:
            cut.append(Ellipsis)
        elif options["newAxisMask"] & bit:
            cut.append(None)
        elif options["shrinkAxisMask"] & bit:
            cut.append(begin[axis])
        else:
            first = None if options["beginMask"] & bit else begin[axis]
            last = None if options["endMask"] & bit else end[axis]
            cut.append(slice(first, last, step[axis]))
    return [positions[tuple(cut)]]


def _split(program: Program, node: Node, positions: Array) -> list[Array]:
    (axis,) = _constant(program, node, 0)
    return np.split(positions, len(node.outputs), axis=axis)


def _split_v(program: Program, node: Node, positions: Array) -> list[Array]:
    (axis,) = _constant(program, node, 2)
    sizes = [program.shape(output)[axis] for output in node.outputs]
    return np.split(positions, np.cumsum(sizes)[:-1], axis=axis)


def _unpack(program: Program, node: Node, positions: Array) -> list[Array]:
    return list(np.moveaxis(positions, node.options["axis"], 0))


def _gather(program: Program, node: Node, positions: Array) -> list[Array]:
    if node.options.get("batchDims", 0):
        raise unsupported(program.graph, node, " with batch dimensions")
    index = program.graph.tensors[node.inputs[1]]
    wanted = np.reshape(_constant(program, node, 1), index.shape)
    return [np.take(positions, wanted, axis=node.options["axis"])]


def _tile(program: Program, node: Node, positions: Array) -> list[Array]:
    return [np.tile(positions, _constant(program, node, 1))]


def _broadcast_to(program: Program, node: Node, positions: Array) -> list[Array]:
    return [np.broadcast_to(positions, program.shape(node.output))]


def _reverse(program: Program, node: Node, positions: Array) -> list[Array]:
    return [np.flip(positions, _constant(program, node, 1))]


def _first(node: Node) -> int:
    return 0


def _second(node: Node) -> int:
    return 1


_Move = Callable[[Program, Node, Array], list[Array]]
# the operation -> what it does to positions, and which of its inputs is moved
_MOVES: dict[str, tuple[_Move, Callable[[Node], int]]] = {
    "BROADCAST_TO": (_broadcast_to, _first),
    "GATHER": (_gather, _first),
    "REVERSE_V2": (_reverse, _first),
    "SLICE": (_slice, _first),
    "SPLIT": (_split, _second),
    "SPLIT_V": (_split_v, _first),
    "STRIDED_SLICE": (_strided_slice, _first),
    "TILE": (_tile, _first),
    "TRANSPOSE": (_transpose, _first),
    "UNPACK": (_unpack, _first),
}
MOVES = tuple(_MOVES)
