"""SAC agents with defaults that learn continuous control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.agents.sac import sac_agent, tanh_normal_projection_network
from tf_agents.networks import actor_distribution_network, value_network

from tfdrlprune.agents import twin_critics
from tfdrlprune.agents.internals import soft_actor_critic
from tfdrlprune.agents.networks import front
from tfdrlprune.agents.policy_networks import SquashedActor, check_box
from tfdrlprune.policies.form import Policy


def sac(  # noqa: PLR0913 (hyper-parameters)
    env: Any,
    *,
    hidden: Sequence[int] = (256, 256),
    policy: Policy | None = None,
    critic_from: sac_agent.SacAgent | None = None,
    seed: int = 0,
    learning_rate: float = 3e-4,
    gamma: float = 0.99,
    tau: float = 0.005,
    reward_scale: float = 1.0,
    initial_alpha: float = 1.0,
    target_entropy: float | None = None,
) -> sac_agent.SacAgent:
    """Returns a TF-Agents SAC agent for an environment, ready for `AgentTrainer`.

    Soft actor-critic with two critics and a temperature that is tuned automatically (Haarnoja et
    al. 2018, "Soft Actor-Critic Algorithms and Applications"): a normal squashed by tanh to the
    action's bounds, ReLU layers and orthogonal initial weights.

    Args:
        env: registered id, factory or ``gymnasium.Env``; its actions are one bounded Box of floats
            of shape [n].
        hidden: units of the ReLU layers, of the actor and of each critic. Several observations, and
            images, are flattened and joined; uint8 is scaled to [0, 1].
        policy: to begin with, in place of a new actor, its deviation exp(-1) before the squashing;
            its head is a tanh to the action's bounds.
        critic_from: an agent whose critics and their targets are copied, in place of new ones.
        seed: of the initial weights.
        learning_rate: of the three Adam optimizers of actor, critics and temperature.
        gamma: discount factor, in [0, 1].
        tau: share of the critics in each update of their targets, in (0, 1].
        reward_scale: factor on the reward inside the loss.
        initial_alpha: temperature at the start, above 0.
        target_entropy: the entropy that the temperature is tuned for, in nats, of actions in the
            environment's units. None takes the paper's -n for actions in [-1, 1], which becomes
            -n + sum(log((high - low) / 2)) in the environment's units.

    Raises:
        ValueError: the environment is unknown, its actions are not one bounded Box, or policy or
            critics do not fit.

    Example:
        >>> agent = sac("Pendulum-v1", hidden=(32, 32), seed=0)
        >>> type(agent).__name__, agent.action_spec.shape
        ('SacAgent', TensorShape([1]))
    """
    time_step_spec, action_spec = twin_critics.specs_of(env, "SAC")
    observation = time_step_spec.observation
    if policy is None:
        actor = _actor(observation, action_spec, hidden)
    else:
        check_box(policy, action_spec)
        actor = SquashedActor(observation, policy, action_spec, deviation=float(np.exp(-1)))
    if critic_from is None:
        critics = _critics(observation, action_spec, hidden)
    else:
        parts = soft_actor_critic(critic_from)
        critics = twin_critics.critics_of(parts, (observation, action_spec))
    agent = sac_agent.SacAgent(
        time_step_spec,
        action_spec,
        **twin_critics.as_arguments(critics),
        actor_network=actor,
        actor_optimizer=tf.keras.optimizers.Adam(learning_rate),
        critic_optimizer=tf.keras.optimizers.Adam(learning_rate),
        alpha_optimizer=tf.keras.optimizers.Adam(learning_rate),
        target_update_tau=tau,
        gamma=gamma,
        reward_scale_factor=reward_scale,
        initial_log_alpha=float(np.log(initial_alpha)),
        target_entropy=_usual_entropy(action_spec) if target_entropy is None else target_entropy,
        # The default counter is one for the whole process.
        train_step_counter=tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    new_actor = actor if policy is None else None
    twin_critics.initialize(agent, new_actor, critics, seed, new_critics=critic_from is None)
    return agent


def _actor(observation: Any, action: Any, hidden: Sequence[int]) -> Any:
    def projection(spec: Any) -> Any:
        return tanh_normal_projection_network.TanhNormalProjectionNetwork(
            spec, std_transform=sac_agent.std_clip_transform
        )

    return actor_distribution_network.ActorDistributionNetwork(
        observation,
        action,
        fc_layer_params=tuple(hidden),
        continuous_projection_net=projection,
        **front(observation, None),
    )


def _critics(observation: Any, action: Any, hidden: Sequence[int]) -> list[Any]:
    """Returns two critics and their two targets."""
    # Not TF-Agents' CriticNetwork, which takes one observation and leaves images unscaled.
    both = (observation, action)
    return [
        value_network.ValueNetwork(
            both, fc_layer_params=tuple(hidden), name=name, **front(both, None)
        )
        for name in twin_critics.NAMES
    ]


def _usual_entropy(action: Any) -> float:
    """Returns -n in the units of the action: a density scales with the volume."""
    half = np.broadcast_to((action.maximum - action.minimum) / 2, action.shape)
    if not (half > 0).all():
        raise ValueError(
            "SAC explores every dimension of the action, between its low and a larger high. "
            f"Received: {action.minimum} to {action.maximum}. Leave fixed dimensions out of the "
            "environment's actions."
        )
    return float(np.log(half).sum() - half.size)
