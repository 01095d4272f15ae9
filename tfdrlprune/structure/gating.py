"""Gating: a model with a gate for every group of units that may go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.structure.calls import (
    Call,
    copied,
    from_config,
    rebuilt,
    set_weights,
    weights_of,
)
from tfdrlprune.structure.gated_recurrence import candidate, gates_of, why_no_zero, with_gate
from tfdrlprune.structure.gates import Gate, LearntGate
from tfdrlprune.structure.graph import Graph, Group, groups_of
from tfdrlprune.structure.liveness import facts_of
from tfdrlprune.structure.rules import follows_units, rule_of

_SUFFIX = "_gate"


@dataclass(frozen=True, eq=False)
class Gated:
    """A model with gates, which gives what the one that it was made of gives as long as they are 1.

    Attributes:
        model: functional, with layers of its own.
        gates: name of each group's gate, by the group's name; `gated_recurrence.gates_of` finds
            them by it, also in the cells of recurrent layers.
        messages: a sentence for each group that has none, and why.
    """

    model: Any
    gates: dict[str, str]
    messages: tuple[str, ...]


def gated(
    model: Any,
    penalty: str | None = None,
    *,
    shrinkage: float = 1e-4,
    layers: Sequence[str] | None = None,
) -> Gated:
    """Returns a model with a gate for every group of units that may go.

    A gate stands behind its layer's own normalisation and activation, where a closed unit is 0.
    Layers whose units go together, as in a residual block, share one gate, called behind each. An
    LSTM, GRU or SimpleRNN has its gate in its cell (see `gated_recurrence`), if its state begins at
    zero; a policy's state does.

    Args:
        model: functional; it is left alone. A policy's goes by
            ``policy.replace(model=gated(policy.model).model)``.
        penalty: None for fixed gates, which `StructuralPruningCallback` closes; "l1" or "l0" for
            trained ones, see `LearntGate`.
        shrinkage: of trained gates.
        layers: groups to gate, each named by one of its layers; None for all.

    Raises:
        TypeError: the model is not functional.
        ValueError: a name or number is out of range, the model has gates, or nothing in it can have
            one; says why.
    """
    graph = groups_of(model)
    if gates_of(graph.model):
        raise ValueError(
            "The model has gates already. Fold them first: shrink(model).model has none."
        )
    wanted = graph.groups if layers is None else [graph.group(name) for name in layers]
    taken = {layer.name for layer in graph.layers()}
    behind: dict[int, Any] = {}
    inside: dict[str, Gate] = {}
    gates, messages = {}, []
    for group in wanted:
        reason = _why_not(graph, group)
        if reason:
            messages.append(f"{group.name} has no gate: {reason}.")
            continue
        name = _unique(group.name + _SUFFIX, taken)
        gate = Gate(name=name) if penalty is None else LearntGate(penalty, shrinkage, name=name)
        gates[group.name] = name
        if _recurrent(graph, group):
            inside[group.name] = gate
        else:
            behind |= {id(tensor): gate for tensor in _places(graph, group)}
    if not gates:
        raise ValueError(
            "No group of units can have a gate. " + (" ".join(messages) or "The model makes none.")
        )
    return Gated(_with_gates(graph.model, behind, inside), gates, tuple(messages))


def _with_gates(model: Any, behind: dict[int, Any], inside: dict[str, Gate]) -> Any:
    """Returns the model with gates behind tensors, by their id, and in cells, by their layer."""

    def make(layer: Any) -> Any:
        gate = inside.get(layer.name)
        return from_config(layer, {}) if gate is None else with_gate(layer, gate)

    copy = rebuilt(model, make, behind=behind)
    given = weights_of(model)
    for name in inside:
        copy.get_layer(name).cell.set_weights(given.pop(name))
    set_weights(copy, {layer.name: layer.get_weights() for layer in copy.layers} | given)
    return copy


def _why_not(graph: Graph, group: Group) -> str:
    """Returns why one gate cannot close a group's units, or nothing where it can."""
    if not group.free.any():
        return next(reason for reason in group.reasons if reason)
    recurrent = _recurrent(graph, group)
    if recurrent:
        reason = _why_not_in_cell(graph, group, recurrent[0])
        remedy = "; prune its units by PruningCallback(granularity='unit')"
        return f"{reason}{remedy}" if reason else ""
    if any(not np.array_equal(graph.made[name], group.units) for name in group.layers):
        return "its layers have its units in different orders, or not all of them"
    return ""


def _recurrent(graph: Graph, group: Group) -> list[Any]:
    """Returns the recurrent layers of a group."""
    return [each for each in graph.layers() if each.name in group.layers and hasattr(each, "cell")]


def _why_not_in_cell(graph: Graph, group: Group, layer: Any) -> str:
    """Returns why a gate in a layer's cell cannot close its units, or nothing where it can."""
    others = [name for name in group.layers if name != layer.name]
    if others:
        return (
            f"a gate in the cell of {layer.name} closes that layer's units alone, and they go "
            f"together with those of {', '.join(others)}"
        )
    if reason := why_no_zero(layer):
        return f"{reason}, so that a closed unit would not stay at zero, as with tanh and relu"
    if not _stays_at_zero(graph, group, layer):
        return (
            f"a closed unit stays at zero where the state begins there, and that of {layer.name} "
            "is given, or goes on, as something else"
        )
    return ""


def _stays_at_zero(graph: Graph, group: Group, layer: Any) -> bool:
    """Tells whether all that a layer puts out is zero without candidates, as `shrink` finds it."""
    closed = copied(graph.model)
    cell = closed.get_layer(layer.name).cell
    weights = cell.get_weights()
    for weight in weights:
        weight[..., candidate(layer)] = 0
    cell.set_weights(weights)
    own = groups_of(closed, graph.states)
    constants = facts_of(own, 0).constants
    free = group.free[np.searchsorted(group.units, graph.made[layer.name])]
    outputs = [t for call in own.calls if call.layer.name == layer.name for t in call.outputs]
    return all(bool((constants[id(tensor)][..., free] == 0).all()) for tensor in outputs)


def _places(graph: Graph, group: Group) -> list[Any]:
    """Returns the symbolic tensors that a group's gate stands behind."""
    takers: dict[int, list[Call]] = defaultdict(list)
    for call in graph.calls:
        for tensor in call.inputs:
            takers[id(tensor)].append(call)
    ends = {id(tensor) for tensor in tf.nest.flatten(graph.model.outputs)}
    found = {}
    for call in graph.calls:
        if call.layer.name in group.layers:
            tensor = call.outputs[0]
            while (
                id(tensor) not in ends
                and len(takers[id(tensor)]) == 1
                and _is_own(takers[id(tensor)][0])
            ):
                tensor = takers[id(tensor)][0].outputs[0]
            found[id(tensor)] = tensor
    return list(found.values())


def _is_own(call: Call) -> bool:
    """Tells whether a layer only normalises or activates what the layer before it makes."""
    return follows_units(call.layer) and not rule_of(call.layer).why_not(call)


def _unique(name: str, taken: set[str]) -> str:
    candidates = [name, *(f"{name}_{number}" for number in range(1, len(taken) + 2))]
    chosen = next(each for each in candidates if each not in taken)
    taken.add(chosen)
    return chosen
