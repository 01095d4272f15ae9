"""Which learner trains which agent, and whether the agent fits the environment."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.environments import action_spec, time_step_spec
from tfdrlprune.agents.internals import (
    actor_critic,
    q_learning,
    soft_actor_critic,
    twin_delayed,
)
from tfdrlprune.agents.learner import Learner
from tfdrlprune.agents.off_policy import OffPolicyLearner
from tfdrlprune.agents.on_policy import OnPolicyLearner
from tfdrlprune.agents.q_learner import OffPolicySettings, QLearner
from tfdrlprune.agents.recurrent_q import RecurrentQLearner, SequenceLearner
from tfdrlprune.agents.soft_actor_critic import SacSettings, SoftActorCriticLearner
from tfdrlprune.agents.twin_delayed import Td3Settings, TwinDelayedLearner
from tfdrlprune.agents.updates import OnPolicySettings
from tfdrlprune.agents.vector import Vector
from tfdrlprune.simulation import Environment

Settings = OffPolicySettings | OnPolicySettings | SacSettings | Td3Settings


def learner_for(
    agent: Any, env: Environment, num_envs: int | None, settings: Settings | None, seed: int
) -> Learner:
    """Returns what trains an agent in an environment.

    Raises:
        ValueError: no family trains this agent, or it does not fit the environment.
        TypeError: ``settings`` are those of another family.
    """
    if (q_parts := q_learning(agent)) is not None:
        own = _own_settings(agent, settings, OffPolicySettings)
        vector = _vector(agent, env, num_envs, 32)
        if q_parts.recurrent:
            return SequenceLearner(
                agent, RecurrentQLearner(agent, q_parts, own, vector), vector, seed
            )
        return OffPolicyLearner(agent, QLearner(agent, q_parts, own), vector, seed)
    if (sac_parts := soft_actor_critic(agent)) is not None:
        own = _own_settings(agent, settings, SacSettings)
        vector = _vector(agent, env, num_envs, 4)
        method = SoftActorCriticLearner(agent, sac_parts, own)
        return OffPolicyLearner(agent, method, vector, seed)
    if (td3_parts := twin_delayed(agent)) is not None:
        own = _own_settings(agent, settings, Td3Settings)
        vector = _vector(agent, env, num_envs, 4)
        return OffPolicyLearner(agent, TwinDelayedLearner(agent, td3_parts, own), vector, seed)
    if (ppo_parts := actor_critic(agent)) is not None:
        own = _own_settings(agent, settings, OnPolicySettings)
        vector = _vector(agent, env, num_envs, 8)
        return OnPolicyLearner(agent, ppo_parts, vector, own, seed)
    raise ValueError(
        "AgentTrainer trains TF-Agents DqnAgent, DdqnAgent, CategoricalDqnAgent, PPOAgent, "
        f"SacAgent and Td3Agent. Received: {type(agent).__name__}."
    )


def _own_settings(agent: Any, settings: Any, wanted: Any) -> Any:
    if settings is not None and not isinstance(settings, wanted):
        raise TypeError(
            f"{type(agent).__name__} is trained with {wanted.__name__}. Received: settings of "
            f"{type(settings).__name__}."
        )
    return settings or wanted()


def _vector(agent: Any, env: Environment, num_envs: int | None, usual: int) -> Vector:
    """Returns the environments, once they are known to fit the agent."""
    if num_envs is None:
        alone = not isinstance(env, str) and not callable(env)
        num_envs = 1 if alone else usual
    vector = Vector(env, num_envs)
    _check_fit(agent, vector)
    return vector


def _check_fit(agent: Any, vector: Vector) -> None:
    """Raises ValueError unless the agent was built for these observations and actions."""
    observation = time_step_spec(vector.observation_space).observation
    pairs = {
        "observations of shape": (_shapes, agent.time_step_spec.observation, observation),
        "actions of shape": (_shapes, agent.action_spec, action_spec(vector.action_space)),
        "numbers of actions": (_choices, agent.action_spec, action_spec(vector.action_space)),
    }
    for what, (aspect, own, its) in pairs.items():
        if aspect(own) != aspect(its):
            raise ValueError(
                f"The agent was built for {what} {aspect(own)}, but the environment has "
                f"{aspect(its)}. Build the agent for this environment."
            )


def _shapes(spec: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in tf.nest.flatten(spec)]


def _choices(spec: Any) -> list[Any]:
    """Returns how many values each integer leaf may have."""
    return [
        np.broadcast_to(leaf.maximum - leaf.minimum + 1, leaf.shape).tolist()
        for leaf in tf.nest.flatten(spec)
        if leaf.dtype.is_integer
    ]
