"""n-step transitions, and their returns, cut where an episode ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Transitions:
    """A batch of n-step transitions; every array starts with the batch's axes.

    Attributes:
        observation: leaves of the observation at the first step.
        action: the first step's action.
        reward: sum of ``gamma**i * reward_i`` over the steps, float32.
        discount: ``gamma**(steps - 1)``, or 0 where the episode terminated, float32. TF-Agents'
            DQN multiplies by gamma once more.
        next_observation: leaves of the observation after the last step.
    """

    observation: list[Array]
    action: Array
    reward: Array
    discount: Array
    next_observation: list[Array]


def n_step_returns(
    reward: Array, terminated: Array, done: Array, gamma: float
) -> tuple[Array, Array, Array]:
    """Returns discounted sums of rewards, what to bootstrap with, and how many steps they count.

    Args:
        reward: float32, [starts, n, envs]: of the n steps from each start.
        terminated: bool, of the same shape.
        done: bool, of the same shape: terminated or truncated; no step after it counts.
        gamma: discount factor.

    Returns:
        Three of shape [starts, envs]: the sum of ``gamma**i * reward_i``, float32; ``gamma**(steps
        - 1)``, or 0 where the episode terminated, float32; and the steps, in [1, n].
    """
    counts = np.ones_like(done)
    counts[:, 1:] = ~np.logical_or.accumulate(done[:, :-1], axis=1)
    powers = (gamma ** np.arange(reward.shape[1])).astype(np.float32)[:, None]
    steps = counts.sum(axis=1)
    bootstrap = np.where((terminated & counts).any(axis=1), 0.0, gamma ** (steps - 1))
    return (reward * counts * powers).sum(axis=1), bootstrap.astype(np.float32), steps
