"""Output layers: whose units are a network's outputs, such as one action's value each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfdrlprune._tf import tf


def output_layers(module: tf.Module) -> list[Any]:
    """Returns the layers that a network is known to end in; empty where that is not known.

    Of a Keras model they are the last layers with weights before each output, of a policy's not
    before its next state. A TF-Agents network may name its own as ``output_layers``; the layers of
    a projection network, which give a distribution's mean and deviation, are outputs too.
    """
    inner = getattr(module, "model", None)
    if isinstance(inner, tf.keras.Model) and _with_weights(module) == _with_weights(inner):
        return output_layers(inner)  # nothing more than a policy's model is in the network
    named = list(getattr(module, "output_layers", ()))
    if isinstance(module, tf.keras.Model) and not named:
        return list(_before(_outputs(module)))
    for each in module.submodules:
        if type(each).__name__.endswith("ProjectionNetwork"):
            named += _with_weights(each)
    return named


def _outputs(model: tf.keras.Model) -> list[Any]:
    """Returns what a model puts out, symbolically; nothing where that cannot be found out."""
    if _is_graph(model):
        states = {f"next_{name}" for name in model.input_names}
        outputs = zip(model.output_names, tf.nest.flatten(model.outputs), strict=True)
        return [tensor for name, tensor in outputs if name not in states]
    if (specs := model.save_spec()) is not None:  # of a subclassed model that was called
        arguments, named = tf.nest.map_structure(_symbol, specs)
        return _called(model, arguments, named)
    shape = getattr(model, "_build_input_shape", None)  # private in Keras 2 (2.21)
    return [] if shape is None else _called(model, [tf.keras.Input(batch_shape=shape)], {})


def _symbol(spec: tf.TensorSpec) -> Any:
    return tf.keras.Input(batch_shape=spec.shape, dtype=spec.dtype)


def _called(model: tf.keras.Model, arguments: Any, named: Any) -> list[Any]:
    try:
        return tf.nest.flatten(model.call(*arguments, **named))
    except Exception:  # a user's Python need not take symbols
        return []


def _is_graph(layer: Any) -> bool:
    return bool(getattr(layer, "_is_graph_network", False))  # private in Keras 2 (2.21)


def _before(tensors: Sequence[Any]) -> Iterator[Any]:
    """Returns the nearest layers with weights that the tensors come from."""
    for tensor in tensors:
        if not hasattr(tensor, "_keras_history"):
            continue  # of a model that does not call its layers on what it is given
        layer, number, index = tensor._keras_history
        node = layer.inbound_nodes[number]
        if _is_graph(layer):
            inner = list(_before([tf.nest.flatten(layer.outputs)[index]]))
        elif isinstance(layer, tf.keras.Model):
            inner = list(_before(_called(layer, node.call_args, node.call_kwargs)[index:][:1]))
        else:  # of a wrapper, or a layer made of others, all: which come last is not known
            inner = _with_weights(layer)
        yield from inner or _before(list(node.keras_inputs))


def _with_weights(module: tf.Module) -> list[Any]:
    return [
        each
        for each in (module, *module.submodules)
        if hasattr(each, "kernel") or hasattr(each, "cell")
    ]
