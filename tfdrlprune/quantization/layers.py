"""Layers that compute as their int8 form will, with their own weights left as they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf, write

import numpy as np

from tfdrlprune.pruning.activity import Visit
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.watching import watched
from tfdrlprune.quantization.rounding import round_activations, round_weights

# Set on a layer while it rounds, so that who compiled calls of it before knows.
ROUNDS = "rounds_as_int8"

_log = logging.getLogger("tfdrlprune")
_KINDS = (
    tf.keras.layers.Dense,
    tf.keras.layers.Conv1D,
    tf.keras.layers.Conv2D,
    tf.keras.layers.DepthwiseConv2D,
)


class QuantizedLayer:
    """A layer whose input and kernel are rounded in its forward pass while it is `on`.

    Args:
        kernel: of the layer.
        followers: the same kernel in networks that follow, which are rounded with it.
        outputs: whether what the layer puts out is rounded, too.
    """

    def __init__(self, kernel: Kernel, followers: Sequence[Kernel], outputs: bool):
        self.kernel, self._followers = kernel, list(followers)
        self._limits = [tf.Variable(0.0, trainable=False) for _ in range(4)]
        self._rounds_outputs = outputs

    def calibrate(self, inputs: Range, outputs: Range) -> None:
        """Takes the ranges that were measured."""
        found = (inputs.low, inputs.high, outputs.low, outputs.high)
        for variable, value in zip(self._limits, found, strict=True):
            write(variable, np.float32(value))

    def on(self) -> None:
        """Rounds from now on; what was traced before has to be traced anew."""
        for each in (self.kernel, *self._followers):
            # Past Keras's own __setattr__, which tracks what it is given.
            each.owner.__dict__ |= {"call": self._call_of(each), ROUNDS: True}

    def off(self) -> None:
        """Leaves the layer as it was."""
        for each in (self.kernel, *self._followers):
            for name in ("call", ROUNDS):
                each.owner.__dict__.pop(name, None)

    def _call_of(self, kernel: Kernel) -> Any:
        layer, attribute = kernel.owner, kernel.attribute
        own = type(layer).call
        low, high, out_low, out_high = self._limits

        def call(inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
            weights = layer.__dict__[attribute]
            layer.__dict__[attribute] = _rounded(kernel, tf.convert_to_tensor(weights))
            try:
                result = own(layer, round_activations(inputs, low, high), *args, **kwargs)
            finally:
                layer.__dict__[attribute] = weights
            if self._rounds_outputs:
                return round_activations(result, out_low, out_high)
            return result

        return call


class Range:
    """The smallest and largest number seen, and zero."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0

    def add(self, value: Any) -> None:
        """Takes further numbers."""
        array = np.asarray(tf.nest.flatten(value)[0])
        self.low = min(self.low, float(array.min(initial=0.0)))
        self.high = max(self.high, float(array.max(initial=0.0)))


def measure(layers: Sequence[QuantizedLayer], visit: Visit) -> None:
    """Takes the ranges of what goes through the layers, unrounded, while ``visit`` is called."""
    import contextlib

    with contextlib.ExitStack() as stack:
        ranges = [(Range(), Range()) for _ in layers]
        for layer, (inputs, outputs) in zip(layers, ranges, strict=True):
            watch = watched(layer.kernel.owner, before=inputs.add, after=outputs.add)
            stack.enter_context(watch)
        visit()
    for layer, (inputs, outputs) in zip(layers, ranges, strict=True):
        layer.calibrate(inputs, outputs)


def quantizable(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Returns the kernels of layers that can be rounded; logs the names of the others."""
    chosen = [k for k in kernels if type(k.owner) in _KINDS and k.owner.compute_dtype == "float32"]
    names = [kernel.name for kernel in kernels if kernel not in chosen]
    if names:
        _log.warning(
            "trained in float, and quantized after training only: %s (known are Dense, Conv1D, "
            "Conv2D and DepthwiseConv2D in float32)",
            ", ".join(names),
        )
    return chosen


def _rounded(kernel: Kernel, weights: tf.Tensor) -> tf.Tensor:
    order = kernel.inputs_first
    turned = tf.transpose(weights, order)
    matrix = round_weights(tf.reshape(turned, [-1, kernel.outputs]))
    back = [int(axis) for axis in np.argsort(order)]
    return tf.transpose(tf.reshape(matrix, turned.shape), back)
