"""Loops over arrays whose elements stand at regular distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfdrlprune.specs import Array

Shape = tuple[int, ...]


def strides(shape: Sequence[int]) -> Shape:
    """Returns how far apart neighbours along each axis are, in C order; 0 along axes of one.

    Example:
        >>> strides((2, 3, 4)), strides((1, 5))
        ((12, 4, 1), (0, 1))
    """
    found, step = [], 1
    for size in reversed(shape):
        found.append(step if size > 1 else 0)
        step *= size
    return tuple(reversed(found))


def broadcast(shape: Sequence[int], to: Sequence[int]) -> Shape:
    """Returns the strides with which an array of ``shape`` is read as one of the shape ``to``."""
    return (0,) * (len(to) - len(shape)) + strides(shape)


def nest(
    shape: Sequence[int], steps: Sequence[Shape], body: Callable[[list[str]], list[str]]
) -> list[str]:
    """Returns loops over ``shape`` around what ``body`` makes of the index into each array.

    Axes that all arrays run through in the same way become one.

    Args:
        shape: what is run over.
        steps: of each array its strides, one for each axis.
        body: gets one index expression for each array.
    """
    sizes, moves = _merged(shape, steps)
    names = [f"i{axis}" for axis in range(len(sizes))]
    lines = []
    for depth, (name, size) in enumerate(zip(names, sizes, strict=True)):
        lines.append(f"{'    ' * depth}for (int {name} = 0; {name} < {size}; {name}++) {{")
    inner = body([_index(names, move) for move in moves])
    lines += [f"{'    ' * len(sizes)}{line}" for line in inner]
    return lines + ["    " * depth + "}" for depth in reversed(range(len(sizes)))]


def affine(positions: Array) -> tuple[int, Shape] | None:
    """Returns the offset and strides of a table of positions, or None where it has none.

    Example:
        >>> affine(np.array([[3, 5], [13, 15]]))
        (3, (10, 2))
        >>> affine(np.array([0, 1, 3])) is None
        True
    """
    offset = int(positions.flat[0]) if positions.size else 0
    found = []
    for axis, size in enumerate(positions.shape):
        first = np.take(positions, 0, axis)
        found.append(int((np.take(positions, 1, axis) - first).flat[0]) if size > 1 else 0)
    expected = offset + sum(
        np.arange(size).reshape([-1 if at == axis else 1 for at in range(positions.ndim)]) * step
        for axis, (size, step) in enumerate(zip(positions.shape, found, strict=True))
    )
    return (offset, tuple(found)) if np.array_equal(positions, expected) else None


def _merged(shape: Sequence[int], steps: Sequence[Shape]) -> tuple[list[int], list[list[int]]]:
    """Returns the fewest axes that give the same loops, without axes of one."""
    sizes: list[int] = []
    moves: list[list[int]] = [[] for _ in steps]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        here = [move[axis] for move in steps]
        if sizes and all(move[-1] == size * step for move, step in zip(moves, here, strict=True)):
            sizes[-1] *= size
            for move, step in zip(moves, here, strict=True):
                move[-1] = step
        else:
            sizes.append(size)
            for move, step in zip(moves, here, strict=True):
                move.append(step)
    return sizes, moves


def _index(names: Sequence[str], move: Sequence[int]) -> str:
    terms = [
        name if step == 1 else f"{step} * {name}"
        for name, step in zip(names, move, strict=True)
        if step
    ]
    return " + ".join(terms) or "0"
