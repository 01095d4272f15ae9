"""The networks of a PPO agent that goes on with a policy."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.critic_copies import Normalized, copied_normalizer, copy_of
from tfdrlprune.agents.internals import actor_critic
from tfdrlprune.agents.policy_networks import (
    CategoricalActor,
    NormalActor,
    check_box,
    check_choices,
)
from tfdrlprune.policies.conversion import normalizers_of
from tfdrlprune.policies.form import Policy

# Of half the action's range, where no agent says it.
_DEVIATION = 0.3


def begun_actor(observation: Any, action: Any, policy: Policy, agent: Any) -> Any:
    """Returns an actor whose greedy actions are a policy's.

    Args:
        observation: nest of specs.
        action: spec.
        policy: to begin with.
        agent: a PPO agent whose deviation is taken; None for the usual one.

    Raises:
        ValueError: there are several actions, or the policy does not fit.
    """
    if not isinstance(action, tf.TypeSpec):
        raise ValueError(f"A policy has one action. Received {len(tf.nest.flatten(action))}.")
    if action.dtype.is_integer:
        check_choices(policy, action)
        return CategoricalActor(observation, policy, action)
    check_box(policy, action)
    return NormalActor(observation, policy, action, _deviation(action, agent))


def begun_critic(observation: Any, fresh: Any, policy: Policy, agent: Any) -> Any:
    """Returns the critic beside such an actor.

    Args:
        observation: nest of specs.
        fresh: a new value network.
        policy: whose normaliser stands in front of a new one.
        agent: a PPO agent whose critic is copied, with the normaliser in front of it; or None.

    Raises:
        ValueError: the agent is no PPO agent, or its critic takes other observations.
    """
    if agent is None:
        normalizers = policy.normalizers
        inner = fresh
    else:
        parts = actor_critic(agent)
        if parts is None:
            raise ValueError(f"critic_from is a PPO agent. Received: {type(agent).__name__}.")
        own, wanted = (
            [tuple(leaf.shape) for leaf in tf.nest.flatten(spec)]
            for spec in (agent.time_step_spec.observation, observation)
        )
        if own != wanted:
            raise ValueError(
                f"The critic takes observations of shapes {own}, and the environment gives "
                f"{wanted}. Take it from an agent of this environment."
            )
        normalizers = normalizers_of(parts.normalizer)
        inner = copy_of(parts.critic)
    if normalizers is None:
        return inner
    return Normalized(observation, inner, [copied_normalizer(each) for each in normalizers])


def _deviation(action: Any, agent: Any) -> tuple[float, ...]:
    """Returns the deviation of an agent's actions, of each dimension, or the usual one."""
    usual = np.ravel(_DEVIATION * BoxAction(action).half)
    if agent is None:
        return tuple(usual.tolist())
    leaves = [
        tf.zeros((1, *s.shape), s.dtype) for s in tf.nest.flatten(agent.time_step_spec.observation)
    ]
    policy = agent.collect_policy
    distribution = policy.distribution(time_step(agent, leaves), policy.get_initial_state(1)).action
    return tuple(np.ravel(tf.nest.flatten(distribution)[0].stddev()).tolist())
