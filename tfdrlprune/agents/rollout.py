"""Roll-outs of the stochastic policy, for PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.advantages import ReturnScale
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.vector import Vector

Array = NDArray[Any]


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
    """

    observation: list[Array]
    action: Any
    parameters: Any
    values: Array
    reward: Array
    terminated: Array
    done: Array
    resets: Array


class Collector:
    """Steps the environments by actions sampled from the agent's collect policy.

    Args:
        agent: a PPO agent.
        vector: the environments.
        state: randomness and counters.
        scale: of the rewards; None leaves them as they are.
    """

    def __init__(self, agent: Any, vector: Vector, state: LearnerState, scale: ReturnScale | None):
        self._agent, self._vector, self._state, self._scale = agent, vector, state, scale
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next roll-out."""
        self._act = compiled(self._sample, "acting")

    def collect(self, length: int) -> Rollout:
        """Returns a roll-out of ``length`` vector steps; episodes go on from the last one."""
        if self._state.begin_episodes(self._vector) and self._scale is not None:
            self._scale.restart()
        observations, sampled, rewards, steps = [], [], [], []
        for _ in range(length):
            observations.append(self._vector.observation)
            sampled.append(self._act(self._vector.observation, self._draw_seed()))
            step = self._vector.step(tf.nest.map_structure(np.asarray, sampled[-1][0]))
            done = step.terminated | step.truncated
            rewards.append(step.reward if self._scale is None else self._scale(step.reward, done))
            steps.append(step)
            self._state.env_step += self._vector.num_envs
        sampled.append(self._act(self._vector.observation, self._draw_seed()))
        actions, parameters, values = zip(*sampled, strict=True)
        terminated = np.stack([step.terminated for step in steps])
        return Rollout(
            [np.stack(leaf) for leaf in zip(*observations, strict=True)],
            _stacked(actions[:-1]),
            _stacked(parameters[:-1]),
            _stacked(values),
            np.stack(rewards),
            terminated,
            terminated | np.stack([step.truncated for step in steps]),
            np.stack([step.resets for step in steps]),
        )

    def _draw_seed(self) -> Array:
        return self._state.generator.integers(2**31, size=2, dtype=np.int32)

    def _sample(self, leaves: list[tf.Tensor], seed: tf.Tensor) -> Any:
        """Returns actions, the distribution's parameters, and V (0 where the agent adds it)."""
        count = tf.shape(leaves[0])[0]
        time_step = ts.TimeStep(
            tf.fill((count,), ts.StepType.MID),
            tf.zeros((count,)),
            tf.ones((count,)),
            tf.nest.pack_sequence_as(self._agent.time_step_spec.observation, leaves),
        )
        policy = self._agent.collect_policy
        step = policy.distribution(time_step, policy.get_initial_state(count))
        actions = [
            each.sample(seed=tf.random.experimental.stateless_fold_in(seed, index))
            for index, each in enumerate(tf.nest.flatten(step.action))
        ]
        value = step.info.get("value_prediction", tf.zeros((count,)))
        packed = tf.nest.pack_sequence_as(self._agent.action_spec, actions)
        return packed, step.info["dist_params"], value


def _stacked(nests: Any) -> Any:
    return tf.nest.map_structure(lambda *each: np.stack([np.asarray(e) for e in each]), *nests)
