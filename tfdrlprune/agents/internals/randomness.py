"""Seeds for what agents draw inside their losses."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.utils import common


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


@contextlib.contextmanager
def smoothed(agent: Any, seed: tf.Tensor) -> Iterator[None]:
    """Makes a TD3 agent draw the noise on its target actions from a seed.

    On its own it draws from a generator that no checkpoint holds, so that a resumed run would
    differ.

    Args:
        agent: a TD3 agent.
        seed: int32, [2].
    """
    original, target = agent.critic_loss, agent._target_actor_network
    deviation, limit = agent._target_policy_noise, agent._target_policy_noise_clip

    def noisy(*inputs: Any, **arguments: Any) -> tuple[Any, Any]:
        actions, state = target(*inputs, **arguments)
        leaves = [
            action
            + tf.clip_by_value(
                deviation
                * tf.random.stateless_normal(
                    tf.shape(action),
                    tf.random.experimental.stateless_fold_in(seed, index),
                    dtype=action.dtype,
                ),
                -limit,
                limit,
            )
            for index, action in enumerate(tf.nest.flatten(actions))
        ]
        return tf.nest.pack_sequence_as(actions, leaves), state

    def critic_loss(*inputs: Any, **arguments: Any) -> tf.Tensor:
        # The loss still adds noise of its own, of deviation 0.
        agent._target_actor_network, agent._target_policy_noise = noisy, 0.0
        try:
            return original(*inputs, **arguments)
        finally:
            agent._target_actor_network, agent._target_policy_noise = target, deviation

    agent.critic_loss = critic_loss
    try:
        yield
    finally:
        del agent.critic_loss
