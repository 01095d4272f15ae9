"""Recurrent layers with a gate in their cell, where a unit that is closed stays at zero.

A gate behind such a layer closes nothing: the cell goes on reading what its unit put out the step
before. So the gate stands where a unit's new value is made. Of the cell's sums, which are laid side
by side, it multiplies the candidate's, before the activation:

    LSTM        c' = f * c + i * tanh(gate * (x Wc + h Uc + bc)),  h' = o * tanh(c')
    GRU         h' = z * h + (1 - z) * tanh(gate * (x Wh + r * (h Uh) + bh)), or (r * h) Uh
    SimpleRNN   h' = tanh(gate * (x W + h U + b))

With the gate at 0, and an activation that is 0 at 0, nothing is ever added to a state that begins
at zero; the unit is zero at every step, and so is every gradient of what reads it. The gate itself
has a gradient there. With any other number the gate is a factor of the candidate's columns, and
goes into them for good.
"""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.structure.gates import Array, Gate, is_gate

_WEIGHTS = ("kernel", "recurrent_kernel", "bias")


class _GatedRecurrence:
    """What the three layers have in common; each is that of Keras, with a gate.

    Args:
        units: as of Keras's layer, as are the others.
        gate: `Gate` or `LearntGate`, whose channels are the units; None for a fixed one.

    Raises:
        ValueError: the activation is not 0 at 0, so that nothing would close.
    """

    def __init__(self, units: int, gate: Gate | None = None, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)  # type: ignore[call-arg]
        reason = why_no_zero(self)
        if reason:
            raise ValueError(f"A gate closes no unit of {self.name}: {reason}. Use tanh or relu.")
        self.gate = Gate(name=f"{self.name}_gate") if gate is None else gate

    name: str
    cell: Any
    units: int

    def build(self, input_shape: Any) -> None:
        """Makes the cell's weights, and the gates."""
        super().build(input_shape)  # type: ignore[misc]
        if not self.gate.built:
            with tf.name_scope(self.gate.name):
                self.gate.build((None, self.units))

    def call(
        self, inputs: Any, mask: Any = None, training: Any = None, initial_state: Any = None
    ) -> Any:
        """Returns what Keras's layer does with the candidate's columns times the gates."""
        cell = self.cell
        own = {name: cell.__dict__[name] for name in _WEIGHTS if cell.__dict__[name] is not None}
        factors = self._factors(own["kernel"])
        # Past Keras's own __setattr__, which tracks what it is given. So every way in which the
        # layer runs its cell, in loops, unrolled or fused, finds the columns scaled, once a call.
        cell.__dict__.update(
            {name: weight * tf.cast(factors, weight.dtype) for name, weight in own.items()}
        )
        try:
            return super().call(  # type: ignore[misc]
                inputs, mask=mask, training=training, initial_state=initial_state
            )
        finally:
            cell.__dict__.update(own)

    def _factors(self, kernel: Any) -> tf.Tensor:
        """Returns [columns]: the gates for the candidate's, and ones."""
        gates = tf.convert_to_tensor(self.gate.gate)
        block, columns = candidate(self), int(kernel.shape[-1])
        before, after = (
            tf.ones((count,), gates.dtype) for count in (block.start, columns - block.stop)
        )
        return tf.concat([before, gates, after], axis=0)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        own: dict[str, Any] = super().get_config()  # type: ignore[misc]
        gate = tf.keras.layers.serialize(self.gate)
        gate.pop("build_config", None)  # its channels are the layer's units, whatever these become
        return own | {"gate": gate}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Returns the layer that `get_config` is of."""
        gate = config.get("gate")
        if isinstance(gate, dict):
            gate = tf.keras.layers.deserialize(gate)
        return cls(**config | {"gate": gate})


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class GatedLSTM(_GatedRecurrence, tf.keras.layers.LSTM):
    """An LSTM with a gate for each unit; see `_GatedRecurrence`."""

    plain = tf.keras.layers.LSTM


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class GatedGRU(_GatedRecurrence, tf.keras.layers.GRU):
    """A GRU with a gate for each unit, whether it resets before or after the product."""

    plain = tf.keras.layers.GRU


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class GatedSimpleRNN(_GatedRecurrence, tf.keras.layers.SimpleRNN):
    """A SimpleRNN with a gate for each unit."""

    plain = tf.keras.layers.SimpleRNN


_KINDS = {"LSTM": GatedLSTM, "GRU": GatedGRU, "SimpleRNN": GatedSimpleRNN}


def is_gated_recurrence(layer: Any) -> bool:
    """Tells whether a layer is one of these."""
    return isinstance(layer, _GatedRecurrence)


def gate_of(layer: Any) -> Any:
    """Returns the gate that a layer is, or has in its cell; None without one."""
    if is_gated_recurrence(layer):
        return layer.gate
    return layer if is_gate(layer) else None


def gates_of(model: Any) -> dict[str, Any]:
    """Returns the gates of a model's layers, and of their cells, by the gate's name."""
    found = (gate_of(layer) for layer in model.layers)
    return {gate.name: gate for gate in found if gate is not None}


def with_gate(layer: Any, gate: Gate) -> Any:
    """Returns a new layer of a recurrent one's config and name, with a gate; not built."""
    return _KINDS[type(layer).__name__].from_config(layer.get_config() | {"gate": gate})


def without_gate(layer: Any) -> Any:
    """Returns the new layer of Keras's that a gated one is when its gate is in the columns."""
    config = {name: each for name, each in layer.get_config().items() if name != "gate"}
    return layer.plain.from_config(config)


def gated_weights(layer: Any) -> list[Array]:
    """Returns the weights of that layer of Keras's, in the order of ``cell.get_weights()``."""
    factors = np.ones(layer.cell.kernel.shape[-1], np.float32)
    factors[candidate(layer)] = layer.gate.values()
    return [weight * factors.astype(weight.dtype) for weight in layer.cell.get_weights()]


def candidate(layer: Any) -> slice:
    """Returns which columns of a recurrent layer's weights make the candidates of its units."""
    # LSTM: input, forget, candidate, output. GRU: update, reset, candidate.
    first = 0 if "SimpleRNN" in type(layer).__name__ else 2 * layer.units
    return slice(first, first + layer.units)


def why_no_zero(layer: Any) -> str:
    """Returns why a candidate of zero adds something to the state, or nothing where it does not."""
    value = float(layer.activation(tf.zeros((1,)))[0])
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    return f"its activation {name} is {value:g} at 0" if value else ""
