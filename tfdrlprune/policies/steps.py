"""A TF-Agents network as the chain of plain Keras layers that it applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
import numpy as np
from tf_agents.agents.ddpg import actor_network
from tf_agents.agents.sac import tanh_normal_projection_network
from tf_agents.networks import (
    categorical_projection_network,
    categorical_q_network,
    encoding_network,
    lstm_encoding_network,
    network,
    normal_projection_network,
    q_network,
    sequential,
)

from tfdrlprune.policies.choice_projection import ChoiceProjectionNetwork
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.policies.refusal import refusal
from tfdrlprune.policies.scores import Duel

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


@dataclass(frozen=True)
class Recurrence:
    """A recurrent cell that goes on from a state, one step at a call."""

    cell: Any


def steps_of(net: Any) -> list[Any]:
    """Returns the Keras layers (`Front`s, `Fork`s, `Recurrence`s) that a network applies in turn.

    The projection of an ActorDistributionNetwork becomes the layer that makes its logits or means;
    a CategoricalQNetwork ends in its logits.

    Raises:
        ValueError: the network is of a kind that is not known; names it.
    """
    # Private names as in tf-agents 0.19.0; a test holds each.
    if isinstance(net, (sequential.Sequential, tf.keras.Sequential)):
        return [step for layer in net.layers for step in steps_of(layer)]
    if isinstance(net, q_network.QNetwork):
        return [*steps_of(net._encoder), net._q_value_layer]
    if isinstance(net, lstm_encoding_network.LSTMEncodingNetwork):
        return _recurrent_steps(net)
    if getattr(net, "state_spec", ()) and not hasattr(net, "_lstm_encoder"):
        raise refusal(net, "its state is not that of an LSTMEncodingNetwork")
    if (special := _special_steps(net)) is not None:
        return special
    if isinstance(net, (network.Network, tf.keras.Model)):
        raise refusal(net, "its kind is not known")
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
        encoder = getattr(net, "_lstm_encoder", None) or net._encoder
        return [*steps_of(encoder), _projection_layer(projection_of(net))]
    return None


def _recurrent_steps(net: Any) -> list[Any]:
    """Returns the steps of an LSTMEncodingNetwork; a QRnnNetwork is one that ends in Q-values."""
    cell = net._lstm_network.cell
    cells = cell.cells if isinstance(cell, tf.keras.layers.StackedRNNCells) else [cell]
    behind = [step for layer in net._output_encoder for step in steps_of(layer)]
    return [*steps_of(net._input_encoder), *map(Recurrence, cells), *behind]


def has_projection(net: Any) -> bool:
    """Tells whether a network is an ActorDistributionNetwork, or of its build."""
    return hasattr(net, "_projection_networks")


def projection_of(actor: Any) -> Any:
    """Returns the one projection network of an ActorDistributionNetwork."""
    projection = actor._projection_networks
    if not isinstance(projection, network.Network):
        raise refusal(actor, "it has several actions")
    return projection


def _projection_layer(projection: Any) -> Any:
    if isinstance(projection, categorical_projection_network.CategoricalProjectionNetwork):
        return projection._projection_layer
    if isinstance(projection, ChoiceProjectionNetwork):
        return projection.layer
    if isinstance(projection, normal_projection_network.NormalProjectionNetwork):
        return projection._means_projection_layer
    if isinstance(projection, tanh_normal_projection_network.TanhNormalProjectionNetwork):
        return _first_half(projection._projection_layer)
    raise refusal(projection, "its kind is not known")


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
