"""The private parts of PPO agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.agents import tf_agent
from tf_agents.agents.ppo import ppo_agent

from tfdrlprune.agents.internals.states import check_resets


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
        recurrent: whether actor or critic have a state.
    """

    actor: Any
    critic: Any
    normalizer: Any
    optimizer: Any
    gamma: float
    gae_lambda: float
    own_epochs: int | None
    recurrent: bool


def actor_critic(agent: tf_agent.TFAgent) -> ActorCritic | None:
    """Returns the parts of a PPO agent; None if the agent is none."""
    if not isinstance(agent, ppo_agent.PPOAgent):
        return None
    own_epochs = bool(agent._compute_value_and_advantage_in_train)
    recurrent = bool(agent._actor_net.state_spec or agent._value_net.state_spec)
    if recurrent:
        check_resets(agent._actor_net, agent._value_net)
        if not own_epochs:
            raise ValueError(
                "A recurrent PPOAgent learns from whole roll-outs, for which it computes the "
                "advantages itself. Build it with compute_value_and_advantage_in_train=True."
            )
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
        recurrent,
    )
