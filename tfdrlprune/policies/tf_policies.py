"""What we know of TF-Agents' policies: their greedy side, their parts, and what they do."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array


def greedy_policy(agent: Any) -> Any:
    """Returns the greedy TFPolicy of an agent or a TFPolicy; SAC's own ``policy`` samples."""
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts
    from tf_agents.policies import tf_policy  # isort: skip
    from tf_agents.policies.epsilon_greedy_policy import EpsilonGreedyPolicy  # isort: skip
    from tf_agents.policies.greedy_policy import GreedyPolicy  # isort: skip

    policy = getattr(agent, "policy", agent)
    if isinstance(policy, EpsilonGreedyPolicy):
        policy = policy.wrapped_policy
    if isinstance(policy, GreedyPolicy):
        return policy
    if not isinstance(policy, tf_policy.TFPolicy):
        raise ValueError(
            "Expected a TF-Agents agent, or a TFPolicy. Received: "
            f"{type(policy).__name__}. A network goes through policies.from_network."
        )
    return GreedyPolicy(policy)


def parts_of(policy: Any) -> tuple[Any, Any]:
    """Returns the network that acts, and TF-Agents' normaliser in front of it or None.

    Raises:
        ValueError: the policy is of none of the known kinds, or masks its actions.
    """
    from tf_agents.policies import actor_policy, categorical_q_policy, q_policy

    # Private names as in tf-agents 0.19.0; a test holds each.
    if getattr(policy, "observation_and_action_constraint_splitter", None) is not None:
        raise ValueError(
            "A policy whose observation holds a mask of allowed actions cannot be rebuilt. Train "
            "without observation_and_action_constraint_splitter."
        )
    if isinstance(policy, (q_policy.QPolicy, categorical_q_policy.CategoricalQPolicy)):
        return policy._q_network, None
    if isinstance(policy, actor_policy.ActorPolicy):
        return policy._actor_network, policy._observation_normalizer
    raise ValueError(
        f"A {type(policy).__name__} cannot be rebuilt: known are the policies of DQN (QPolicy), "
        "of C51 (CategoricalQPolicy), and of PPO, SAC and TD3 (ActorPolicy)."
    )


def support_of(policy: Any) -> list[float] | None:
    """Returns the returns that a C51 network's atoms stand for; None of another policy."""
    from tf_agents.policies import categorical_q_policy

    if not isinstance(policy, categorical_q_policy.CategoricalQPolicy):
        return None
    return [float(value) for value in np.asarray(policy._support)]


def acted(policy: Any, leaves: list[Array]) -> Array:
    """Returns what a TFPolicy does in the first step of as many episodes as there are rows.

    Args:
        policy: greedy.
        leaves: of the observations, [count, *shape].
    """
    from tf_agents.trajectories import time_step as ts

    spec, count = policy.time_step_spec.observation, len(leaves[0])
    step = ts.restart(tf.nest.pack_sequence_as(spec, [*map(tf.constant, leaves)]), batch_size=count)
    result = policy.action(step, policy.get_initial_state(count)).action
    return np.asarray(tf.nest.flatten(result)[0])


def acted_in_turn(policy: Any, leaves: list[Array]) -> Array:
    """Returns what a TFPolicy does in one episode of these observations; arguments as `acted`."""
    from tf_agents.trajectories import time_step as ts

    spec, actions = policy.time_step_spec.observation, []
    state = policy.get_initial_state(1)
    for row in range(len(leaves[0])):
        given = tf.nest.pack_sequence_as(
            spec, [tf.constant(leaf[row : row + 1]) for leaf in leaves]
        )
        zero, one = tf.zeros([1]), tf.ones([1])
        step = ts.transition(given, zero, one) if row else ts.restart(given, batch_size=1)
        result = policy.action(step, state)
        state = result.state
        actions.append(np.asarray(tf.nest.flatten(result.action)[0])[0])
    return np.stack(actions)
