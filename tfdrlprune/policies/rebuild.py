"""A TF-Agents network as a chain of plain Keras layers, and that chain as a functional model."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import stable_name, tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
import numpy as np
from tf_agents.agents.ddpg import actor_network
from tf_agents.agents.sac import tanh_normal_projection_network
from tf_agents.networks import (
    categorical_projection_network,
    categorical_q_network,
    encoding_network,
    network,
    normal_projection_network,
    q_network,
    sequential,
)

from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.policies.scores import Duel
from tfdrlprune.policies.wrappers import inner
from tfdrlprune.specs import Nest, flatten, pack_like

# Layers that do nothing when a policy acts.
_IDLE = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "InputLayer",
    "SpatialDropout1D",
    "SpatialDropout2D",
)
# How a layer starts and what holds it while it trains is no part of a trained policy, and some of
# it (TF1 initialisers, constraints that are masks) cannot be written to a file.
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")


@dataclass(frozen=True)
class Front:
    """What an EncodingNetwork does before its layers: one branch a part, then the combiner.

    Attributes:
        nest: structure of the preprocessing layers (None at its leaves), or None without any.
        branches: a chain for each leaf of ``nest``.
        combiner: a Keras layer that makes one tensor of the branches, or None.
    """

    nest: Any
    branches: tuple[list[Any], ...]
    combiner: Any


@dataclass(frozen=True)
class Fork:
    """Chains that start from the same tensor; what follows takes all of their outputs."""

    branches: tuple[list[Any], ...]


def steps_of(net: Any) -> list[Any]:
    """Returns the Keras layers (`Front`s, `Fork`s) that a network applies one after the other.

    The projection of an ActorDistributionNetwork becomes the layer that makes its logits or means;
    a CategoricalQNetwork ends in its logits.

    Raises:
        ValueError: the network is of a kind that is not known; names it.
    """
    # Private names as in tf-agents 0.19.0; a test holds each.
    if getattr(net, "state_spec", ()):
        raise _refusal(net, "it is recurrent")
    if isinstance(net, (sequential.Sequential, tf.keras.Sequential)):
        return [step for layer in net.layers for step in steps_of(layer)]
    if isinstance(net, q_network.QNetwork):
        return [*steps_of(net._encoder), net._q_value_layer]
    if (special := _special_steps(net)) is not None:
        return special
    if isinstance(net, (network.Network, tf.keras.Model)):
        raise _refusal(net, "its kind is not known")
    return [] if type(net).__name__ in _IDLE else [net]


def _special_steps(net: Any) -> list[Any] | None:
    """Returns the steps of a network that has rules of its own; None of another."""
    if isinstance(net, encoding_network.EncodingNetwork):
        front = _front(net)
        layers = [step for layer in net._postprocessing_layers for step in steps_of(layer)]
        return [front, *layers] if front else layers
    if isinstance(net, categorical_q_network.CategoricalQNetwork):
        return steps_of(net._q_network)
    if isinstance(net, DuelingQNetwork):
        return [*steps_of(net.encoder), Fork(net.streams), Duel()]
    if isinstance(net, actor_network.ActorNetwork):
        return [*_cast(net.input_tensor_spec), *net._mlp_layers, _stretch(net._single_action_spec)]
    if has_projection(net):
        return [*steps_of(net._encoder), _projection_layer(projection_of(net))]
    return None


def has_projection(net: Any) -> bool:
    """Tells whether a network is an ActorDistributionNetwork, or of its build."""
    return hasattr(net, "_projection_networks")


def projection_of(actor: Any) -> Any:
    """Returns the one projection network of an ActorDistributionNetwork."""
    projection = actor._projection_networks
    if not isinstance(projection, network.Network):
        raise _refusal(actor, "it has several actions")
    return projection


def _projection_layer(projection: Any) -> Any:
    if isinstance(projection, categorical_projection_network.CategoricalProjectionNetwork):
        return projection._projection_layer
    if isinstance(projection, normal_projection_network.NormalProjectionNetwork):
        return projection._means_projection_layer
    if isinstance(projection, tanh_normal_projection_network.TanhNormalProjectionNetwork):
        return _first_half(projection._projection_layer)
    raise _refusal(projection, "its kind is not known")


def _cast(spec: Any) -> list[Any]:
    """Returns what makes floats of an observation of integers."""
    return [] if tf.nest.flatten(spec)[0].dtype.is_floating else [tf.keras.layers.Rescaling(1.0)]


def _stretch(spec: Any) -> Any:
    """Returns the layer that takes numbers in [-1, 1] to an action's bounds."""
    low, high = (
        np.broadcast_to(each, spec.shape).ravel().astype(np.float32)
        for each in (spec.minimum, spec.maximum)
    )
    return tf.keras.layers.Rescaling(((high - low) / 2).tolist(), ((high + low) / 2).tolist())


