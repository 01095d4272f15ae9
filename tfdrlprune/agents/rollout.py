"""Roll-outs of the stochastic policy, for PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.acting import Sampler, time_step
from tfdrlprune.agents.advantages import ReturnScale
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.internals import ActorCritic
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.vector import Vector
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Rollout:
    """What happened in ``time`` steps of every environment; arrays are [time, envs, ...].

    Attributes:
        observation: leaves of what the actions were chosen on.
        action: nested as the agent's action.
        parameters: of the action distribution, nested as TF-Agents' ``dist_params``.
        values: [time + 1, envs]: V of every state, and of the last one reached.
        reward: float32, scaled.
        terminated: bool.
        done: bool: terminated or truncated.
        resets: bool: the step merely began a new episode, and its row is not to be learned from.
        first: bool: it was the first step of an episode.
        states: of recurrent networks, before the first step: of actor and critic, flat, [envs, ...]
            each; None of others.
    """

    observation: list[Array]
    action: Any
    parameters: Any
    values: Array
    reward: Array
    terminated: Array
    done: Array
    resets: Array
    first: Array
    states: tuple[Any, Any] | None = None


class Collector:
    """Steps the environments by actions sampled from the agent's collect policy.

    Args:
        agent: a PPO agent.
        parts: its parts.
        vector: the environments.
        state: randomness and counters.
        scale: of the rewards; None leaves them as they are.
    """

    def __init__(
        self,
        agent: Any,
        parts: ActorCritic,
        vector: Vector,
        state: LearnerState,
        scale: ReturnScale | None,
    ):
        self._agent, self._parts, self._vector = agent, parts, vector
        self._state, self._scale = state, scale
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next roll-out."""
        self._sampler = Sampler(self._agent, self._parts.actor, self._parts.normalizer)
        self._look_back = compiled(self._distribution_and_values, "values")

    def collect(self, length: int) -> Rollout:
        """Returns a roll-out of ``length`` vector steps; episodes go on from the last one."""
        if self._state.begin_episodes(self._vector) and self._scale is not None:
            self._scale.restart()
        self._sampler.refresh(self._vector.observation)
        observations, actions, steps, first = [], [], [], []
        for _ in range(length):
            observations.append(self._vector.observation)
            first.append(self._vector.first)
            actions.append(self._sampler(self._vector.observation, self._state.generator))
            steps.append(self._vector.step(actions[-1]))
            self._state.env_step += self._vector.num_envs
        observations.append(self._vector.observation)
        seen = [np.stack(leaf) for leaf in zip(*observations, strict=True)]
        parameters, values = self._look_back([leaf.reshape((-1, *leaf.shape[2:])) for leaf in seen])
        reward, terminated, truncated, resets = (
            np.stack([getattr(step, name) for step in steps])
            for name in ("reward", "terminated", "truncated", "resets")
        )
        done = terminated | truncated
        return Rollout(
            [leaf[:-1] for leaf in seen],
            tf.nest.map_structure(lambda *each: np.stack(each), *actions),
            tf.nest.map_structure(lambda array: self._by_time(array)[:-1], parameters),
            self._by_time(values),
            reward if self._scale is None else self._scale(reward, done, resets),
            terminated,
            done,
            resets,
            np.stack(first),
        )

    def _by_time(self, array: Any) -> Array:
        """Returns [time * envs, ...] as [time, envs, ...]."""
        return np.asarray(array).reshape((-1, self._vector.num_envs, *array.shape[1:]))

    def _distribution_and_values(self, leaves: list[tf.Tensor]) -> Any:
        """Returns the distribution's parameters, and V (0 where the agent computes it itself)."""
        policy = self._agent.collect_policy
        count = tf.shape(leaves[0])[0]
        state = policy.get_initial_state(count)
        info = policy.distribution(time_step(self._agent, leaves), state).info
        return info["dist_params"], info.get("value_prediction", tf.zeros((count,)))
