"""Replay of sequences, for recurrent networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.agents.replay import Replay
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Sequences:
    """A batch of sequences of consecutive steps; arrays are [*batch, time, ...].

    One may hold the end of an episode and the beginning of the next: ``resets`` tells the step
    between, which is not to be learned from, and ``first`` the one after it.

    Attributes:
        observation: leaves of the observation at each step.
        action: of each step.
        reward: of each step, float32.
        terminated: bool.
        done: bool: terminated or truncated.
        resets: bool: the step merely reset the environment.
        first: bool: the step is the first of its episode, or of the sequence.
        next_observation: leaves of the observation after each step.
    """

    observation: list[Array]
    action: Array
    reward: Array
    terminated: Array
    done: Array
    resets: Array
    first: Array
    next_observation: list[Array]


class SequenceReplay(Replay):
    """The last ``capacity`` steps, handed out as sequences of one environment."""

    def sequences(
        self, shape: tuple[int, ...], length: int, generator: np.random.Generator
    ) -> Sequences:
        """Returns sequences drawn uniformly, with replacement.

        Args:
            shape: the axes of the batch, such as (fused steps, batch size).
            length: steps in a sequence.
            generator: where the randomness comes from.

        Raises:
            ValueError: no such sequence is stored yet, with the observation after it.
        """
        oldest = max(0, self._written - self._rows)
        starts = self._written - length - oldest
        if starts < 1:
            raise ValueError(
                f"Replay needs more than {length} vector steps before it has a sequence of so many."
            )
        row = oldest + generator.integers(starts, size=shape)
        env = generator.integers(self._num_envs, size=shape)
        rows = row[..., None] + np.arange(length)
        here = self._flat(rows, env)
        resets = np.take(self._resets, here)
        first = np.roll(resets, 1, axis=-1)
        first[..., 0] = True  # the network's state begins there, whatever came before
        following = self._flat(rows + 1, env)
        return Sequences(
            [leaf.take(here) for leaf in self._observation],
            np.take(self._action.reshape((-1, *self._action.shape[2:])), here, axis=0),
            np.take(self._reward, here),
            np.take(self._terminated, here),
            np.take(self._done, here),
            resets,
            first,
            [leaf.take(following) for leaf in self._observation],
        )

    def _flat(self, rows: Array, env: Array) -> Array:
        """Returns flat indices for rows, [*batch, time], of one environment each, [*batch]."""
        return rows % self._rows * self._num_envs + env[..., None]
