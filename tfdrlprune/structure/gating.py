"""Gating: a model with a gate behind every group of units that may go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.structure.calls import Call, from_config, rebuilt, set_weights, weights_of
from tfdrlprune.structure.gates import Gate, LearntGate, is_gate
from tfdrlprune.structure.graph import Graph, Group, groups_of
from tfdrlprune.structure.rules import follows_units, rule_of

_SUFFIX = "_gate"


@dataclass(frozen=True, eq=False)
class Gated:
    """A model with gates, which gives what the one that it was made of gives as long as they are 1.

    Attributes:
        model: functional, with layers of its own.
        gates: name of each group's gate, by the group's name.
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
    """Returns a model with a gate behind every group of units that may go.

    A gate stands behind its layer's own normalisation and activation, where a closed unit is 0.
    Layers whose units go together, as in a residual block, share one gate, called behind each.

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
    if any(is_gate(layer) for layer in graph.layers()):
        raise ValueError(
            "The model has gates already. Fold them first: shrink(model).model has none."
        )
    wanted = graph.groups if layers is None else [graph.group(name) for name in layers]
    taken = {layer.name for layer in graph.layers()}
    behind: dict[int, Any] = {}
    gates, messages = {}, []
    for group in wanted:
        reason = _why_not(graph, group)
        if reason:
            messages.append(f"{group.name} has no gate: {reason}.")
            continue
        name = _unique(group.name + _SUFFIX, taken)
        gate = Gate(name=name) if penalty is None else LearntGate(penalty, shrinkage, name=name)
        gates[group.name] = name
        behind |= {id(tensor): gate for tensor in _places(graph, group)}
    if not gates:
        raise ValueError(
            "No group of units can have a gate. " + (" ".join(messages) or "The model makes none.")
        )
    copy = rebuilt(graph.model, lambda layer: from_config(layer, {}), behind=behind)
    given = weights_of(graph.model)
    set_weights(copy, {layer.name: layer.get_weights() for layer in copy.layers} | given)
    return Gated(copy, gates, tuple(messages))


def _why_not(graph: Graph, group: Group) -> str:
    """Returns why one gate cannot close a group's units, or nothing where it can."""
    if not group.free.any():
        return next(reason for reason in group.reasons if reason)
    makers = [layer for layer in graph.layers() if layer.name in group.layers]
    recurrent = [layer.name for layer in makers if hasattr(layer, "cell")]
    if recurrent:
        return (
            f"the units of {', '.join(recurrent)} read each other at every step, which a gate "
            "behind the layer does not stop; prune them by PruningCallback(granularity='unit')"
        )
    if any(not np.array_equal(graph.made[name], group.units) for name in group.layers):
        return "its layers have its units in different orders, or not all of them"
    return ""


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
