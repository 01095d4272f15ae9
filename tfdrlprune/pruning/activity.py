"""Activity: what units put out on recorded observations, and where their outputs go.

Layers are called outside a graph with their ``call`` watched, so that this works on any network
whose units are those of Keras layers, whatever lies between them.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.watching import watched
from tfdrlprune.specs import Array

# Calls a network on observations.
Visit = Callable[[], None]


@dataclass(frozen=True)
class Activity:
    """What the units of a kernel's layer put out.

    Attributes:
        mean: [units], mean of |output| over observations, and over places or time.
        active: [units], share of the outputs that are not 0: one minus the "average percentage of
            zeros" of Hu et al. 2016, "Network Trimming".
    """

    mean: Array
    active: Array


def measure(kernels: Sequence[Kernel], visit: Visit) -> list[Activity]:
    """Returns what `observe` does.

    Raises:
        ValueError: a kernel's units were not seen; says which.
    """
    found = observe(kernels, visit)
    unseen = [kernel.name for kernel, each in zip(kernels, found, strict=True) if each is None]
    if unseen:
        raise ValueError(
            f"The units of {', '.join(unseen)} are not what a layer of the network puts out on the "
            "recorded observations, so their activations are not known. Spare them, or choose "
            "another criterion."
        )
    return [each for each in found if each is not None]


def observe(kernels: Sequence[Kernel], visit: Visit) -> list[Activity | None]:
    """Returns the activity of each kernel's units while ``visit`` calls the network.

    An activation that is a layer of its own comes after the outputs that are measured. There is
    None where a layer was not called, or has other units inside than it puts out, as the depthwise
    filters of a separable convolution.
    """
    sums = [_Sums(kernel.outputs // kernel.gates) for kernel in kernels]
    with contextlib.ExitStack() as stack:
        for kernel, own in zip(kernels, sums, strict=True):
            stack.enter_context(watched(kernel.owner, after=own.add))
        visit()
    return [
        Activity(each.absolute / each.count, each.active / each.count) if each.count else None
        for each in sums
    ]


def readers(kernels: Sequence[Kernel], visit: Visit) -> list[list[tuple[int, Array]]]:
    """Returns for each kernel who reads its units, directly.

    Found by putting NaN into each unit, which sums and activations pass on, and infinity, which
    maximum pooling does. A layer reads units directly where each of its inputs depends on at most
    one of them: through activations, pooling, flattening and concatenation, but not through other
    weights.

    Returns:
        For each kernel, pairs of another kernel's index and int64 [inputs of that kernel], the unit
        that each of its inputs comes from, -1 for none.
    """
    return [
        _readers_of(kernels, index, visit, kernel.outputs // kernel.gates)
        for index, kernel in enumerate(kernels)
    ]


def _readers_of(
    kernels: Sequence[Kernel], index: int, visit: Visit, units: int
) -> list[tuple[int, Array]]:
    # A depthwise kernel has outputs for each input, and passes NaN on to who reads those.
    others = [
        i
        for i, k in enumerate(kernels)
        if i != index and k.attribute not in ("recurrent_kernel", "depthwise_kernel")
    ]
    found: dict[int, Array] = {}
    parts = range(0, units, _rows_of_a_visit(kernels[index], visit))
    for first, value in itertools.product(parts, (np.nan, np.inf)):
        looks = {other: _Look() for other in others}
        with contextlib.ExitStack() as stack:
            poison = _Poison(first, units, value)
            stack.enter_context(watched(kernels[index].owner, change=poison))
            for other, look in looks.items():
                stack.enter_context(watched(kernels[other].owner, before=look))
            visit()
        for other, look in looks.items():
            if look.rows is not None:
                rows = look.rows[: units - first]
                found.setdefault(other, np.zeros((units, rows.shape[1]), bool))
                found[other][first : first + len(rows)] |= rows
    return [
        (other, _window(kernels[other], np.where(rows.any(axis=0), rows.argmax(axis=0), -1)))
        for other, rows in found.items()
        if rows.any() and rows.sum(axis=0).max() == 1
    ]


def _window(kernel: Kernel, channels: Array) -> Array:
    """Returns the unit of each input of a kernel, whose window repeats the channels."""
    inputs = int(np.prod(kernel.shape)) // kernel.outputs
    if kernel.attribute == "pointwise_kernel":  # behind its layer's depthwise filters
        return np.repeat(channels, inputs // len(channels))
    return np.tile(channels, inputs // len(channels))


class _Look:
    """Sees where a layer's input is not finite: [rows, channels]; None before it was called."""

    def __init__(self) -> None:
        self.rows: Array | None = None

    def __call__(self, inputs: Any) -> None:
        array = ~np.isfinite(np.asarray(tf.nest.flatten(inputs)[0], np.float32))
        self.rows = np.asarray(array.any(axis=tuple(range(1, array.ndim - 1))))


class _Poison:
    """Puts a value into unit ``first + r`` of row r."""

    def __init__(self, first: int, units: int, value: float):
        self._first, self._units, self._value = first, units, value

    def __call__(self, output: tf.Tensor) -> tf.Tensor:
        array = np.array(output)
        if array.shape[-1] != self._units:  # of depthwise filters inside a separable convolution
            return output
        for row in range(min(len(array), self._units - self._first)):
            array[row, ..., self._first + row] = self._value
        return tf.constant(array)


def _rows_of_a_visit(kernel: Kernel, visit: Visit) -> int:
    rows: list[int] = []
    with watched(kernel.owner, after=lambda output: rows.append(len(output))):
        visit()
    return max([1, *rows])


class _Sums:
    def __init__(self, units: int):
        self.absolute, self.active, self.count = np.zeros(units), np.zeros(units), 0

    def add(self, output: tf.Tensor) -> None:
        rows = np.asarray(output)
        rows = rows.reshape(-1, rows.shape[-1])
        if rows.shape[1] != len(self.active):
            return
        self.absolute += np.abs(rows).sum(axis=0, dtype=np.float64)
        self.active += np.count_nonzero(rows, axis=0)
        self.count += len(rows)
