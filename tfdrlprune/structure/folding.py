"""Folding: the numbers of gates become part of the weights beside them, and the gates go.

Those in the cells of recurrent layers become part of the cells' own columns, always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, calls_of, from_config, rebuilt, set_weights, weights_of
from tfdrlprune.structure.forwarding import IDLE, forwarded, is_homogeneous, is_linear
from tfdrlprune.structure.gated_recurrence import (
    gated_weights,
    gates_of,
    is_gated_recurrence,
    without_gate,
)
from tfdrlprune.structure.gates import is_gate
from tfdrlprune.structure.rules import makers, rule_of


@dataclass(frozen=True, eq=False)
class Folded:
    """A model whose gates have become weights.

    Attributes:
        model: functional, with layers of its own.
        gone: names of the gates that went.
        stayed: names of those that no weight beside them can stand for.
        exact: whether the numbers were all 1 or 0, so that no weight was rounded.
    """

    model: Any
    gone: tuple[str, ...]
    stayed: tuple[str, ...]
    exact: bool


def fold(model: Any) -> Folded:
    """Returns a model that gives the same without its gates.

    A gate goes into the layer that makes its units where only activations lie between that let a
    factor through, such as ReLU; else into those that read them. One in a cell goes into the cell.

    Raises:
        TypeError: the model is not functional.
    """
    exact = _rounds_nothing(gates_of(model).values())
    cells = fold_cells(model)
    model, gone = cells.model, list(cells.gone)
    gates = {layer.name: layer for layer in model.layers if is_gate(layer)}
    names = list(gates)
    for name in names:
        weights = _backward(model, name)
        if weights is not None:
            model = _without(model, [name], weights)
            gone.append(name)
    affine = {
        name: (gates[name].values().astype(np.float64), np.zeros(1))
        for name in names
        if name not in gone
    }
    weights = forwarded(model, affine)
    if affine:
        model = _without(model, list(affine), weights)
        gone += affine
    return Folded(model, tuple(gone), tuple(name for name in names if name not in gone), exact)


def fold_cells(model: Any) -> Folded:
    """Returns a model that gives the same without gates in recurrent cells; itself if it has none.

    Raises:
        TypeError: the model is not functional.
    """
    layers = {call.layer.name: call.layer for call in calls_of(model)}
    gated = {name: layer for name, layer in layers.items() if is_gated_recurrence(layer)}
    if not gated:
        return Folded(model, (), (), True)

    def make(layer: Any) -> Any:
        return without_gate(layer) if layer.name in gated else from_config(layer, {})

    plain = rebuilt(model, make)
    own = {name: gated_weights(layer) for name, layer in gated.items()}
    set_weights(plain, weights_of(model) | own)
    gates = [layer.gate for layer in gated.values()]
    return Folded(plain, tuple(gate.name for gate in gates), (), _rounds_nothing(gates))


def _rounds_nothing(gates: Iterable[Any]) -> bool:
    return all(np.isin(gate.values(), (0.0, 1.0)).all() for gate in gates)


def _without(model: Any, names: Sequence[str], weights: dict[str, list[Array]]) -> Any:
    small = rebuilt(model, lambda layer: from_config(layer, {}), dict.fromkeys(names, 0))
    set_weights(small, weights_of(model) | weights)
    return small


def _backward(model: Any, name: str) -> dict[str, list[Array]] | None:
    """Returns the weights of the layers before a gate that stand for it; None if none can."""
    calls = calls_of(model)
    makers_of = {id(tensor): call for call in calls for tensor in call.outputs}
    takers = Counter(id(tensor) for call in calls for tensor in call.inputs)
    takers.update(id(tensor) for tensor in tf.nest.flatten(model.outputs))
    times = Counter(id(call.layer) for call in calls)
    own = [call for call in calls if call.layer.name == name]
    values = own[0].layer.values().astype(np.float64)
    if name in model.output_names or (values < 0).any():
        return None
    found: list[Any] = []
    for call in own:
        layer = _source(call.inputs[0], makers_of, takers)
        if layer is None:
            return None
        found.append(layer)
    if any(times[id(layer)] != sum(each is layer for each in found) for layer in found):
        return None
    return {layer.name: _scaled(layer, values) for layer in found}


def _source(tensor: Any, makers_of: dict[int, Call], takers: Counter[int]) -> Any:
    """Returns the layer before a gate whose weights can stand for it; None without one."""
    while takers[id(tensor)] == 1:
        call = makers_of[id(tensor)]
        layer, kind = call.layer, type(call.layer).__name__
        if kind == "BatchNormalization":
            complete = layer.gamma is not None and layer.beta is not None
            return layer if complete and not rule_of(layer).why_not(call) else None
        if isinstance(rule_of(layer), makers.Maker) and not rule_of(layer).why_not(call):
            return layer if is_homogeneous(layer) else None
        passes = kind in IDLE or kind in ("ReLU", "LeakyReLU") or kind == "Activation"
        if not passes or not (kind in IDLE or is_linear(layer) or is_homogeneous(layer)):
            return None
        tensor = call.inputs[0]
    return None


def _scaled(layer: Any, values: Array) -> list[Array]:
    """Returns a layer's weights with each unit's times a number."""
    bases: tuple[Any, ...]
    if type(layer).__name__ == "BatchNormalization":
        bases = (layer.gamma, layer.beta)
    else:
        last = getattr(layer, "pointwise_kernel", None)
        bases = (layer.kernel if last is None else last, layer.bias)
    rule = rule_of(layer)
    weights = []
    for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
        if any(variable is base for base in bases):
            axis = rule.makes_axis if isinstance(rule, makers.Maker) and value.ndim > 1 else -1
            shape = [1] * value.ndim
            shape[axis] = -1
            weights.append((value * values.reshape(shape)).astype(value.dtype))
        else:
            weights.append(value)
    return weights
