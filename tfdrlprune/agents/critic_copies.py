"""Copies of trained critics, and normalisers in front of them."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
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
