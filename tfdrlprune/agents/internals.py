"""What TF-Agents keeps private and a training loop needs, each name once.

All names were seen in tf-agents 0.19.0; tests/test_agents.py fails when one moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.agents import tf_agent
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_agent


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
