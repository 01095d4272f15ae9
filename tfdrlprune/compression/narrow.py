"""Smaller networks of the same kind: what a dense baseline of the same size is made of."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.copies import copy_of
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import Nest, pack_like

_WIDTHS = {
    "Dense": "units",
    "Conv1D": "filters",
    "Conv2D": "filters",
    "Conv1DTranspose": "filters",
    "Conv2DTranspose": "filters",
    "SeparableConv1D": "filters",
    "SeparableConv2D": "filters",
    "LSTM": "units",
    "GRU": "units",
    "SimpleRNN": "units",
    "GatedLSTM": "units",
    "GatedGRU": "units",
    "GatedSimpleRNN": "units",
}
# What `narrowed` draws by its seed; all else begins as its layer says.
_KERNELS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")


def narrowed(policy: Policy, parameters: int, *, multiple: int = 1, seed: int = 0) -> Policy:
    """Returns a policy with fresh weights, all hidden layers thinner by one factor.

    It is the widest of its kind with at most ``parameters`` trainable parameters; no layer has less
    than one unit. The observation normaliser keeps its statistics; gates are open.

    Args:
        policy: what is made thinner.
        parameters: how many the result may have.
        multiple: widths are multiples of it, where the policy's own are as large.
        seed: of the weights.

    Raises:
        ValueError: the thinnest one has more.
    """
    low, high = 0.0, 1.0
    least = least_parameters(policy, multiple=multiple)
    if least > parameters:
        raise ValueError(
            f"A policy of this shape has at least {least} parameters. "
            f"Received: parameters={parameters}."
        )
    if _trainable(policy.model) <= parameters:
        low = high  # nothing has to go
    # Widths are whole numbers, and none changes within so small a step.
    widest = max((width for _, width in _widths(policy.model)), default=1)
    while high - low > 0.5 / widest:
        middle = (low + high) / 2
        if _trainable(_scaled(policy.model, middle, multiple)) <= parameters:
            low = middle
        else:
            high = middle
    model = _scaled(policy.model, low, multiple)
    for old, new in zip(policy.model.layers, model.layers, strict=True):
        # Which units a gate has closed says nothing of units that are new.
        statistics = old.weights and not old.trainable_weights
        if statistics and not getattr(old, "unit_gate", False):
            new.set_weights(old.get_weights())
    _initialize(model, seed)
    source = f"{policy.source}, narrowed".lstrip(", ")
    return policy.replace(model=model, source=source, state_spec=_state_spec(policy, model))


def reseeded(policy: Policy, seed: int) -> Policy:
    """Returns the policy with a model of its own and other kernels, drawn by a seed."""
    copy = copy_of(policy)
    _initialize(copy.model, seed)
    return copy


def least_parameters(policy: Policy, *, multiple: int = 1) -> int:
    """Returns how many parameters `narrowed` leaves at least: those with one unit a layer."""
    return _trainable(_scaled(policy.model, 0.0, multiple))


def trainable_parameters(policy: Policy) -> int:
    """Returns how many trained numbers a policy has."""
    return _trainable(policy.model)


def _initialize(model: Any, seed: int) -> None:
    """Draws the kernels as their layers' initializers do, by a seed."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        owner = getattr(layer, "cell", layer)  # of a recurrent layer
        for name in _KERNELS:
            initializer: Any = getattr(owner, f"{name}_initializer", None)
            config = {} if initializer is None else initializer.get_config()
            variable = getattr(owner, name, None)
            if variable is not None and "seed" in config and layer.trainable_weights:
                drawn = type(initializer).from_config(
                    config | {"seed": int(generator.integers(2**31))}
                )
                variable.assign(drawn(variable.shape, variable.dtype))


def _widths(model: Any) -> list[tuple[str, int]]:
    names = ((layer, _WIDTHS.get(type(layer).__name__)) for layer in model.layers)
    return [(layer.name, int(getattr(layer, name))) for layer, name in names if name]


def _scaled(model: Any, factor: float, multiple: int) -> Any:
    last = _last_with_a_width(model)

    def width_of(layer: Any) -> int:
        width = int(getattr(layer, _WIDTHS[type(layer).__name__]))
        if layer.name in last:
            return width
        return max(min(multiple, width), int(width * factor) // multiple * multiple)

    def thinner(layer: Any) -> Any:
        config = layer.get_config()
        if (name := _WIDTHS.get(type(layer).__name__)) is not None:
            config[name] = width_of(layer)
        if type(layer).__name__ == "Reshape" and layer.target_shape[-1] == layer.input_shape[-1]:
            # It only adds axes, as the one of a single step before a recurrent layer.
            config["target_shape"] = (*layer.target_shape[:-1], -1)
        return type(layer).from_config(config)

    owners = {
        tensor.name: layer
        for layer in model.layers
        if type(layer).__name__ in _WIDTHS and isinstance(layer.input, list)
        for tensor in layer.input[1:]  # a recurrent layer's first input is no state
    }
    inputs = [
        tf.keras.Input(
            (width_of(owners[tensor.name]),) if tensor.name in owners else tensor.shape[1:],
            dtype=tensor.dtype,
            name=tensor.name,
        )
        for tensor in model.inputs
    ]
    return tf.keras.models.clone_model(model, inputs, thinner)


def _state_spec(policy: Policy, model: Any) -> Nest | None:
    """Returns the spec of a policy's state with the sizes that a thinner model's has."""
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    if policy.state_spec is None:
        return None
    return pack_like(
        policy.state_spec,
        [dataclasses.replace(each, shape=shapes[each.name]) for each in policy.states],
    )


def _trainable(model: Any) -> int:
    return sum(int(tf.size(weight)) for weight in model.trainable_weights)


def _last_with_a_width(model: Any) -> set[str]:
    """Returns the layers whose units the outputs are made of: themselves, or what sums them up.

    A dueling network has two of them, and C51's stands before the layer that takes the means.
    """
    found, pending = set(), [model.get_layer("outputs")]
    while pending:
        layer = pending.pop()
        if type(layer).__name__ in _WIDTHS:
            found.add(layer.name)
        else:
            for node in layer.inbound_nodes:
                pending.extend(tf.nest.flatten(node.inbound_layers))
    return found
