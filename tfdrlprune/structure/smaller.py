"""The smaller model: layers made anew with fewer units, slices copied, constants in the biases."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.structure.calls import from_config, rebuilt
from tfdrlprune.structure.graph import Graph
from tfdrlprune.structure.identities import Array
from tfdrlprune.structure.liveness import Use
from tfdrlprune.structure.rules import rule_of


def smaller(graph: Graph, uses: list[Use], removed: Array) -> Any:
    """Returns the graph's model without some units.

    Args:
        graph: of the model.
        uses: of the same graph: what the units that go leave behind in biases.
        removed: numbers of the units.
    """
    moved = _moved(uses, removed)
    shapes = _reshaped(graph, removed)

    def make(layer: Any) -> Any:
        changes: dict[str, Any] = {}
        width = rule_of(layer).width
        if width is not None and layer.name in graph.made:
            changes[width] = int((~np.isin(graph.made[layer.name], removed)).sum())
        if layer.name in moved:
            changes["use_bias"] = True
        if layer.name in shapes:
            changes["target_shape"] = shapes[layer.name]
        return from_config(layer, changes)

    model = rebuilt(graph.model, make)
    weights = _weights(graph, moved, removed)
    for layer in model.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    return model


def _moved(uses: list[Use], removed: Array) -> dict[str, Array]:
    """Returns what the biases of layers take over, [columns], by the layer's name."""
    found: dict[str, Array] = {}
    for use in uses:
        constants = np.where(np.isin(use.read.rows, removed), use.folded, np.nan)
        total = np.nan_to_num(constants) @ use.read.weights
        if total.any():
            name = use.read.layer.name
            found[name] = found.get(name, 0) + total
    return found


def _weights(graph: Graph, moved: dict[str, Array], removed: Array) -> dict[str, list[Array]]:
    found: dict[str, list[Array]] = {}
    for layer in graph.layers():
        weights = layer.get_weights()
        slices = [axis for axis in graph.axes if axis.layer == layer.name]
        cuts = [(axis.index, axis.axis, np.isin(axis.units, removed)) for axis in slices]
        if layer.name in moved:
            bias = _bias(layer)
            columns = _columns(graph, layer)
            if bias is None:
                weights.append(_empty_bias(layer, len(columns)))
                index = len(weights) - 1
                cuts.append((index, weights[index].ndim - 1, np.isin(columns, removed)))
            else:
                index = next(i for i, each in enumerate(layer.weights) if each is bias)
            added = weights[index].astype(np.float64)
            # A GRU may have a second bias, of the recurrent kernel: the first is the input's.
            (added if added.ndim == 1 else added[0])[:] += moved[layer.name]
            weights[index] = added.astype(weights[index].dtype)
        for index, axis, gone in cuts:
            weights[index] = np.compress(~gone, weights[index], axis=axis)
        if weights:
            found[layer.name] = weights
    return found


def _bias(layer: Any) -> Any:
    return getattr(layer, "cell", layer).bias


def _columns(graph: Graph, layer: Any) -> Array:
    """Returns the unit of each of a layer's outputs, gates side by side."""
    made = graph.made[layer.name]
    size = int(layer.weights[-1].shape[-1])  # without a bias, the last kernel's columns
    return np.tile(made, size // len(made))


def _empty_bias(layer: Any, columns: int) -> Array:
    rows = (2,) if getattr(getattr(layer, "cell", layer), "reset_after", False) else ()
    return np.zeros((*rows, columns), layer.weights[-1].dtype.as_numpy_dtype)


def _reshaped(graph: Graph, removed: Array) -> dict[str, list[int]]:
    """Returns the new target shapes of Reshape layers, by name."""
    found: dict[str, list[int]] = {}
    for call in graph.calls:
        if type(call.layer).__name__ == "Reshape" and not rule_of(call.layer).why_not(call):
            left = ~np.isin(graph.units_in(call.outputs[0]), removed)
            axes = range(left.ndim)
            found[call.layer.name] = [
                int(left.any(axis=tuple(set(axes) - {axis})).sum()) for axis in axes
            ]
    return found
