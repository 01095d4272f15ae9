"""Rules of layers that make units of what they read: dense layers and convolutions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, array_of
from tfdrlprune.structure.identities import Identities
from tfdrlprune.structure.rules.base import (
    Read,
    Rule,
    channels_first,
    mixing_activation,
    spread,
    steady,
)


class Maker(Rule):
    """A layer with a unit for each output of its kernel, last axis but one: what it reads."""

    width = "filters"
    # Of the last kernel, whose units its axes are.
    reads_axis, makes_axis = -2, -1

    def why_not(self, call: Call) -> str:
        """Returns why, for activations over several units, groups and channels out of place."""
        layer = call.layer
        if len(call.inputs) != 1:
            return "it takes more than one input"
        if getattr(layer, "groups", 1) != 1:
            return "its filters read groups of channels"
        return channels_first(layer) or mixing_activation(layer)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns new units, the same at every call of the layer."""
        layer = call.layer
        rows = book.along_last(inputs[0], layer)
        columns = book.units_of(layer, int(call.outputs[0].shape[-1]))
        self.weigh(layer, rows, columns, book)
        if layer.bias is not None:
            book.weight(layer, layer.bias, 0, columns, "makes")
        return [spread(columns, call.outputs[0])]

    def weigh(self, layer: Any, rows: Array, columns: Array, book: Identities) -> None:
        """Notes whose the axes of the kernels are."""
        book.weight(layer, layer.kernel, self.reads_axis, rows, "reads")
        book.weight(layer, layer.kernel, self.makes_axis, columns, "makes")

    def matrix(self, layer: Any) -> tuple[Array, Array]:
        """Returns `Read.weights` and `Read.strength`."""
        kernel = array_of(layer.kernel)
        window = tuple(range(kernel.ndim - 2))
        return kernel.sum(axis=window), np.abs(kernel).sum(axis=window)

    def window(self, layer: Any) -> int:
        """Returns at how many places an output reads."""
        return math.prod(layer.kernel.shape[:-2])

    def folds(self, layer: Any) -> bool:
        """Returns whether a constant input adds the same at every place."""
        # At a border that is padded with zeros a constant input is no constant.
        return getattr(layer, "padding", "valid") == "valid" or self.window(layer) == 1

    def reads(self, call: Call, inputs: list[Array], outputs: list[Array]) -> list[Read]:
        """Returns the one read of the kernel."""
        rows, columns = inputs[0].reshape(-1, inputs[0].shape[-1])[0], np.ravel(outputs[0])
        columns = columns[: outputs[0].shape[-1]]
        weights, strength = self.matrix(call.layer)
        folds = self.folds(call.layer)
        return [Read(call.layer, call.inputs[0], rows, columns, weights, strength, folds)]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns units that read constants only."""
        moving = ~steady(inputs[0])
        units = np.any(reads[0].strength[moving] > 0, axis=0)
        return [spread(~np.asarray(units), call.outputs[0])]


class Dense(Maker):
    """Dense: a matrix."""

    width = "units"


class Separable(Maker):
    """Separable convolutions: depthwise filters, and a matrix that reads those."""

    def weigh(self, layer: Any, rows: Array, columns: Array, book: Identities) -> None:
        """Notes whose the axes of both kernels are."""
        deep = np.repeat(rows, layer.depth_multiplier)
        book.weight(layer, layer.depthwise_kernel, -2, rows, "reads")
        book.weight(layer, layer.pointwise_kernel, -2, deep, "reads")
        book.weight(layer, layer.pointwise_kernel, -1, columns, "makes")

    def window(self, layer: Any) -> int:
        """Returns at how many places a depthwise filter reads."""
        return math.prod(layer.depthwise_kernel.shape[:-2])

    def matrix(self, layer: Any) -> tuple[Array, Array]:
        """Returns both kernels as one."""
        deep, point = array_of(layer.depthwise_kernel), array_of(layer.pointwise_kernel)
        window = tuple(range(deep.ndim - 2))
        point = point.reshape(*deep.shape[-2:], -1)
        return (
            np.einsum("cm,cmf->cf", deep.sum(axis=window), point),
            np.einsum("cm,cmf->cf", np.abs(deep).sum(axis=window), np.abs(point)),
        )


class Transposed(Maker):
    """Transposed convolutions: the kernel has its outputs before its inputs."""

    reads_axis, makes_axis = -1, -2

    def matrix(self, layer: Any) -> tuple[Array, Array]:
        """Returns `Read.weights` and `Read.strength`."""
        weights, strength = super().matrix(layer)
        return weights.T, strength.T

    def folds(self, layer: Any) -> bool:
        """Returns False: at how many places an input is read differs from place to place."""
        return False
