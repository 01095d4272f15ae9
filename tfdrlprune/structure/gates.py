"""Gates: layers that multiply each unit by a number, which may be closed (0) and opened again.

A unit whose gate is closed puts out zero, in the forward pass and in every gradient of what reads
it, while its weights stay as they are; `shrink` takes it out for good, and puts the numbers of the
gates that stay into the weights beside them.
"""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.recipe.checks import check_choice, check_number

Array = NDArray[Any]
PENALTIES = ("l1", "l0")


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class Gate(tf.keras.layers.Layer):
    """A fixed gate for each channel, 1 or 0: what a criterion closes, no optimizer opens.

    Takes and gives [..., channels]. ``gate``, [channels], is a weight that is not trained: it goes
    into files, checkpoints and target networks with the rest.
    """

    # For rooms that may not import this one, and ask whether a layer is a gate.
    unit_gate = True

    def build(self, input_shape: Any) -> None:
        """Makes the gates, all of them open."""
        self.gate = self.add_weight(
            name="gate", shape=(_channels(self, input_shape),), initializer="ones", trainable=False
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns every channel times its gate."""
        return inputs * tf.cast(self.gate, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the same shape."""
        return input_shape

    def values(self) -> Array:
        """Returns what each channel is multiplied by, float32, [channels]."""
        return np.asarray(read(self.gate), np.float32)

    def is_open(self) -> Array:
        """Returns bool, [channels]: what has not been closed."""
        return self.values() != 0

    def set_open(self, wanted: Any) -> None:
        """Closes and opens: ``wanted`` is bool, [channels]."""
        write(self.gate, np.asarray(wanted, np.float32))


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class LearntGate(Gate):
    """A trained gate for each channel, 0 or more, which a penalty draws to exactly 0.

    After every optimizer step each gate takes the proximal step of its penalty, as a constraint of
    the weight, inside the same compiled step (Parikh & Boyd 2014, "Proximal Algorithms"):

        l1: max(0, gate - shrinkage)               the group lasso, a group for each unit
        l0: gate where gate > sqrt(2 * shrinkage), else 0

    so that gates become zero, and not merely small. An L1 on such factors is how Liu et al. 2017,
    "Learning Efficient Convolutional Networks through Network Slimming", find channels; the hard
    threshold is the proximal step of L0, without the noise of Louizos et al. 2018. A gate at 0
    comes back where the loss pulls harder than the penalty; one that `set_open` has closed does
    not.

    Args:
        penalty: "l1" or "l0".
        shrinkage: the penalty times the learning rate, 0 or more: what "l1" takes off a gate at
            every step. A weight of its own, so that it may change while training goes on.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, penalty: str = "l1", shrinkage: float = 1e-4, **kwargs: Any) -> None:
        check_choice("penalty", penalty, PENALTIES)
        check_number("shrinkage", shrinkage)
        if not 0 <= shrinkage < 1:
            raise ValueError(
                "shrinkage is what a gate loses at a step, in [0, 1); gates begin at 1. "
                f"Received: shrinkage={shrinkage!r}."
            )
        super().__init__(**kwargs)
        self.penalty, self._initial = penalty, float(shrinkage)

    def build(self, input_shape: Any) -> None:
        """Makes the gates, which of them are open, and the shrinkage."""
        channels = _channels(self, input_shape)

        def fixed(name: str, shape: tuple[int, ...], value: float) -> Any:
            constant = tf.keras.initializers.Constant(value)
            return self.add_weight(name=name, shape=shape, initializer=constant, trainable=False)

        self.open = fixed("open", (channels,), 1.0)
        self.shrinkage = fixed("shrinkage", (), self._initial)
        self.gate = self.add_weight(
            name="gate",
            shape=(channels,),
            initializer="ones",
            constraint=_Proximal(self.penalty, self.open, self.shrinkage),
        )
        tf.keras.layers.Layer.build(self, input_shape)

    def is_open(self) -> Array:
        """Returns bool, [channels]: what has not been closed for good."""
        return np.asarray(read(self.open)) != 0

    def set_open(self, wanted: Any) -> None:
        """Closes for good and opens; a gate that opens again begins at 1."""
        keep, before = np.asarray(wanted, bool), self.is_open()
        values = np.where(before, self.values(), 1.0)
        write(self.open, keep.astype(np.float32))
        write(self.gate, np.where(keep, values, 0.0).astype(np.float32))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return super().get_config() | {"penalty": self.penalty, "shrinkage": self._initial}


def is_gate(layer: Any) -> bool:
    """Tells whether a layer is one of these."""
    return isinstance(layer, Gate)


class _Proximal(tf.keras.constraints.Constraint):
    """The proximal step of a penalty on numbers from 0, and 0 for what is closed."""

    def __init__(self, penalty: str, is_open: Any, shrinkage: Any):
        self._penalty, self._open, self._shrinkage = penalty, is_open, shrinkage

    def __call__(self, value: tf.Tensor) -> tf.Tensor:
        shrinkage = tf.cast(self._shrinkage, value.dtype)
        if self._penalty == "l1":
            kept = tf.nn.relu(value - shrinkage)
        else:
            kept = tf.where(value > tf.sqrt(2 * shrinkage), value, tf.zeros_like(value))
        return kept * tf.cast(self._open, value.dtype)


def _channels(layer: Any, input_shape: Any) -> int:
    size = input_shape[-1]
    if size is None:
        raise ValueError(
            f"{layer.name} has a gate for each channel, the last axis, whose size must be known. "
            f"Received inputs of shape {tuple(input_shape)}."
        )
    return int(size)
