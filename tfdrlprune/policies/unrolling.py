"""Recurrent cells as layers that make one step: the state is an input, and the next an output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import stable_name, tf

from tfdrlprune.policies.refusal import refusal
from tfdrlprune.specs import ArraySpec

# Unrolled, a step is plain operations, which every target has and every precision can hold.
_LAYERS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
_OPTIONS = ("units", "activation", "recurrent_activation", "use_bias", "reset_after")


class Unrolled:
    """The steps of some cells, and the states that go into and come out of them.

    Leaves of the state are named ``state_0``, ``state_1`` and so on, in the order of the cells; an
    LSTM's are its output and its cell state. The model's outputs add ``next_`` to that.

    Args:
        cells: Keras cells, built, in the order in which they are applied.

    Attributes:
        inputs: Keras inputs for the state's leaves.
        names: of all of these.

    Raises:
        ValueError: a cell is of another kind than Keras' LSTM, GRU and simple ones.
    """

    def __init__(self, cells: list[Any]):
        for cell in cells:
            if type(cell).__name__ not in _LAYERS:
                raise refusal(cell, "known are the cells of LSTM, GRU and SimpleRNN")
        self.inputs = [
            tf.keras.Input((int(size),), name=f"state_{index}")
            for index, size in enumerate(
                size for cell in cells for size in tf.nest.flatten(cell.state_size)
            )
        ]
        self._first: dict[int, int] = {}
        count = 0
        for cell in cells:
            self._first[id(cell)] = count
            count += _leaf_count(cell)
        self._outputs: dict[int, Any] = {}
        self.names = {name for each in self.inputs for name in (each.name, f"next_{each.name}")}

    @property
    def outputs(self) -> list[Any]:
        """Tensors of the next state's leaves, as far as `step` has made them."""
        return [self._outputs[index] for index in sorted(self._outputs)]

    def step(self, cell: Any, value: Any, unique: Callable[[str], str]) -> Any:
        """Returns the cell's output for a tensor [batch, features]."""
        if value.shape.rank != 2:
            shape = tuple(value.shape[1:])
            raise refusal(cell, f"it takes one axis of features, and its input has {shape}")
        first = self._first[id(cell)]
        states = self.inputs[first : first + _leaf_count(cell)]
        config = {key: each for key, each in cell.get_config().items() if key in _OPTIONS}
        layer = getattr(tf.keras.layers, _LAYERS[type(cell).__name__])(
            **config, unroll=True, return_state=True, name=unique(stable_name(cell))
        )
        one = tf.keras.layers.Reshape((1, value.shape[1]), name=unique("one_step"))(value)
        output, *following = layer(one, initial_state=states)
        layer.set_weights(cell.get_weights())
        for index, (state, each) in enumerate(zip(states, following, strict=True), first):
            named = tf.keras.layers.Activation("linear", name=f"next_{state.name}")
            self._outputs[index] = named(each)
        return output


def _leaf_count(cell: Any) -> int:
    return len(tf.nest.flatten(cell.state_size))


def state_spec(model: Any) -> tuple[ArraySpec, ...] | None:
    """Returns the specs of a model's state, of the inputs that `Unrolled` names; None without."""
    inputs = {tensor.name: tensor for tensor in model.inputs}
    following = [name.removeprefix("next_") for name in model.output_names[1:]]
    if not following:
        return None
    return tuple(ArraySpec(name, tuple(inputs[name].shape[1:]), "float32") for name in following)
