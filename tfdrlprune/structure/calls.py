"""Calls: how a functional Keras model applies its layers, and the model built anew of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np


@dataclass(frozen=True, eq=False)
class Call:
    """One application of a layer.

    Attributes:
        layer: that is applied; a shared layer has several calls.
        node: Keras's record of it.
        inputs: the symbolic tensors that go in, those of keyword arguments too.
        outputs: those that come out.
        is_input: whether it only stands for one of the model's inputs.
    """

    layer: Any
    node: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    is_input: bool


def calls_of(model: Any) -> list[Call]:
    """Returns the calls of a functional model, each after those that its inputs come from.

    Raises:
        TypeError: the model is not functional.
    """
    _check_functional(model)
    found: list[Call] = []
    seen: set[int] = set()
    # Without recursion: a deep network has more layers than Python has stack.
    pending = [(_node_of(tensor), False) for tensor in reversed(tf.nest.flatten(model.outputs))]
    # An input that nothing reads is part of the model all the same.
    pending += [(_node_of(tensor), False) for tensor in reversed(tf.nest.flatten(model.inputs))]
    while pending:
        node, inputs_are_done = pending.pop()
        if inputs_are_done:
            found.append(_call(node))
        elif id(node) not in seen:
            seen.add(id(node))
            pending.append((node, True))
            pending += [(_node_of(tensor), False) for tensor in reversed(node.keras_inputs)]
    return found


def rebuilt(
    model: Any,
    make: Callable[[Any], Any],
    passed: Mapping[str, int] | None = None,
    *,
    behind: Mapping[int, Any] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Any:
    """Returns a functional model of the same calls and names, with layers of its own.

    Args:
        model: functional.
        make: from each of the model's layers, but the inputs, to the new one.
        passed: names of layers that are left out; which of its inputs is passed on instead.
        behind: layers that are put in, by the id of the model's symbolic tensor that they take.
        shapes: of one sample of inputs that become others, by name.

    Raises:
        TypeError: the model is not functional.
    """
    tensors: dict[int, Any] = {}
    layers: dict[int, Any] = {}

    def new(tensor: Any) -> Any:
        return tensors.get(id(tensor), tensor)

    for call in calls_of(model):
        if call.is_input:
            outputs = _input(call.layer, (shapes or {}).get(call.layer.name))
        elif passed and call.layer.name in passed:
            outputs = new(call.inputs[passed[call.layer.name]])
        else:
            if id(call.layer) not in layers:
                layers[id(call.layer)] = make(call.layer)
            layer = layers[id(call.layer)]
            arguments = tf.nest.map_structure(new, (call.node.call_args, call.node.call_kwargs))
            outputs = new(call.inputs[0]) if layer is None else layer(*arguments[0], **arguments[1])
        for old, fresh in zip(call.outputs, tf.nest.flatten(outputs), strict=True):
            more = (behind or {}).get(id(old))
            tensors[id(old)] = fresh if more is None else more(fresh)
    inputs, outputs = (tf.nest.map_structure(new, each) for each in (model.input, model.output))
    return tf.keras.Model(inputs, outputs, name=model.name)


def copied(model: Any) -> Any:
    """Returns a functional model with the same weights in layers of its own."""
    copy = rebuilt(model, lambda layer: from_config(layer, {}))
    set_weights(copy, weights_of(model))
    return copy


def weights_of(model: Any) -> dict[str, list[Any]]:
    """Returns the arrays of each layer's weights, in the order of ``layer.weights``, by name."""
    return {call.layer.name: call.layer.get_weights() for call in calls_of(model)}


def set_weights(model: Any, weights: Mapping[str, list[Any]]) -> None:
    """Gives a functional model's layers the weights that are kept under their names."""
    for layer in model.layers:
        layer.set_weights(weights[layer.name])


def from_config(layer: Any, changes: dict[str, Any]) -> Any:
    """Returns a new layer of the same kind and name, with some of its config changed."""
    return type(layer).from_config(layer.get_config() | changes)


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Returns the shape of one sample of a symbolic tensor; 1 stands for sizes not known."""
    return tuple(1 if size is None else int(size) for size in tensor.shape[1:])


def array_of(variable: Any) -> np.ndarray[Any, Any]:
    """Returns a variable's value as float64."""
    return np.asarray(variable.numpy(), np.float64)


def rebuilt_inputs(model: Any) -> Any:
    """Returns new symbolic inputs of a functional model, nested as its own."""
    return tf.nest.map_structure(lambda each: _input(each._keras_history[0], None), model.input)


def is_functional(model: Any) -> bool:
    """Tells whether something is a functional Keras model, whose calls are known."""
    # Private in Keras 2 (2.21): a Sequential that is built has it too.
    return isinstance(model, tf.keras.Model) and bool(getattr(model, "_is_graph_network", False))


def _input(layer: Any, changed: tuple[int, ...] | None) -> Any:
    config = layer.get_config()
    size, *own = config["batch_input_shape"]
    shape = own if changed is None else changed
    return tf.keras.Input(shape, batch_size=size, name=config["name"], dtype=config["dtype"])


def _node_of(tensor: Any) -> Any:
    # Private in Keras 2 (2.21), as in pruning.output_layers.
    layer, node, _ = tensor._keras_history
    return layer.inbound_nodes[node]


def _call(node: Any) -> Call:
    outputs = tuple(tf.nest.flatten(node.outputs))
    return Call(node.layer, node, tuple(node.keras_inputs), outputs, node.is_input)


def _check_functional(model: Any) -> None:
    if not is_functional(model):
        raise TypeError(
            "Units are found in a functional Keras model, whose calls are known. Received: "
            f"{type(model).__name__}. Build it with tf.keras.Model(inputs, outputs); a TF-Agents "
            "network goes through policies.from_network(...).model."
        )
