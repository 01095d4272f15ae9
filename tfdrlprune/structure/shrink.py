"""Shrinking: units are taken out of a model, and what is left is proved to do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import copied
from tfdrlprune.structure.folding import fold, fold_cells
from tfdrlprune.structure.graph import Graph, groups_of
from tfdrlprune.structure.liveness import Use, facts_of, live_units
from tfdrlprune.structure.probe import given_inputs, with_states
from tfdrlprune.structure.proof import prove
from tfdrlprune.structure.smaller import cut_of, smaller


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A smaller model, and how it came about.

    Attributes:
        model: functional, with layers of its own under the same names.
        removed: indices of the units that went, by group; groups that lost none are left out.
        kept: likewise, of units that were to go, or are constant, and stay closed.
        widths: units of each layer before and after, by its name; layers that kept all are left
            out.
        parameters_before: numbers in all weights of the model, fixed ones too.
        parameters_after: those of the smaller model.
        deviation: largest difference of an output from the masked model's.
        exact: whether all that went was zeros: terms that are zero were left out of sums, so that
            the two models are equal but for the order in which the machine adds. Otherwise
            constants moved into biases, or gates into weights, which round.
        messages: sentences on which units stay, and why.
        unused_inputs: indices of the features, in C order, that no unit reads, by the input's name.
    """

    model: Any
    removed: dict[str, Array]
    kept: dict[str, Array]
    widths: dict[str, tuple[int, int]]
    parameters_before: int
    parameters_after: int
    deviation: float
    exact: bool
    messages: tuple[str, ...]
    unused_inputs: dict[str, Array]


