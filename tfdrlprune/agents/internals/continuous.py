"""The private parts of SAC and TD3 agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.agents import tf_agent
from tf_agents.agents.cql import cql_sac_agent
from tf_agents.agents.sac import sac_agent, tanh_normal_projection_network
from tf_agents.agents.td3 import td3_agent


@dataclass(frozen=True)
class SoftActorCritic:
    """The parts of a SAC agent.

    Attributes:
        actor: maps observations to an action distribution.
        critics: each with its target.
        log_alpha: logarithm of the temperature.
        actor_optimizer, critic_optimizer, alpha_optimizer: the instances that the agent applies
            gradients with: legacy ones, which it makes of those that it is given.
        gamma: discount factor.
    """

    actor: Any
    critics: list[tuple[Any, Any]]
    log_alpha: tf.Variable
    actor_optimizer: Any
    critic_optimizer: Any
    alpha_optimizer: Any
    gamma: float


@dataclass(frozen=True)
class TwinDelayed:
    """The parts of a TD3 agent.

    Attributes:
        actor: maps observations to actions.
        target_actor: its target network.
        critics: each with its target.
        actor_optimizer, critic_optimizer: the instances that the agent applies gradients with.
        gamma: discount factor.
        exploration: deviation of the noise on actions while collecting: a number, or an array
            shaped as the action.
    """

    actor: Any
    target_actor: Any
    critics: list[tuple[Any, Any]]
    actor_optimizer: Any
    critic_optimizer: Any
    gamma: float
    exploration: Any


def soft_actor_critic(agent: tf_agent.TFAgent) -> SoftActorCritic | None:
    """Returns the parts of a SAC agent; None if the agent is none."""
    if not isinstance(agent, sac_agent.SacAgent) or isinstance(agent, cql_sac_agent.CqlSacAgent):
        return None
    if agent._actor_network.state_spec or agent._critic_network_1.state_spec:
        raise ValueError("AgentTrainer does not support recurrent SAC networks yet.")
    _check_action(agent.action_spec, "SAC")
    return SoftActorCritic(
        agent._actor_network,
        [
            (agent._critic_network_1, agent._target_critic_network_1),
            (agent._critic_network_2, agent._target_critic_network_2),
        ],
        agent._log_alpha,
        agent._actor_optimizer,
        agent._critic_optimizer,
        agent._alpha_optimizer,
        float(agent._gamma),
    )


def twin_delayed(agent: tf_agent.TFAgent) -> TwinDelayed | None:
    """Returns the parts of a TD3 agent; None if the agent is none."""
    if not isinstance(agent, td3_agent.Td3Agent):
        return None
    if agent._actor_network.state_spec or agent._critic_network_1.state_spec:
        raise ValueError("AgentTrainer does not support recurrent TD3 networks yet.")
    _check_action(agent.action_spec, "TD3")
    return TwinDelayed(
        agent._actor_network,
        agent._target_actor_network,
        [
            (agent._critic_network_1, agent._target_critic_network_1),
            (agent._critic_network_2, agent._target_critic_network_2),
        ],
        agent._actor_optimizer,
        agent._critic_optimizer,
        float(agent._gamma),
        agent._exploration_noise_std,
    )


def is_bounded(spec: Any) -> bool:
    """Tells whether an action spec has finite bounds."""
    largest = spec.dtype.max  # stands for a bound that is missing
    return bool(np.all(spec.minimum > -largest) and np.all(spec.maximum < largest))


def squashed_deviation(actor: Any) -> str | None:
    """Returns how a TanhNormalProjectionNetwork makes deviations of its outputs.

    Returns:
        "exp", "clipped_exp" or "identity"; None of another function or another projection.
    """
    projection = getattr(actor, "_projection_networks", None)
    if not isinstance(projection, tanh_normal_projection_network.TanhNormalProjectionNetwork):
        return None
    known = {tf.exp: "exp", sac_agent.std_clip_transform: "clipped_exp", None: "identity"}
    return known.get(projection._std_transform)


def _check_action(spec: Any, name: str) -> None:
    leaves = tf.nest.flatten(spec)
    if len(leaves) != 1 or not is_bounded(leaves[0]):
        raise ValueError(
            f"AgentTrainer trains {name} on one action with finite bounds, which warm-up draws "
            f"from. Received: {spec}. Use PPO, or give the agent a bounded action spec."
        )
