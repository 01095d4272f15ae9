"""Simplifying: layers that do nothing any more are left out, normalisations become weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, calls_of, from_config, rebuilt, set_weights, weights_of
from tfdrlprune.structure.folding import fold, fold_cells
from tfdrlprune.structure.forwarding import IDLE, forwarded, normalisation
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.inlining import inlined
from tfdrlprune.structure.liveness import facts_of
from tfdrlprune.structure.probe import given_inputs
from tfdrlprune.structure.proof import prove

_FOLDABLE = (
    *("Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D"),
    *("SeparableConv1D", "SeparableConv2D"),
)


@dataclass(frozen=True, eq=False)
class Simplified:
    """A model with fewer layers that acts as the one it was made of.

    Attributes:
        model: functional, with layers of its own.
        gone: names of the layers that were left out.
        folded: names of the gates and normalisations that became weights of the layer before or of
            those after, which round.
        parameters_before: numbers in all weights.
        parameters_after: those of the simpler model.
        deviation: largest difference of an output.
    """

    model: Any
    gone: tuple[str, ...]
    folded: tuple[str, ...]
    parameters_before: int
    parameters_after: int
    deviation: float


def simplify(model: Any, observations: Any = None, *, seed: int = 0) -> Simplified:
    """Returns a model without layers that do nothing when it acts.

    Dropout and noise; linear activations; Dense and 1x1 convolutions that are the identity; sums
    with one branch that is always zero, and that branch; gates, and batch normalisations, which
    become weights of the linear layer before them or of those that read them. Layers that give an
    output of the model stay, as it is known by their names.

    Args:
        model: functional; it is left alone.
        observations: for the proof beside random inputs, as `shrink` takes them.
        seed: of the random inputs.

    Raises:
        TypeError: the model is not functional.
        ValueError: the simpler model does not do the same, to 1e-5.
    """
    given = given_inputs(model, observations)
    original = model
    cells = fold_cells(inlined(model))
    model = cells.model
    simple = _without(model, {**_idle(model), **_zero_branches(model, seed)})
    gates = fold(simple)
    behind = _normalisations(gates.model)
    simple, before = _forward(_folded(gates.model, behind))
    folded = (
        *cells.gone,
        *gates.gone,
        *(normalisation.name for _, normalisation in behind),
        *before,
    )
    left = {layer.name for layer in simple.layers}
    return Simplified(
        simple,
        tuple(layer.name for layer in model.layers if layer.name not in left),
        folded,
        original.count_params(),
        simple.count_params(),
        prove(original, simple, given, seed),
    )


def _idle(model: Any) -> dict[str, int]:
    """Returns the layers that pass on what they are given; which input: the first."""
    return {
        layer.name: 0
        for layer in model.layers
        if layer.name not in model.output_names and _is_identity(layer)
    }


def _is_identity(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind in IDLE:
        return True
    if getattr(layer, "activation", None) is not tf.keras.activations.linear:
        return False
    if kind == "Activation":
        return True
    if kind not in ("Dense", "Conv1D", "Conv2D") or set(getattr(layer, "strides", (1,))) != {1}:
        return False
    kernel, *bias = layer.get_weights()
    *window, inputs, outputs = kernel.shape
    return (
        set(window) <= {1}
        and inputs == outputs
        and np.array_equal(kernel.reshape(inputs, outputs), np.eye(inputs))
        and not any(each.any() for each in bias)
    )


def _zero_branches(model: Any, seed: int) -> dict[str, int]:
    """Returns the sums of two of which one is always zero, and the number of the other."""
    graph = groups_of(model)
    constants = facts_of(graph, seed).constants
    times = Counter(call.layer.name for call in graph.calls)
    found = {}
    for call in graph.calls:
        name = call.layer.name
        if type(call.layer).__name__ == "Add" and len(call.inputs) == 2 and times[name] == 1:
            zero = [bool((constants[id(tensor)] == 0).all()) for tensor in call.inputs]
            other = zero.index(False) if zero.count(True) == 1 else None
            if (
                other is not None
                and name not in model.output_names
                and call.inputs[other].shape == call.outputs[0].shape
            ):
                found[name] = other
    return found


def _normalisations(model: Any) -> list[tuple[Any, Any]]:
    """Returns linear layers whose outputs only a batch normalisation takes, each with that."""
    calls = calls_of(model)
    makers = {id(tensor): call.layer for call in calls for tensor in call.outputs}
    takers = Counter(id(tensor) for call in calls for tensor in call.inputs)
    times = Counter(id(call.layer) for call in calls)
    return [
        (maker, call.layer)
        for call in calls
        if _is_normalisation(call)
        and (maker := makers[id(call.inputs[0])]) is not None
        and takers[id(call.inputs[0])] == times[id(maker)] == times[id(call.layer)] == 1
        and not {maker.name, call.layer.name} & set(model.output_names)
        and type(maker).__name__ in _FOLDABLE
        and maker.activation is tf.keras.activations.linear
    ]


def _is_normalisation(call: Call) -> bool:
    if type(call.layer).__name__ != "BatchNormalization":
        return False
    return list(call.layer.axis) == [len(call.inputs[0].shape) - 1]


def _without(model: Any, passed: dict[str, int]) -> Any:
    simple = rebuilt(model, lambda layer: from_config(layer, {}), passed)
    set_weights(simple, weights_of(model))
    return simple


def _folded(model: Any, pairs: list[tuple[Any, Any]]) -> Any:
    names = {maker.name for maker, _ in pairs}

    def make(layer: Any) -> Any:
        return from_config(layer, {"use_bias": True} if layer.name in names else {})

    simple = rebuilt(model, make, {normalisation.name: 0 for _, normalisation in pairs})
    merged = {maker.name: _weights(maker, normalisation) for maker, normalisation in pairs}
    set_weights(simple, weights_of(model) | merged)
    return simple


def _forward(model: Any) -> tuple[Any, tuple[str, ...]]:
    """Returns a model without the normalisations that those who read them can do without; names."""
    times = Counter(id(call.layer) for call in calls_of(model))
    affine = {
        call.layer.name: normalisation(call.layer)
        for call in calls_of(model)
        if _is_normalisation(call)
        and times[id(call.layer)] == 1
        and call.layer.name not in model.output_names
    }
    weights = forwarded(model, affine)
    simple = rebuilt(model, lambda layer: from_config(layer, {}), dict.fromkeys(affine, 0))
    set_weights(simple, weights_of(model) | weights)
    return simple, tuple(affine)


def _weights(layer: Any, normalisation: Any) -> list[Array]:
    """Returns the weights of a linear layer and of the normalisation behind it in one."""
    values = {
        each.name.split("/")[-1].split(":")[0]: np.asarray(each.numpy(), np.float64)
        for each in normalisation.weights
    }
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + normalisation.epsilon)
    *kernels, last = layer.get_weights() if layer.bias is None else layer.get_weights()[:-1]
    bias = 0.0 if layer.bias is None else layer.bias.numpy()
    shift = (bias - values["moving_mean"]) * scale + values.get("beta", 0.0)
    # A depthwise kernel ends in [channels, multiplier], which are the outputs together.
    shape = last.shape[-2:] if type(layer).__name__.startswith("Depthwise") else last.shape[-1:]
    scaled = last * scale.reshape(shape)
    return [*kernels, scaled.astype(last.dtype), shift.astype(last.dtype)]
