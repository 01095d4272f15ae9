"""What TF-Agents keeps private and a training loop needs, each name once.

All names were seen in tf-agents 0.19.0; tests/test_agents.py fails when one moves.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.agents import tf_agent
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.cql import cql_sac_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_agent
from tf_agents.agents.sac import sac_agent, tanh_normal_projection_network
from tf_agents.utils import common


@dataclass(frozen=True)
class QLearning:
    """The parts of a DQN agent.

    Attributes:
        network: maps observations to Q-values.
        target: its target network.
        optimizer: the instance that the agent applies gradients with.
        n_step: steps in a transition that ``agent.train`` expects.
        gamma: discount factor.
        epsilon: exploration of the agent's collect policy: a number, a function, or None where the
            agent explores by a Boltzmann policy.
        num_actions: how many actions there are.
    """

    network: Any
    target: Any
    optimizer: Any
    n_step: int
    gamma: float
    epsilon: float | Callable[[], float] | None
    num_actions: int


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
class ActorCritic:
    """The parts of a PPO agent.

    Attributes:
        actor: maps observations to an action distribution.
        critic: maps observations to a value.
        normalizer: of observations, in front of both; None where there is none.
        optimizer: the instance that the agent applies gradients with.
        gamma: discount factor.
        gae_lambda: lambda of the advantage estimate.
        own_epochs: how many the agent runs inside one ``agent.train``, where it also computes the
            advantages; None where it expects minibatches with advantages.
    """

    actor: Any
    critic: Any
    normalizer: Any
    optimizer: Any
    gamma: float
    gae_lambda: float
    own_epochs: int | None


def q_learning(agent: tf_agent.TFAgent) -> QLearning | None:
    """Returns the parts of a DQN or double DQN agent; None if the agent is none."""
    if not isinstance(agent, dqn_agent.DqnAgent):
        return None
    if isinstance(agent, categorical_dqn_agent.CategoricalDqnAgent):
        return None
    if agent._observation_and_action_constraint_splitter is not None:
        raise ValueError(
            "AgentTrainer does not support an observation_and_action_constraint_splitter. Build "
            "the DQN agent without one."
        )
    if agent._q_network.state_spec:
        raise ValueError("AgentTrainer does not support a recurrent Q-network yet.")
    return QLearning(
        agent._q_network,
        agent._target_q_network,
        agent._optimizer,
        int(agent._n_step_update),
        float(agent._gamma),
        agent._epsilon_greedy,
        int(agent._num_actions),
    )


def soft_actor_critic(agent: tf_agent.TFAgent) -> SoftActorCritic | None:
    """Returns the parts of a SAC agent; None if the agent is none."""
    if not isinstance(agent, sac_agent.SacAgent) or isinstance(agent, cql_sac_agent.CqlSacAgent):
        return None
    if agent._actor_network.state_spec or agent._critic_network_1.state_spec:
        raise ValueError("AgentTrainer does not support recurrent SAC networks yet.")
    leaves = tf.nest.flatten(agent.action_spec)
    if len(leaves) != 1 or not is_bounded(leaves[0]):
        raise ValueError(
            "AgentTrainer trains SAC on one action with finite bounds, which warm-up draws from. "
            f"Received: {agent.action_spec}. Use PPO, or give the agent a bounded action spec."
        )
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


@contextlib.contextmanager
def seeded(agent: Any, seed: tf.Tensor) -> Iterator[None]:
    """Makes a SAC agent draw the actions inside its losses from a seed.

    On its own it draws from a generator that no checkpoint holds, so that a resumed run would
    differ.

    Args:
        agent: a SAC agent.
        seed: int32, [2].
    """
    draws = itertools.count()

    def actions_and_log_probs(time_steps: Any, training: bool = False) -> tuple[Any, tf.Tensor]:
        policy = agent._train_policy if training else agent._policy
        state = policy.get_initial_state(tf.shape(time_steps.discount)[0])
        distribution = policy.distribution(time_steps, policy_state=state).action
        own = tf.random.experimental.stateless_fold_in(seed, next(draws))
        actions = tf.nest.map_structure(lambda each: each.sample(seed=own), distribution)
        return actions, common.log_probability(distribution, actions, agent.action_spec)

    agent._actions_and_log_probs = actions_and_log_probs
    try:
        yield
    finally:
        del agent._actions_and_log_probs


def actor_critic(agent: tf_agent.TFAgent) -> ActorCritic | None:
    """Returns the parts of a PPO agent; None if the agent is none."""
    if not isinstance(agent, ppo_agent.PPOAgent):
        return None
    if agent._actor_net.state_spec or agent._value_net.state_spec:
        raise ValueError("AgentTrainer does not support recurrent PPO networks yet.")
    own_epochs = bool(agent._compute_value_and_advantage_in_train)
    if not own_epochs and (agent._num_epochs != 1 or agent.update_normalizers_in_train):
        raise ValueError(
            "A PPOAgent with compute_value_and_advantage_in_train=False gets its epochs and its "
            "normalizer updates from the trainer. Build it with num_epochs=1 and "
            "update_normalizers_in_train=False."
        )
    return ActorCritic(
        agent._actor_net,
        agent._value_net,
        agent._observation_normalizer,
        agent._optimizer,
        float(agent._discount_factor),
        float(agent._lambda),
        int(agent._num_epochs) if own_epochs else None,
    )
