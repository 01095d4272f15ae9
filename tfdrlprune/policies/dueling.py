"""The dueling Q-network, of which TF-Agents has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
from tf_agents.networks import encoding_network, network

from tfdrlprune.policies.scores import Duel


class DuelingQNetwork(network.Network):
    """Q-values as a state's value plus advantages of actions, each by a stream of its own.

    Wang et al. 2016, "Dueling Network Architectures for Deep Reinforcement Learning". All hidden
    layers but the last are shared, as are convolutions; each stream has one of the last's size.

    Args:
        input_tensor_spec: nest of the observation's specs.
        action_spec: one integer that counts from 0.
        preprocessing_layers, preprocessing_combiner, conv_layer_params: as for QNetwork.
        fc_layer_params: units of the ReLU layers.
        name: of the network.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        action_spec: Any,
        preprocessing_layers: Any = None,
        preprocessing_combiner: Any = None,
        conv_layer_params: Any = None,
        fc_layer_params: Sequence[int] = (64, 64),
        name: str = "DuelingQNetwork",
    ):
        super().__init__(input_tensor_spec=input_tensor_spec, state_spec=(), name=name)
        actions = int(action_spec.maximum - action_spec.minimum + 1)
        *shared, last = (*fc_layer_params,) or (None,)
        self._encoder = encoding_network.EncodingNetwork(
            input_tensor_spec,
            preprocessing_layers=preprocessing_layers,
            preprocessing_combiner=preprocessing_combiner,
            conv_layer_params=conv_layer_params,
            fc_layer_params=tuple(shared) or None,
        )
        # Both streams layer by layer: the order in which a policy made of them has its kernels.
        self._hidden_value = None if last is None else _hidden(last, "value")
        self._hidden_advantage = None if last is None else _hidden(last, "advantage")
        self._value = tf.keras.layers.Dense(1, name="value")
        self._advantage = tf.keras.layers.Dense(actions, name="advantage")
        self._duel = Duel()

    @property
    def output_layers(self) -> list[Any]:
        """The last layer of each stream, whose units are the network's outputs."""
        return [self._value, self._advantage]

    @property
    def encoder(self) -> Any:
        """What both streams share."""
        return self._encoder

    @property
    def streams(self) -> tuple[list[Any], list[Any]]:
        """The layers of the value's stream, and of the advantages'."""
        pairs = (
            (self._hidden_value, self._value),
            (self._hidden_advantage, self._advantage),
        )
        value, advantage = ([layer for layer in pair if layer is not None] for pair in pairs)
        return value, advantage

    def call(
        self,
        observation: Any,
        step_type: Any = None,
        network_state: Any = (),
        training: bool = False,
    ) -> tuple[tf.Tensor, Any]:
        """Returns Q-values, [batch, actions], and the state as it came."""
        encoded, network_state = self._encoder(
            observation, step_type=step_type, network_state=network_state, training=training
        )
        parts = []
        for stream in self.streams:
            tensor = encoded
            for layer in stream:
                tensor = layer(tensor, training=training)
            parts.append(tensor)
        return self._duel(parts), network_state


def _hidden(units: int, stream: str) -> Any:
    return tf.keras.layers.Dense(units, activation="relu", name=f"{stream}_hidden")
