"""Advantages and the scale of rewards, for learning from roll-outs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def generalized_advantages(
    values: Array, reward: Array, terminated: Array, done: Array, gamma: float, gae_lambda: float
) -> Array:
    """Returns generalised advantage estimates (Schulman et al. 2016, eq. 16).

    A truncated episode is bootstrapped from its final state's value, a terminated one is not; no
    estimate reaches beyond the end of its episode.

    Args:
        values: [time + 1, envs]: V of every state, and of the last one reached.
        reward: [time, envs].
        terminated: bool, [time, envs].
        done: bool, [time, envs]: terminated or truncated.
        gamma: discount factor.
        gae_lambda: 0 gives the TD error, 1 the Monte Carlo estimate.

    Returns:
        [time, envs].
    """
    delta = reward + gamma * values[1:] * ~terminated - values[:-1]
    advantages = np.zeros_like(delta)
    running = np.zeros_like(delta[0])
    for time in range(len(delta) - 1, -1, -1):
        running = delta[time] + gamma * gae_lambda * ~done[time] * running
        advantages[time] = running
    return advantages


class ReturnScale:
    """Divides rewards by the running standard deviation of discounted returns.

    Engstrom et al. 2020, "Implementation Matters in Deep Policy Gradients", appendix A; the
    variance is updated in parallel form (Chan et al. 1979).

    Args:
        num_envs: environments that are stepped together.
        gamma: discount factor.
        memory: where count, mean and sum of squares are kept, under "returns".
    """

    def __init__(self, num_envs: int, gamma: float, memory: dict[str, Any]):
        self._gamma, self._memory = gamma, memory
        self._running = np.zeros(num_envs)

    def restart(self) -> None:
        """Notes that new episodes begin in all environments."""
        self._running = np.zeros_like(self._running)

    def __call__(self, reward: Array, done: Array) -> Array:
        """Returns the scaled rewards, clipped to [-10, 10], float32, [num_envs]."""
        values = self._running = reward + self._gamma * self._running
        count, mean, squares = self._memory.get("returns", (1e-4, 0.0, 0.0))
        total = count + values.size
        delta = float(values.mean()) - mean
        squares += float(values.var()) * values.size + delta**2 * count * values.size / total
        self._memory["returns"] = (total, mean + delta * values.size / total, squares)
        self._running = values * ~done
        return np.clip(reward / np.sqrt(squares / total + 1e-8), -10, 10).astype(np.float32)
