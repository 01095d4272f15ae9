"""Group scores: how much each unit of a dependency graph matters; the lowest go first.

A unit has a slice of every kernel that makes, follows or reads it. Each slice has a score, and the
unit that of all of them: their "mean", "max" or "sum" (Fang et al. 2023, "DepGraph"). Biases and
normalisations are not scored: a slice of one number would weigh as much as a whole column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfdrlprune.recipe.checks import check_choice
from tfdrlprune.specs import Array
from tfdrlprune.structure.graph import Axis, Graph, Group

AGGREGATES: dict[str, Callable[[Array], Array]] = {
    "mean": lambda slices: np.mean(slices, axis=0),
    "max": lambda slices: np.max(slices, axis=0),
    "sum": lambda slices: np.sum(slices, axis=0),
}


def l1(graph: Graph, aggregate: str = "mean") -> dict[str, Array]:
    """Returns the sums of |w| over each slice, aggregated; [units] by group.

    Li et al. 2017, "Pruning Filters for Efficient ConvNets".

    Args:
        graph: of the model.
        aggregate: "mean", "max" or "sum".

    Raises:
        ValueError: the aggregate is none of them.
    """
    weights = _weights(graph)
    return _aggregated(graph, aggregate, lambda axis, ids: _sum(np.abs(weights(axis)), axis, ids))


def l2(graph: Graph, aggregate: str = "mean") -> dict[str, Array]:
    """Returns the norms of each slice, aggregated as in `l1`."""
    weights = _weights(graph)
    return _aggregated(
        graph, aggregate, lambda axis, ids: np.sqrt(_sum(weights(axis) ** 2, axis, ids))
    )


def mean_magnitude(graph: Graph, aggregate: str = "mean") -> dict[str, Array]:
    """Returns the means of |w| over each slice, aggregated as in `l1`.

    Slices of small and of large kernels are then comparable.
    """
    weights = _weights(graph)

    def score(axis: Axis, ids: Array) -> Array:
        total, count = (
            _sum(each, axis, ids) for each in (np.abs(weights(axis)), np.ones_like(weights(axis)))
        )
        return total / np.maximum(1, count)

    return _aggregated(graph, aggregate, score)


def taylor(
    graph: Graph, gradients: Mapping[str, Sequence[Any]], aggregate: str = "mean"
) -> dict[str, Array]:
    """Returns the squares of the sums of w * g over each slice, aggregated as in `l1`.

    What taking the slice away does to the loss, to first order, squared (Molchanov et al. 2019,
    "Importance Estimation for Neural Network Pruning").

    Args:
        graph: of the model.
        gradients: of each layer that has a unit's slice, arrays in the order of ``layer.weights``,
            by the layer's name; None for weights that are not trained.
        aggregate: "mean", "max" or "sum".

    Raises:
        ValueError: a gradient is missing, or is not shaped as its weight.
    """
    weights = _weights(graph)

    def score(axis: Axis, ids: Array) -> Array:
        value = weights(axis)
        given = gradients.get(axis.layer, ())
        gradient = given[axis.index] if axis.index < len(given) else None
        received = None if gradient is None else np.shape(gradient)
        if received != value.shape:
            raise ValueError(
                f"A gradient of {axis.layer}/{axis.weight} is shaped {value.shape}. Received: "
                f"{received}. Give the gradients of each layer in the order of layer.weights."
            )
        return _sum(value * np.asarray(gradient, np.float64), axis, ids) ** 2

    return _aggregated(graph, aggregate, score)


def activation(
    graph: Graph, activations: Mapping[str, Any], aggregate: str = "mean"
) -> dict[str, Array]:
    """Returns the mean |output| of each unit, aggregated over the layers of its group.

    Args:
        graph: of the model.
        activations: outputs of each layer that makes units, [..., units], by its name.
        aggregate: "mean", "max" or "sum".

    Raises:
        ValueError: a layer's outputs are missing, or have other units than the layer.
    """
    check_choice("aggregate", aggregate, AGGREGATES)
    found = {}
    for group in graph.groups:
        rows = []
        for name in group.layers:
            units, outputs = graph.made[name], np.asarray(activations.get(name, ()), np.float64)
            if outputs.ndim < 2 or outputs.shape[-1] != len(units):
                raise ValueError(
                    f"The activations of {name} are shaped (..., {len(units)}). Received: "
                    f"{outputs.shape if name in activations else 'none'}."
                )
            each = np.abs(outputs).reshape(-1, len(units)).mean(axis=0)
            row = np.full(len(group.units), np.nan)
            ids = np.searchsorted(group.units, units)
            row[ids] = np.bincount(ids, each, len(row))[ids] / np.bincount(ids)[ids]
            rows.append(row)
        found[group.name] = _of_units(np.array(rows), aggregate)
    return found


def _aggregated(
    graph: Graph, aggregate: str, score: Callable[[Axis, Array], Array]
) -> dict[str, Array]:
    """Returns [units] by group, of a function from an axis and its slices' units to [units]."""
    check_choice("aggregate", aggregate, AGGREGATES)
    found = {}
    for group in graph.groups:
        rows = []
        for axis in group.axes:
            if axis.weight.endswith("kernel"):
                ids = _local(group, axis)
                row = np.full(len(group.units), np.nan)
                own = np.unique(ids[ids >= 0])
                row[own] = score(axis, ids)[own]
                rows.append(row)
        found[group.name] = _of_units(np.array(rows), aggregate)
    return found


def _of_units(rows: Array, aggregate: str) -> Array:
    """Returns [units] of [slices, units], where NaN stands for a slice that a unit has not."""
    return np.array(
        [float(AGGREGATES[aggregate](unit[~np.isnan(unit)])) for unit in rows.T], np.float64
    )


def _local(group: Group, axis: Axis) -> Array:
    """Returns the index in the group of each slice's unit, -1 where it is of another group."""
    places = np.minimum(np.searchsorted(group.units, axis.units), len(group.units) - 1)
    return np.where(group.units[places] == axis.units, places, -1)


def _sum(values: Array, axis: Axis, ids: Array) -> Array:
    """Returns the sum of the values in each unit's slice, [units that the ids count]."""
    others = tuple(i for i in range(values.ndim) if i != axis.axis)
    slices = values.sum(axis=others)
    return np.bincount(ids[ids >= 0], slices[ids >= 0])


def _weights(graph: Graph) -> Callable[[Axis], Array]:
    layers = {layer.name: layer.get_weights() for layer in graph.layers()}
    return lambda axis: np.asarray(layers[axis.layer][axis.index], np.float64)
