"""Roll-outs of a recurrent stochastic policy, for PPO."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.acting import sample_all, time_step
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.internals import ActorCritic
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.rollout import Rollout
from tfdrlprune.agents.vector import Vector

_Flat = tuple[Any, ...]


class RecurrentCollector:
    """Steps the environments by actions sampled from a recurrent collect policy.

    Every environment has a state of the actor and of the critic, which goes on from one roll-out to
    the next, and is forgotten where an episode begins.

    Args:
        agent: a PPO agent that computes advantages itself.
        parts: its parts.
        vector: the environments.
        state: randomness and counters.
    """

    def __init__(self, agent: Any, parts: ActorCritic, vector: Vector, state: LearnerState):
        self._agent, self._critic = agent, parts.critic
        self._vector, self._state = vector, state
        self._states: tuple[_Flat, _Flat] = ((), ())
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next roll-out."""
        self._act = compiled(self._act_once, "acting")
        self._look_back = compiled(self._critic_state_after, "states")

    def collect(self, length: int) -> Rollout:
        """Returns a roll-out of ``length`` vector steps; episodes go on from the last one."""
        if self._state.begin_episodes(self._vector):
            self._states = self._zeros()
        before = self._states
        actor, rows = before[0], []
        for _ in range(length):
            leaves, first = self._vector.observation, self._vector.first
            seed = self._state.generator.integers(2**31, size=2, dtype=np.int32)
            *chosen, actor = self._act(leaves, first, seed, actor)
            action, parameters = tf.nest.map_structure(np.asarray, chosen)
            rows.append((leaves, first, action, parameters, self._vector.step(action)))
            self._state.env_step += self._vector.num_envs
        rollout = self._rollout(rows, before)
        critic = self._look_back(rollout.observation, rollout.first, before[1])
        self._states = actor, critic
        return rollout

    def _rollout(self, rows: list[tuple[Any, ...]], states: tuple[_Flat, _Flat]) -> Rollout:
        leaves, first, actions, parameters, steps = zip(*rows, strict=True)

        def stacked(nests: Any) -> Any:
            return tf.nest.map_structure(lambda *each: np.stack(each), *nests)

        reward, terminated, truncated, resets = (
            np.stack([getattr(step, name) for step in steps])
            for name in ("reward", "terminated", "truncated", "resets")
        )
        return Rollout(
            stacked(leaves),
            stacked(actions),
            stacked(parameters),
            np.zeros((len(rows) + 1, self._vector.num_envs), np.float32),  # the agent's business
            reward,
            terminated,
            terminated | truncated,
            resets,
            np.stack(first),
            states,
        )

    def _zeros(self) -> tuple[_Flat, _Flat]:
        count = self._vector.num_envs
        actor = self._agent.collect_policy.get_initial_state(count)
        critic = self._agent.collect_policy.get_initial_value_state(count)
        return tuple(tf.nest.flatten(actor)), tuple(tf.nest.flatten(critic))

    def _act_once(self, leaves: list[tf.Tensor], first: Any, seed: Any, state: _Flat) -> Any:
        """Returns actions, the parameters of their distributions, and the actor's next state."""
        policy = self._agent.collect_policy
        step = policy.distribution(
            time_step(self._agent, leaves, first),
            tf.nest.pack_sequence_as(policy.policy_state_spec, state),
        )
        actions = sample_all(step.action, seed)
        return actions, step.info["dist_params"], tuple(tf.nest.flatten(step.state))

    def _critic_state_after(self, leaves: list[tf.Tensor], first: Any, state: _Flat) -> _Flat:
        """Returns the critic's state after observations, [time, envs, ...]."""
        if not state:
            return state

        def by_env(array: tf.Tensor) -> tf.Tensor:
            return tf.transpose(array, (1, 0, *range(2, array.shape.rank)))

        first = by_env(first)
        observation = [by_env(leaf) for leaf in leaves]
        _, after = self._agent.collect_policy.apply_value_network(
            tf.nest.pack_sequence_as(self._agent.time_step_spec.observation, observation),
            tf.where(first, ts.StepType.FIRST, tf.fill(tf.shape(first), ts.StepType.MID)),
            value_state=tf.nest.pack_sequence_as(self._critic.state_spec, state),
        )
        return tuple(tf.nest.flatten(after))
