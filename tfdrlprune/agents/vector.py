"""Vectorised environments as the training loop steps them: leaves in, leaves out, returns kept."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents import spaces
from tfdrlprune.simulation import Environment, make_vector
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Step:
    """What one step of every environment gave; all arrays are [num_envs].

    Attributes:
        reward: float32, 0 where the step merely reset.
        terminated: bool: the episode is over for good.
        truncated: bool: it was cut, and its last state is bootstrapped from.
        resets: bool: the step began a new episode and ignored its action.
    """

    reward: Array
    terminated: Array
    truncated: Array
    resets: Array


class Vector:
    """Environments stepped as one, with the observation that the next actions are chosen on.

    Args:
        env: registered id, factory or environment.
        num_envs: how many.

    Attributes:
        observation: leaves, in the order of ``tf.nest.flatten``, each [num_envs, ...].
        first: bool, [num_envs]: whether it is the first observation of an episode.
        returns: undiscounted returns of the last 100 episodes that ended.
    """

    def __init__(self, env: Environment, num_envs: int):
        self._envs = make_vector(env, num_envs)
        self.num_envs = num_envs
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space
        self.observation: list[Array] = []
        self.first = np.ones(num_envs, bool)
        self.returns: deque[float] = deque(maxlen=100)
        self._running = np.zeros(num_envs)
        self._done = np.zeros(num_envs, bool)

    def restart(self, seed: int) -> None:
        """Begins new episodes in all environments."""
        observation, _ = self._envs.reset(seed=seed)
        self._running[:] = 0.0
        self._done[:] = False
        self.first = np.ones(self.num_envs, bool)
        self.observation = self._leaves(observation)

    def step(self, action: Any) -> Step:
        """Steps all environments by TF-Agents' (zero-based) actions.

        Raises:
            ValueError: the environment gave a reward that is NaN or infinite.
        """
        decoded = spaces.decode_action(self.action_space, action)
        observation, reward, terminated, truncated, _ = self._envs.step(decoded)
        resets, done = self._done, terminated | truncated
        reward = np.where(resets, 0.0, reward)
        # As float32, which the agent is given: 1e300 is infinite there.
        if not (np.abs(reward) <= np.finfo(np.float32).max).all():
            raise ValueError(f"The environment gave a reward that is not finite: {reward}.")
        self._running += reward
        if done.any():
            self.returns.extend(self._running[done].tolist())
            self._running[done] = 0.0
        self._done, self.first = done, resets
        self.observation = self._leaves(observation)
        _check_finite(self.observation)
        return Step(reward.astype(np.float32), terminated, truncated, resets)

    def close(self) -> None:
        """Closes the environments."""
        self._envs.close()

    def _leaves(self, observation: Any) -> list[Array]:
        return tf.nest.flatten(spaces.encode_observation(self.observation_space, observation))


def _check_finite(leaves: list[Array]) -> None:
    """Raises ValueError for NaN or infinity, which an agent would learn from without a word."""
    for leaf in leaves:
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            raise ValueError("The environment gave an observation that is NaN or infinite.")
