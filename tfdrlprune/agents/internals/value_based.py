"""The private parts of DQN agents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.agents import tf_agent
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.dqn import dqn_agent

from tfdrlprune.agents.internals.states import check_resets
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class QLearning:
    """The parts of a DQN agent.

    Attributes:
        network: maps observations to Q-values, or to logits of their distributions.
        target: its target network.
        optimizer: the instance that the agent applies gradients with.
        n_step: steps in a transition that ``agent.train`` expects.
        gamma: discount factor.
        epsilon: exploration of the agent's collect policy: a number, a function, or None where the
            agent explores by a Boltzmann policy.
        num_actions: how many actions there are.
        recurrent: whether the network has a state.
        support: of C51, whose network gives distributions: the returns that its atoms stand for,
            [atoms]; None of an agent whose network gives Q-values.
    """

    network: Any
    target: Any
    optimizer: Any
    n_step: int
    gamma: float
    epsilon: float | Callable[[], float] | None
    num_actions: int
    recurrent: bool
    support: Array | None = None


def q_learning(agent: tf_agent.TFAgent) -> QLearning | None:
    """Returns the parts of a DQN, double DQN or C51 agent; None if the agent is none."""
    if not isinstance(agent, dqn_agent.DqnAgent):
        return None
    if agent._observation_and_action_constraint_splitter is not None:
        raise ValueError(
            "AgentTrainer does not support an observation_and_action_constraint_splitter. Build "
            "the DQN agent without one."
        )
    is_categorical = isinstance(agent, categorical_dqn_agent.CategoricalDqnAgent)
    recurrent = bool(agent._q_network.state_spec)
    if recurrent:
        check_resets(agent._q_network)
        if is_categorical:
            raise ValueError("AgentTrainer does not support recurrent C51 networks yet.")
    return QLearning(
        agent._q_network,
        agent._target_q_network,
        agent._optimizer,
        int(agent._n_step_update),
        float(agent._gamma),
        agent._epsilon_greedy,
        int(agent._num_actions),
        recurrent,
        np.asarray(agent._support) if is_categorical else None,
    )
