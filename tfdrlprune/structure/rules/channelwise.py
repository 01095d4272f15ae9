"""Rules of layers that keep each channel to itself."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, array_of
from tfdrlprune.structure.identities import Identities
from tfdrlprune.structure.rules.base import (
    Read,
    Rule,
    channels_first,
    known,
    mixing_activation,
    spread,
    steady,
)


class Elementwise(Rule):
    """Activations, dropout and the like: every number on its own."""

    def why_not(self, call: Call) -> str:
        """Returns why, for activations over several units and outputs of another shape."""
        shapes = [tuple(tensor.shape) for tensor in (*call.inputs, *call.outputs)]
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            return "its output is not shaped as its one input"
        return mixing_activation(call.layer)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in; numbers of the layer's own for each forbid them to go."""
        own = [getattr(call.layer, name, 1.0) for name in ("scale", "offset", "mean", "variance")]
        if call.layer.weights or not all(np.isscalar(each) for each in own):
            book.fix(inputs[0], f"{call.layer.name} holds numbers for each of them")
        return [inputs[0]]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns what comes in."""
        return [known(inputs[0])]


class Places(Rule):
    """Pooling, padding, cropping and upsampling: other places, the same channels."""

    def why_not(self, call: Call) -> str:
        """Returns why, for channels out of place."""
        return channels_first(call.layer)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in."""
        return [spread(book.along_last(inputs[0], call.layer), call.outputs[0])]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns channels that are constant everywhere."""
        return [spread(steady(inputs[0]), call.outputs[0])]


class PlacesOverTime(Places):
    """The same at every time step."""

    def why_not(self, call: Call) -> str:
        """Returns why, for channels out of place."""
        return channels_first(call.layer.layer)


class BatchNormalization(Rule):
    """Batch normalization over the last axis: four numbers for each channel."""

    def why_not(self, call: Call) -> str:
        """Returns why, for another axis than the last."""
        layer = call.layer
        last = [len(call.inputs[0].shape) - 1]
        return "" if list(layer.axis) == last else "it normalises another axis than the last"

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in."""
        units = book.along_last(inputs[0], call.layer)
        for variable in call.layer.weights:
            book.weight(call.layer, variable, 0, units, "follows")
        return [spread(units, call.outputs[0])]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns channels that are constant, or scaled by zero."""
        units = steady(inputs[0])
        if call.layer.gamma is not None:
            units = units | (array_of(call.layer.gamma) == 0)
        return [spread(units, call.outputs[0])]


class Gated(Rule):
    """Gates: each channel times a number of its own."""

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in."""
        units = book.along_last(inputs[0], call.layer)
        for variable in call.layer.weights:
            if variable.shape.rank:
                book.weight(call.layer, variable, 0, units, "follows")
        return [spread(units, call.outputs[0])]

    def why_not(self, call: Call) -> str:
        """Returns nothing: a gate takes any tensor."""
        return ""

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns channels that are constant, or closed."""
        closed = call.layer.values() == 0
        return [spread(steady(inputs[0]) | closed, call.outputs[0])]


class Depthwise(Rule):
    """Depthwise convolutions: filters of its own for each channel."""

    def why_not(self, call: Call) -> str:
        """Returns why, for activations over several units and channels out of place."""
        return channels_first(call.layer) or mixing_activation(call.layer)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in, each as often as it has filters."""
        layer = call.layer
        units = book.along_last(inputs[0], layer)
        filtered = np.repeat(units, layer.depth_multiplier)
        book.weight(layer, layer.depthwise_kernel, -2, units, "follows")
        if layer.bias is not None:
            book.weight(layer, layer.bias, 0, filtered, "follows")
        return [spread(filtered, call.outputs[0])]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns filters that read a constant, or are zero."""
        kernel = array_of(call.layer.depthwise_kernel)
        zero = ~(kernel != 0).any(axis=tuple(range(kernel.ndim - 2))).ravel()
        units = np.repeat(steady(inputs[0]), call.layer.depth_multiplier) | zero
        return [spread(units, call.outputs[0])]


class PRelu(Rule):
    """PReLU: a slope for each number, or for each channel where places share it."""

    def why_not(self, call: Call) -> str:
        """Returns why, for slopes that channels share."""
        alone = call.layer.alpha.shape[-1] == call.inputs[0].shape[-1]
        return "" if alone else "its channels share a slope"

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in."""
        units = book.along_last(inputs[0], call.layer)
        book.weight(call.layer, call.layer.alpha, -1, units, "follows")
        return [spread(units, call.outputs[0])]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns what comes in."""
        return [known(inputs[0])]


class Rearranged(Rule):
    """Flatten, Reshape, Permute and RepeatVector: the same numbers at other places."""

    def why_not(self, call: Call) -> str:
        """Returns why, for sizes not known and channels out of place."""
        if None in tuple(call.inputs[0].shape[1:]):
            return "the size of its input is not known"
        return channels_first(call.layer)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units that come in, where the layer takes them."""
        return [book.square(moved(call.layer, inputs[0]))]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns what comes in, where the layer takes it."""
        return [moved(call.layer, known(inputs[0]))]


def moved(layer: Any, array: Array) -> Array:
    """Returns what a layer without weights makes of an array as one sample."""
    config = layer.get_config() | {"dtype": "int64"}
    moved: Array = (
        type(layer).from_config(config)(tf.constant(array[None].astype(np.int64))).numpy()[0]
    )
    return moved.astype(array.dtype)