def shrink(
    model: Any,
    remove: Mapping[str, Any] | None = None,
    observations: Any = None,
    *,
    states: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Shrunk:
    """Returns a model without some of its units that gives what the model gives with those closed.

    A unit is closed when all that makes it is zero, in every gate and in all layers of its group:
    incoming weights and biases, and what normalisations and depthwise filters add. What it then
    puts out is a constant, the activation at zero; where that is not zero, the bias of the layer
    that reads it takes it over. Gates that stay become part of the weights beside them. Without
    ``remove``, what goes is what is dead already: units that no output depends on, and units that
    are constant, such as those with a closed gate. One unit of every layer stays.

    Args:
        model: functional; it is left alone.
        remove: for each group, named by one of its layers, the indices of the units that go, as
            `Group.units` counts them. None for those that are dead.
        observations: for the proof beside random inputs; an array, a list of one for each input, or
            a dictionary by the inputs' names. States may be left out, and are then zero.
        states: for each input that is a recurrent state, which begins at zero, the name of the
            output that is its next value; None as `groups_of` takes it. Both become narrower with
            the units.
        seed: of the random inputs.

    Raises:
        TypeError: the model is not functional.
        ValueError: a group is unknown, a unit is not there or may not go, no unit of a layer would
            be left, or the smaller model does not do the same (to 1e-5 of the largest output, where
            that exceeds 1); says which.
    """
    original = groups_of(model, states)
    given = given_inputs(model, with_states(model, observations, original.states))
    chosen = None if remove is None else _chosen(original, remove)
    reference = copied(original.model)
    if chosen is not None:
        _close(groups_of(reference, states), chosen)
    # A gate in a cell is a factor of the cell's columns, of whatever is left of them.
    plain = fold_cells(reference)
    graph = groups_of(plain.model, states)
    uses = facts_of(graph, seed).uses
    live = live_units(uses, ~chosen if chosen is not None else _fixed(graph))
    removed, silent = _removed(graph, live)
    muted = np.array(list(silent.values()), int)
    kept, messages = _kept(graph, uses, live, chosen)
    messages = [*graph.messages(), *messages]
    messages += [f"{name}: nothing that changes comes of it; one unit stays." for name in silent]
    folded = fold(smaller(graph, uses, removed, muted))
    small = folded.model
    messages += [f"{name} stays: no weight beside it can stand for it." for name in folded.stayed]
    return Shrunk(
        small,
        _by_group(graph, removed),
        _by_group(graph, kept),
        _widths(graph, removed),
        original.parameters(),
        small.count_params(),
        prove(reference, small, given, seed, cut_of(graph, removed)),
        plain.exact and folded.exact and _only_zeros(graph, uses, np.union1d(removed, muted)),
        tuple(messages),
        unused_inputs(small, states),
    )


def unused_inputs(model: Any, states: Mapping[str, str] | None = None) -> dict[str, Array]:
    """Returns the features of a functional model's inputs that no unit reads, by input.

    Args:
        model: functional.
        states: as `shrink` takes them; they are no features.

    Returns:
        Indices in C order of one sample; inputs of which all are read are left out.
    """
    graph = groups_of(model, states)
    uses = facts_of(graph, 0).uses
    rows = [use.read.rows[(use.read.strength > 0).any(axis=1)] for use in uses]
    read = np.unique(np.concatenate([np.array([], int), *rows]))
    found: dict[str, Array] = {}
    for call in graph.calls:
        if call.is_input and call.layer.name not in graph.states:
            units = np.ravel(graph.units_in(call.outputs[0]))
            unused = np.flatnonzero(~np.isin(units, read) & ~graph.consumed(units))
            found |= {call.layer.name: unused} if unused.size else {}
    return found


def _chosen(graph: Graph, remove: Mapping[str, Any]) -> Array:
    """Returns [units in the graph], which are to go."""
    chosen = np.zeros(graph.count, bool)
    for name, indices in remove.items():
        group = graph.group(name)
        index = np.asarray(indices)
        size = len(group.units)
        whole = index.dtype.kind in "iu" or not index.size
        if index.ndim != 1 or not whole or ((index < 0) | (index >= size)).any():
            raise ValueError(
                f"Units of {name} are given by their indices, a list of whole numbers from 0 to "
                f"{size - 1}. Received: {indices!r}."
            )
        index = index.astype(int)
        for unit in index:
            if group.reasons[unit]:
                raise ValueError(
                    f"Unit {unit} of {name} cannot go: {group.reasons[unit]}. "
                    "groups_of(model).messages() says which units stay."
                )
        chosen[group.units[index]] = True
    for name, units in graph.made.items():
        if chosen[units].all():
            raise ValueError(
                f"One unit of a layer stays at least. Received: all {len(units)} of {name} are to "
                "go. Leave one, or take the layer out of the model."
            )
    return chosen


def _fixed(graph: Graph) -> Array:
    fixed = np.zeros(graph.count, bool)
    fixed[list(graph.reasons)] = True
    return fixed


def _close(graph: Graph, chosen: Array) -> None:
    """Sets all weights that make units to zero, in the graph's own model."""
    layers = {layer.name: layer for layer in graph.layers()}
    for axis in graph.axes:
        # Without a variance nothing can be divided by its root.
        if axis.role != "reads" and axis.weight != "moving_variance":
            variable = layers[axis.layer].weights[axis.index]
            shape = [-1 if i == axis.axis else 1 for i in range(len(variable.shape))]
            value = variable.numpy()
            variable.assign(np.where(chosen[axis.units].reshape(shape), 0, value))


def _removed(graph: Graph, live: Array) -> tuple[Array, dict[str, int]]:
    """Returns the numbers of the units that go, and of one that stays for the layer's sake."""
    gone = ~live
    silent = {}
    for name, units in graph.made.items():
        if gone[units].all():
            silent[name] = int(units[0])
            gone[units[0]] = False
    made = np.unique(np.concatenate([np.array([], int), *graph.made.values()]))
    return made[gone[made]], silent


def _kept(
    graph: Graph, uses: list[Use], live: Array, chosen: Array | None
) -> tuple[Array, list[str]]:
    """Returns the units that are constant, or are to go, and stay; and what to say of them."""
    movable = np.zeros(graph.count, bool)
    for group in graph.groups:
        movable[group.units[group.free]] = True
    found, messages = np.array([], int), []
    for use in uses:
        still = ~np.isnan(use.constants) & use.needs(live)
        units = np.setdiff1d(use.read.rows[still & movable[use.read.rows]], found)
        found = np.union1d(found, units)
        messages += [
            f"{name}: {_listed(indices)} closed: no bias of {use.read.layer.name} can stand for "
            "the constant, because of padding with zeros, a state, or several calls."
            for name, indices in _by_group(graph, units).items()
        ]
    changing = np.setdiff1d(np.flatnonzero(live & chosen), found) if chosen is not None else found
    messages += [
        f"{name}: {_listed(indices)} closed: what it puts out even so is not the same everywhere."
        for name, indices in _by_group(graph, np.setdiff1d(changing, found)).items()
    ]
    return np.union1d(found, changing), messages


def _listed(indices: Array) -> str:
    some = ", ".join(map(str, indices[:10])) + (", ..." if len(indices) > 10 else "")
    return f"unit {some} stays" if len(indices) == 1 else f"{len(indices)} units ({some}) stay"


def _by_group(graph: Graph, removed: Array) -> dict[str, Array]:
    found = {g.name: np.flatnonzero(np.isin(g.units, removed)) for g in graph.groups}
    return {name: indices for name, indices in found.items() if indices.size}


def _widths(graph: Graph, removed: Array) -> dict[str, tuple[int, int]]:
    found = {n: (len(u), int((~np.isin(u, removed)).sum())) for n, u in graph.made.items()}
    return {name: widths for name, widths in found.items() if widths[0] != widths[1]}


def _only_zeros(graph: Graph, uses: list[Use], removed: Array) -> bool:
    kept = np.ones(graph.count, bool)
    kept[removed] = False
    for use in uses:
        read = ~kept[use.read.rows] & (use.read.strength[:, kept[use.read.columns]] > 0).any(axis=1)
        if (use.folded[read] != 0).any():
            return False
    return True
