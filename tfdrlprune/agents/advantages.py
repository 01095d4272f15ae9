"""Advantages and the scale of rewards, for learning from roll-outs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.specs import Array


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

    Engstrom et al. 2020, "Implementation Matters in Deep Policy Gradients", appendix A.

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

    def __call__(self, reward: Array, done: Array, resets: Array) -> Array:
        """Returns scaled rewards, each by what was known up to its own step, clipped to [-10, 10].

        Args:
            reward: [time, num_envs].
            done: bool, of the same shape: no return goes on beyond it.
            resets: bool, of the same shape: steps that merely reset, which do not count.

        Returns:
            float32, of the same shape.
        """
        returns = np.empty(reward.shape)
        for time in range(len(reward)):
            returns[time] = self._running = reward[time] + self._gamma * self._running
            self._running = self._running * ~done[time]
        count, mean, squares = self._memory.get("returns", (1e-4, 0.0, 0.0))
        # Deviations from a number nearby, so that sums of squares do not cancel.
        pivot = float(returns.mean())
        deviation = np.where(resets, 0.0, returns - pivot)
        counts = count + np.cumsum((~resets).sum(axis=1))
        sums = count * (mean - pivot) + np.cumsum(deviation.sum(axis=1))
        powers = squares + count * (mean - pivot) ** 2 + np.cumsum((deviation**2).sum(axis=1))
        all_squares = np.maximum(powers - sums**2 / counts, 0.0)
        last = counts[-1], pivot + sums[-1] / counts[-1], all_squares[-1]
        self._memory["returns"] = tuple(map(float, last))
        scale = np.sqrt(all_squares / counts + 1e-8)[:, None]
        return np.clip(reward / scale, -10, 10).astype(np.float32)
