"""Copies of trained critics, and normalisers in front of them."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import read, tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.networks import network

from tfdrlprune.policies.normalizer import ObservationNormalizer


class Normalized(network.Network):
    """A network behind normalisers that stay as they are.

    Args:
        input_tensor_spec: nest of the observation's specs.
        inner: the network.
        normalizers: one for each leaf of the observation.
        name: of the network.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        inner: Any,
        normalizers: list[ObservationNormalizer],
        name: str = "Normalized",
    ):
        super().__init__(
            input_tensor_spec=input_tensor_spec, state_spec=inner.state_spec, name=name
        )
        self._inner, self._normalizers = inner, normalizers

    def copy(self, **changes: Any) -> Normalized:
        """Returns a network of the same build, with weights of its own and the same statistics."""
        own = {
            "inner": copy_of(self._inner),
            "normalizers": [copied_normalizer(layer) for layer in self._normalizers],
        }
        return type(self)(**{**self._saved_kwargs, **own, **changes})

    def call(
        self,
        observation: Any,
        step_type: Any = None,
        network_state: Any = (),
        training: bool = False,
    ) -> tuple[Any, Any]:
        """Returns what the network gives for the normalised observation."""
        leaves = [
            layer(leaf)
            for layer, leaf in zip(self._normalizers, tf.nest.flatten(observation), strict=True)
        ]
        normal = tf.nest.pack_sequence_as(observation, leaves)
        return self._inner(
            normal, step_type=step_type, network_state=network_state, training=training
        )


def copied_normalizer(layer: ObservationNormalizer) -> ObservationNormalizer:
    """Returns a normaliser with the same statistics."""
    config = layer.get_config()
    choices = {key: config[key] for key in ("epsilon", "clip", "keep_dtype", "name")}
    return ObservationNormalizer(*layer.statistics(), **choices)


def copy_of(own: Any) -> Any:
    """Returns a network of the same build with the same weights."""
    copy = own.copy()
    copy.create_variables()
    for variable, value in zip(copy.variables, own.variables, strict=True):
        variable.assign(value)
    return copy


def critics_of(parts: Any, spec: Any) -> list[Any]:
    """Returns copies of an agent's two critics and of their two targets.

    Args:
        parts: of a SAC or TD3 agent; None if it is none.
        spec: of (observation, action) that the critics are to take.

    Raises:
        ValueError: it is no such agent, or its critics take something else.
    """
    if parts is None:
        raise ValueError(
            "critic_from is an agent of the same algorithm. Received: one of another. Leave it out "
            "for new critics."
        )
    pairs = [critic for critic, _ in parts.critics], [target for _, target in parts.critics]
    critics = [copy_of(each) for several in pairs for each in several]
    own, wanted = (
        [tuple(s.shape) for s in tf.nest.flatten(each)]
        for each in (critics[0].input_tensor_spec, spec)
    )
    if own != wanted:
        raise ValueError(
            f"The critics take observations and actions of shapes {own}, and the environment has "
            f"{wanted}. Take them from an agent of this environment."
        )
    return critics


def values_of(networks: list[Any]) -> list[Any]:
    """Returns what networks' variables are, in their order."""
    return [read(variable) for each in networks for variable in each.variables]


def put_back(networks: list[Any], values: list[Any]) -> None:
    """Gives networks' variables, in their order, some values."""
    variables = [variable for each in networks for variable in each.variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
