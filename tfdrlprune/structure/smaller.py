"""The smaller model: layers made anew with fewer units, slices copied, constants in the biases."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import from_config, rebuilt, set_weights, weights_of
from tfdrlprune.structure.graph import Graph
from tfdrlprune.structure.liveness import Use
from tfdrlprune.structure.proof import Cut
from tfdrlprune.structure.rules import rule_of


def smaller(graph: Graph, uses: list[Use], removed: Array, silent: Array) -> Any:
    """Returns the graph's model without some units.

    Args:
        graph: of the model.
        uses: of the same graph: what the units that go leave behind in biases.
        removed: numbers of the units.
        silent: numbers of units that stay because a layer has to have one, and that nobody reads
            any more.
    """
    moved = _moved(uses, np.union1d(removed, silent))
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

    model = rebuilt(graph.model, make, shapes=_narrower(graph, removed))
    set_weights(model, _weights(graph, moved, removed, silent))
    return model


def cut_of(graph: Graph, removed: Array) -> Cut:
    """Returns what is left of the states, in the order of inputs and outputs."""
    model = graph.model
    inputs, outputs = (
        {
            index: ~np.isin(graph.units_in(tensor), removed)
            for index, (name, tensor) in enumerate(zip(names, tensors, strict=True))
            if name in chosen
        }
        for names, tensors, chosen in (
            (model.input_names, model.inputs, set(graph.states)),
            (model.output_names, model.outputs, set(graph.states.values())),
        )
    )
    return Cut(inputs, outputs)


def _narrower(graph: Graph, removed: Array) -> dict[str, tuple[int, ...]]:
    """Returns the new shapes of states, by the input's name."""
    kept = cut_of(graph, removed).inputs
    return {graph.model.input_names[index]: (int(each.sum()),) for index, each in kept.items()}


def _moved(uses: list[Use], removed: Array) -> dict[str, Array]:
    """Returns what the biases of layers take over, [columns], by the layer's name."""
    found: dict[str, Array] = {}
    for use in uses:
        constants = np.where(np.isin(use.read.rows, removed), use.folded, np.nan)
        total = np.nan_to_num(constants) @ use.read.weights
        total[np.isin(use.read.columns, removed)] = 0  # no bias for the sake of these
        if total.any():
            name = use.read.layer.name
            found[name] = found.get(name, 0) + total
    return found


def _weights(
    graph: Graph, moved: dict[str, Array], removed: Array, silent: Array
) -> dict[str, list[Array]]:
    """Returns what the weights of each layer are in the smaller model, by its name."""
    found = weights_of(graph.model)
    for axis in graph.axes:
        if axis.role == "reads":
            unread = np.isin(axis.units, silent)
            np.moveaxis(found[axis.layer][axis.index], axis.axis, 0)[unread] = 0
    # While all columns are there: then they are cut like any others.
    cuts = [(a.layer, a.index, a.axis, np.isin(a.units, removed)) for a in graph.axes]
    for layer in graph.layers():
        if layer.name in moved:
            weights, columns = found[layer.name], _columns(graph, layer)
            index = _bias_index(layer)
            if index == len(weights):
                weights.append(_empty_bias(layer, len(columns)))
                gone = np.isin(columns, removed)
                cuts.append((layer.name, index, weights[index].ndim - 1, gone))
            added = weights[index].astype(np.float64)
            # A GRU may have a second bias, of the recurrent kernel: the first is the input's.
            (added if added.ndim == 1 else added[0])[:] += moved[layer.name]
            weights[index] = added.astype(weights[index].dtype)
    for name, index, axis_number, gone in cuts:
        kept = np.flatnonzero(~gone)
        found[name][index] = np.take(found[name][index], kept, axis=axis_number)
    return found


def _bias_index(layer: Any) -> int:
    """Returns the place of a layer's bias among its weights; the end where it has none."""
    bias = getattr(layer, "cell", layer).bias
    places = (i for i, each in enumerate(layer.weights) if each is bias)
    return next(places, len(layer.weights))


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