def _first_half(layer: Any) -> Any:
    """Returns a Dense layer as one of the first half of its units: the means before deviations."""
    half = tf.keras.layers.Dense(
        layer.units // 2, activation=layer.activation, use_bias=layer.use_bias, name=layer.name
    )
    half.build(layer.kernel.shape[:1])
    half.set_weights([weight[..., : layer.units // 2] for weight in layer.get_weights()])
    return half


def _front(encoder: Any) -> Front | None:
    layers = encoder._flat_preprocessing_layers
    if layers is None and encoder._preprocessing_combiner is None:
        return None
    branches = tuple(steps_of(layer) for layer in layers or ())
    return Front(encoder._preprocessing_nest, branches, encoder._preprocessing_combiner)


def functional(
    steps: list[Any], observation: Nest, normalizers: list[ObservationNormalizer] | None = None
) -> Any:
    """Returns the steps as a functional model with its own copies of all weights.

    Args:
        steps: from `steps_of`; the last layer's output is the model's.
        observation: its leaves name the inputs.
        normalizers: one for each leaf, applied first.
    """
    inputs = [
        tf.keras.Input(spec.shape, name=spec.name, dtype=spec.dtype)
        for spec in flatten(observation)
    ]
    names = {spec.name for spec in flatten(observation)} | {"outputs"}

    def unique(name: str) -> str:
        candidates = (name if i == 0 else f"{name}_{i}" for i in range(sys.maxsize))
        chosen = next(candidate for candidate in candidates if candidate not in names)
        names.add(chosen)
        return chosen

    leaves = inputs
    if normalizers is not None:
        leaves = [layer(leaf) for layer, leaf in zip(normalizers, inputs, strict=True)]
    layers = [step for step in steps if isinstance(step, tf.keras.layers.Layer)]
    if not layers:
        raise ValueError("The network has no layer that could be rebuilt.")
    tensor = pack_like(observation, leaves)
    for step in steps:
        name = "outputs" if step is layers[-1] else None
        tensor = _apply(step, tensor, unique, name)
    return tf.keras.Model(inputs if len(inputs) > 1 else inputs[0], tensor, name="policy")


def _apply(step: Any, value: Any, unique: Callable[[str], str], name: str | None = None) -> Any:
    if isinstance(step, Front):
        return _apply_front(step, value, unique)
    if isinstance(step, Fork):
        return _apply_fork(step, value, unique)
    if isinstance(step, tf.keras.layers.Flatten) and name is None and value.shape.rank == 2:
        return value  # EncodingNetwork always has one; here it would only be a RESHAPE to run
    layer, weights = inner(step)
    copy = _fresh(layer, name or unique(stable_name(layer)))
    try:
        result = copy(value)
    except (TypeError, ValueError) as error:
        raise _refusal(step, _first_line(error)) from error
    copy.set_weights(weights)
    return result


def _apply_fork(fork: Fork, value: Any, unique: Callable[[str], str]) -> list[Any]:
    """Returns the outputs of all branches; layers are made row by row, as their kernels come."""
    tensors = [value] * len(fork.branches)
    for row in zip(*fork.branches, strict=True):
        tensors = [_apply(s, tensor, unique) for s, tensor in zip(row, tensors, strict=True)]
    return tensors


def _apply_front(front: Front, value: Any, unique: Callable[[str], str]) -> Any:
    if front.branches:
        parts = []
        for part, chain in zip(_flatten_up_to(front.nest, value), front.branches, strict=True):
            tensor = part
            for step in chain:
                tensor = _apply(step, tensor, unique)
            parts.append(tensor)
        value = parts[0] if len(parts) == 1 and front.combiner is None else parts
    return value if front.combiner is None else _apply(front.combiner, value, unique)


def _flatten_up_to(shallow: Any, value: Any) -> list[Any]:
    """Returns the parts of ``value`` that stand at the leaves (None) of ``shallow``."""
    if shallow is None:
        return [value]
    if hasattr(shallow, "keys"):
        return [
            part for key in sorted(shallow) for part in _flatten_up_to(shallow[key], value[key])
        ]
    # A list of one layer may stand over a bare observation.
    items = value if isinstance(value, (tuple, list)) else [value]
    return [
        part
        for child, item in zip(shallow, items, strict=True)
        for part in _flatten_up_to(child, item)
    ]


def _fresh(layer: Any, name: str) -> Any:
    if isinstance(layer, tf.keras.layers.Lambda):
        raise _refusal(layer, "a Lambda holds code, which no policy file may hold")
    if isinstance(layer, tf.keras.layers.RNN):
        raise _refusal(layer, "it is recurrent")
    if getattr(layer, "_permanent", False):
        raise _refusal(layer, "its dropout acts at random also when the policy is greedy")
    try:
        with warnings.catch_warnings():  # about initialisers, which are dropped
            warnings.simplefilter("ignore")
            config = layer.get_config()
        kept = {key: value for key, value in config.items() if not key.endswith(_TRAINING_ONLY)}
        return type(layer).from_config(kept | {"name": name})
    except Exception as error:  # layers of users raise what they like
        raise _refusal(layer, _first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _refusal(layer: Any, why: str) -> ValueError:
    return ValueError(
        f"The layer {getattr(layer, 'name', '?')!r} ({type(layer).__name__}) cannot be rebuilt as "
        f"part of a policy: {why}. Known are QNetwork, Sequential, EncodingNetwork, "
        "ActorNetwork and ActorDistributionNetwork of Keras layers that can be made from their "
        "config."
    )
