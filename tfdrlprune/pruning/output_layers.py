"""Output layers: whose units are a network's outputs, such as one action's value each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfdrlprune._tf import tf


def output_layers(module: tf.Module) -> list[Any]:
    """Returns the layers that a network is known to end in; empty where that is not known.

    Of a functional Keras model they are the last layers with weights before each output. A
    TF-Agents network may name its own as ``output_layers``; the layers of a projection network,
    which give a distribution's mean and deviation, are outputs too.
    """
    if getattr(module, "_is_graph_network", False):  # private in Keras 2 (2.21)
        return list(_before(tf.nest.flatten(module.outputs)))
    named = list(getattr(module, "output_layers", ()))
    for each in module.submodules:
        if type(each).__name__.endswith("ProjectionNetwork"):
            named += [layer for layer in each.submodules if hasattr(layer, "kernel")]
    return named


def _before(tensors: list[Any]) -> Iterator[Any]:
    """Returns the nearest layers with weights that the tensors come from."""
    for tensor in tensors:
        layer, node, _ = tensor._keras_history
        if hasattr(layer, "kernel") or hasattr(layer, "cell"):
            yield layer
        else:
            yield from _before(list(layer.inbound_nodes[node].keras_inputs))
