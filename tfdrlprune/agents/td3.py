"""TD3 agents with defaults that learn continuous control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.agents.td3 import td3_agent
from tf_agents.networks import encoding_network, sequential, value_network
from tf_agents.utils import common

from tfdrlprune.agents import twin_critics
from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.internals import twin_delayed
from tfdrlprune.agents.networks import front
from tfdrlprune.agents.policy_networks import DeterministicActor, check_box
from tfdrlprune.policies.form import Policy


def td3(  # noqa: PLR0913 (hyper-parameters)
    env: Any,
    *,
    hidden: Sequence[int] = (256, 256),
    policy: Policy | None = None,
    critic_from: td3_agent.Td3Agent | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    gamma: float = 0.99,
    tau: float = 0.005,
    reward_scale: float = 1.0,
    exploration: float = 0.1,
    smoothing: float = 0.2,
    smoothing_clip: float = 0.5,
    delay: int = 2,
) -> td3_agent.Td3Agent:
    """Returns a TF-Agents TD3 agent for an environment, ready for `AgentTrainer`.

    Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, "Addressing Function
    Approximation Error in Actor-Critic Methods"): the smaller of two critics, noise on the target's
    actions, and an actor and targets that are updated less often. ReLU layers, orthogonal initial
    weights, squared loss.

    Args:
        env: registered id, factory or ``gymnasium.Env``; its actions are one bounded Box of floats
            of shape [n].
        hidden: units of the ReLU layers, of the actor and of each critic. Several observations, and
            images, are flattened and joined; uint8 is scaled to [0, 1].
        policy: to begin with, in place of a new actor; its target is a copy of it.
        critic_from: an agent whose critics and their targets are copied, in place of new ones.
        seed: of the initial weights.
        learning_rate: of the two Adam optimizers of actor and critics.
        gamma: discount factor, in [0, 1].
        tau: share of actor and critics in each update of their targets, in (0, 1].
        reward_scale: factor on the reward inside the loss.
        exploration: deviation of the noise on actions while collecting, for actions in [-1, 1];
            likewise the next two.
        smoothing: deviation of the noise on the target's actions.
        smoothing_clip: largest size of that noise.
        delay: critic steps for each step of the actor and of the targets, in [1, ...).

    Raises:
        ValueError: the environment is unknown, its actions are not one bounded Box, or policy or
            critics do not fit.

    Example:
        >>> agent = td3("Pendulum-v1", hidden=(32, 32), seed=0)
        >>> type(agent).__name__, agent.action_spec.shape
        ('Td3Agent', TensorShape([1]))
    """
    time_step_spec, action_spec = twin_critics.specs_of(env, "TD3")
    observation = time_step_spec.observation
    if policy is None:
        actors = [_actor(observation, action_spec, hidden, name) for name in _ACTORS]
    else:
        check_box(policy, action_spec)
        actors = [DeterministicActor(observation, policy, action_spec, name) for name in _ACTORS]
    if critic_from is None:
        critics = [_critic(observation, action_spec, hidden, name) for name in twin_critics.NAMES]
    else:
        parts = twin_delayed(critic_from)
        critics = twin_critics.critics_of(parts, (observation, action_spec))
    half = BoxAction(action_spec).half
    agent = td3_agent.Td3Agent(
        time_step_spec,
        action_spec,
        actor_network=actors[0],
        target_actor_network=actors[1],
        **twin_critics.as_arguments(critics),
        actor_optimizer=tf.keras.optimizers.Adam(learning_rate),
        critic_optimizer=tf.keras.optimizers.Adam(learning_rate),
        exploration_noise_std=exploration * half,
        target_update_tau=tau,
        target_update_period=delay,
        actor_update_period=delay,
        td_errors_loss_fn=common.element_wise_squared_loss,
        gamma=gamma,
        reward_scale_factor=reward_scale,
        target_policy_noise=smoothing * half,
        target_policy_noise_clip=smoothing_clip * half,
        # The default counter is one for the whole process.
        train_step_counter=tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    new_actor = actors[0] if policy is None else None
    twin_critics.initialize(agent, new_actor, critics, seed, new_critics=critic_from is None)
    return agent


_ACTORS = ("Actor", "TargetActor")


def _actor(observation: Any, action: Any, hidden: Sequence[int], name: str) -> Any:
    # Not TF-Agents' ActorNetwork, which takes one observation and leaves images unscaled.
    box = BoxAction(action)
    encoder = encoding_network.EncodingNetwork(
        observation, fc_layer_params=tuple(hidden), **front(observation, None)
    )
    last = tf.keras.layers.Dense(box.half.size, activation="tanh", name="action")
    stretch = tf.keras.layers.Rescaling(box.half.tolist(), box.middle.tolist())
    return sequential.Sequential([encoder, last, stretch], input_spec=observation, name=name)


def _critic(observation: Any, action: Any, hidden: Sequence[int], name: str) -> Any:
    both = (observation, action)
    arguments = front(both, None)
    *layers, last = tf.nest.flatten(arguments["preprocessing_layers"])
    # The paper clips the noisy actions of the target to their bounds, which TF-Agents does not.
    last = tf.keras.Sequential([Clip(action.minimum, action.maximum), *last.layers])
    arguments["preprocessing_layers"] = tf.nest.pack_sequence_as(both, [*layers, last])
    return value_network.ValueNetwork(both, fc_layer_params=tuple(hidden), name=name, **arguments)


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class Clip(tf.keras.layers.Layer):
    """Clips numbers to bounds.

    Args:
        low: a number, or one for each element.
        high: likewise.
    """

    def __init__(self, low: Any, high: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._low, self._high = np.asarray(low).tolist(), np.asarray(high).tolist()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the clipped numbers."""
        return tf.clip_by_value(inputs, self._low, self._high)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return super().get_config() | {"low": self._low, "high": self._high}
