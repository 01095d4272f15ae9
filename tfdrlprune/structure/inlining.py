"""Inlining: models inside a model, and layers applied to every time step, as plain layers.

Units are followed through layers. So a nested model's layers are put in its place, and what
TimeDistributed applies to each step is applied to all at once where that is the same.
"""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.structure.calls import Call, calls_of, from_config, is_functional, rebuilt_inputs
from tfdrlprune.structure.gates import is_gate
from tfdrlprune.structure.proof import prove

# Their own axes are the last ones, so that one more in front of them changes nothing.
_ON_LAST_AXES = (
    *("Dense", "Conv1D", "Conv2D", "Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU"),
    *("Dropout", "GaussianNoise", "GaussianDropout", "Rescaling", "Identity"),
)


def inlined(model: Any) -> Any:
    """Returns a functional model of plain layers that gives the same; itself if it is one.

    A nested model's layer is named by both, joined by ``_``.

    Raises:
        TypeError: the model is not functional.
    """
    calls = calls_of(model)
    if not any(_is_nested(call.layer) or _plain(call) is not None for call in calls):
        return model
    walk = _Walk(set(model.output_names))
    inputs = rebuilt_inputs(model)
    outputs = walk.apply(model, tf.nest.flatten(inputs), "")
    flat = tf.keras.Model(inputs, tf.nest.pack_sequence_as(model.output, outputs), name=model.name)
    for old, new in walk.layers.values():
        new.set_weights(old.get_weights())
    prove(model, flat, None, 0)
    return flat


class _Walk:
    """Applies a model's layers anew, those of nested models in their place.

    Args:
        ends: names of the whole model's outputs, which stay.

    Attributes:
        layers: old and new, by the old one's id.
    """

    def __init__(self, ends: set[str]):
        self.layers: dict[int, tuple[Any, Any]] = {}
        self._ends = ends
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()

    def apply(self, model: Any, inputs: list[Any], prefix: str) -> list[Any]:
        """Returns the outputs of a model's layers for tensors in the place of its inputs."""
        tensors = {
            id(old): new for old, new in zip(tf.nest.flatten(model.inputs), inputs, strict=True)
        }

        def new(tensor: Any) -> Any:
            return tensors.get(id(tensor), tensor)

        for call in calls_of(model):
            if call.is_input:
                continue
            name = self._names.get(id(call.layer), prefix + call.layer.name)
            if _is_nested(call.layer):
                self._keep_end(call.layer, name)
                outputs = self.apply(call.layer, [new(t) for t in call.inputs], f"{name}_")
            else:
                layer = self._layer(call, name)
                arguments = tf.nest.map_structure(new, (call.node.call_args, call.node.call_kwargs))
                outputs = tf.nest.flatten(layer(*arguments[0], **arguments[1]))
            for old, fresh in zip(call.outputs, outputs, strict=True):
                tensors[id(old)] = fresh
        return [new(tensor) for tensor in tf.nest.flatten(model.outputs)]

    def _keep_end(self, nested: Any, name: str) -> None:
        """Gives the layer that a nested model ends in its name, where that is an output's."""
        if name in self._ends and len(nested.outputs) == 1:
            # Private in Keras 2 (2.21), as in `calls`.
            self._names[id(nested.outputs[0]._keras_history[0])] = name

    def _layer(self, call: Call, name: str) -> Any:
        key = id(call.layer)
        if key not in self.layers:
            number, unique = 1, name
            while unique in self._taken:
                unique, number = f"{name}_{number}", number + 1
            self._taken.add(unique)
            plain = _plain(call)
            if plain is None:
                plain = from_config(call.layer, {"name": unique})
            else:
                plain = from_config(plain, {"name": unique})
            self.layers[key] = (call.layer, plain)
        return self.layers[key][1]


def _is_nested(layer: Any) -> bool:
    return is_functional(layer)


def _plain(call: Call) -> Any:
    """Returns the layer that does to all steps what TimeDistributed does to each, or None."""
    if type(call.layer).__name__ != "TimeDistributed" or len(call.inputs) != 1:
        return None
    inner = call.layer.layer
    kind = type(inner).__name__
    if kind in _ON_LAST_AXES or is_gate(inner):
        first = getattr(inner, "data_format", "channels_last") == "channels_first"
        return None if first else inner
    if kind == "BatchNormalization":
        last = [len(call.inputs[0].shape) - 2]
        # Counted from the end, as there is one axis more.
        return from_config(inner, {"axis": [-1]}) if list(inner.axis) == last else None
    shape = tuple(call.outputs[0].shape[1:])
    if kind in ("Flatten", "Reshape") and None not in shape:
        return tf.keras.layers.Reshape(shape)
    return None
