"""Smaller networks of the same kind: what a dense baseline of the same size is made of."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.form import Policy

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
}


# What `narrowed` draws by its seed; all else begins as its layer says.
_KERNELS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")


def narrowed(policy: Policy, parameters: int, *, multiple: int = 1, seed: int = 0) -> Policy:
    """Returns a policy with fresh weights, all hidden layers thinner by one factor.

    It is the widest of its kind with at most ``parameters`` trainable parameters; no layer has less
    than one unit. The observation normaliser keeps its statistics.

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
        if old.weights and not old.trainable_weights:
            new.set_weights(old.get_weights())
    _initialize(model, seed)
    return policy.replace(model=model, source=f"{policy.source}, narrowed".lstrip(", "))


def reseeded(policy: Policy, seed: int) -> Policy:
    """Returns the policy with a model of its own and other kernels, drawn by a seed."""
    model = tf.keras.models.clone_model(policy.model)
    model.set_weights(policy.model.get_weights())
    _initialize(model, seed)
    return policy.replace(model=model)


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

    def thinner(layer: Any) -> Any:
        config = layer.get_config()
        width = _WIDTHS.get(type(layer).__name__)
        if width is not None and layer.name not in last:
            least = min(multiple, config[width])
            config[width] = max(least, int(config[width] * factor) // multiple * multiple)
        return type(layer).from_config(config)

    return tf.keras.models.clone_model(model, clone_function=thinner)


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
