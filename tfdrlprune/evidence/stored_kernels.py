"""Kernels of an artifact: how much is left in each, and a small picture of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfdrlprune.deployment import model_file
from tfdrlprune.specs import Array

# Cells of a picture along either side, at most: a page of pictures stays small.
_SIDE = 96


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel of an artifact.

    Attributes:
        layer: name of the layer, as far as the file tells it.
        kind: TFLite's name of the operation, such as ``"FULLY_CONNECTED"``.
        shape: as stored, output channels first.
        nonzero: weights that are not zero.
        weights: int8 [rows, columns], the picture. A cell of a large kernel stands for several
            weights and shows the one of the largest magnitude; 127 is the kernel's largest. Only
            where all are zero a cell is zero. The longer side lies across.
        kept: uint8 [rows, columns], the share of each cell's weights that are not zero; 255 is all.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    nonzero: int
    weights: Array = field(repr=False)
    kept: Array = field(repr=False)

    @property
    def size(self) -> int:
        """How many weights it has."""
        return int(np.prod(self.shape, dtype=int))

    def to_json(self) -> dict[str, Any]:
        """Returns ``layer, kind, shape, weights, nonzero``: counts, without the picture."""
        return {
            **{"layer": self.layer, "kind": self.kind, "shape": list(self.shape)},
            **{"weights": self.size, "nonzero": self.nonzero},
        }

    @staticmethod
    def from_json(values: Mapping[str, Any], weights: Array, kept: Array) -> Kernel:
        """Returns what `to_json` wrote, with its picture."""
        return Kernel(
            values["layer"],
            values["kind"],
            tuple(values["shape"]),
            values["nonzero"],
            weights,
            kept,
        )


def kernels_in(content: bytes) -> tuple[Kernel, ...]:
    """Returns the kernels of a model file in the order they are used, a shared one once.

    Raises:
        ValueError: the bytes are no TFLite model.
    """
    found, seen = [], set()
    for operation in model_file.operations(content):
        values = operation.kernel_values
        # What two operations share is one array.
        if values is None or id(operation.kernel) in seen:
            continue
        seen.add(id(operation.kernel))
        weights, kept = _picture(values)
        nonzero = int(np.count_nonzero(values))
        found.append(Kernel(operation.layer, operation.kind, values.shape, nonzero, weights, kept))
    return tuple(found)


def _picture(values: Array) -> tuple[Array, Array]:
    matrix = values.reshape(values.shape[0], -1)
    if len(matrix) == 1:  # depthwise: its channels stand last
        matrix = values.reshape(-1, values.shape[-1])
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    highest, lowest = _pooled(matrix, np.maximum), _pooled(matrix, np.minimum)
    farthest = np.where(highest >= -lowest, highest, lowest)
    scaled = np.rint(farthest * (127 / (np.abs(farthest).max() or 1.0)))
    # What is small is not gone.
    scaled = np.where(scaled == 0, np.sign(farthest), scaled)
    kept = _pooled((matrix != 0).astype(float), np.add) / _pooled(np.ones(matrix.shape), np.add)
    return scaled.astype(np.int8), np.ceil(255 * kept).astype(np.uint8)


def _pooled(matrix: Array, how: np.ufunc) -> Array:
    """Returns a matrix of at most `_SIDE` cells a side: each of neighbours, as equal as it goes."""
    for axis, length in enumerate(matrix.shape):
        starts = np.arange(0, length, -(-length // _SIDE))
        matrix = how.reduceat(matrix, starts, axis=axis)
    return matrix
