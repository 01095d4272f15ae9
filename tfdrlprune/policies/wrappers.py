"""tfmot's pruning wrappers: found and taken off, their masks applied."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf, tfmot

from tfdrlprune.specs import Array

_NAME = "PruneLowMagnitude"


def is_wrapper(layer: Any) -> bool:
    """Tells whether a layer is tfmot's pruning wrapper; does not import tfmot unless it may be."""
    if type(layer).__name__ != _NAME:
        return False
    tfmot()  # says what to install where it is missing
    # Private module of tfmot 0.8.1, as the class has no public name.
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper

    return isinstance(layer, pruning_wrapper.PruneLowMagnitude)


def is_wrapped(model: Any) -> bool:
    """Tells whether any layer of a Keras model is wrapped."""
    return any(is_wrapper(layer) for layer in model.layers)


def inner(layer: Any) -> tuple[Any, list[Array]]:
    """Returns the layer within a wrapper and its weights; any other layer as it is.

    tfmot's masks act in the forward pass only: between a training step and the next forward pass
    the kernel is dense, so they are applied here.
    """
    if not is_wrapper(layer):
        return layer, layer.get_weights()
    masks = {id(weight): mask for weight, mask, _ in layer.pruning_vars}
    weights = [
        weight.numpy() * (masks[id(weight)].numpy() if id(weight) in masks else 1)
        for weight in layer.layer.weights
    ]
    return layer.layer, weights


def unwrapped(model: Any) -> Any:
    """Returns a copy of a functional or sequential model without wrappers, its masks applied."""

    def plain(layer: Any) -> Any:
        bare, _ = inner(layer)
        return type(bare).from_config(bare.get_config())

    copy = tf.keras.models.clone_model(model, clone_function=plain)
    for old, new in zip(model.layers, copy.layers, strict=True):
        new.set_weights(inner(old)[1])
    return copy
