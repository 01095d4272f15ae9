"""Replay: a ring of vectorised steps in NumPy that hands out n-step transitions.

One row holds what happened in one step of every environment. Under Gymnasium's ``NEXT_STEP``
autoreset the observation after a done step is the final one and stands in the next row, whose own
step merely resets; so each observation is stored once, ``next observation`` is a row number, and
the resetting rows are never handed out.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


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


class Replay:
    """The last ``capacity`` steps.

    Args:
        capacity: environment steps kept.
        num_envs: environments that are stepped together.
        observation: (shape, dtype) of each leaf of an observation.
        action: (shape, dtype) of an action.
        n_step: steps in a transition; fewer where the episode ends.
        gamma: discount factor.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        observation: Sequence[tuple[tuple[int, ...], Any]],
        action: tuple[tuple[int, ...], Any],
        n_step: int = 1,
        gamma: float = 0.99,
    ):
        self._n_step, self._gamma, self._num_envs = n_step, gamma, num_envs
        # The last n rows wait for their n-step return, so they come on top.
        self._rows = -(-capacity // num_envs) + n_step
        each = (self._rows, num_envs)
        self._observation = [np.zeros((*each, *shape), dtype) for shape, dtype in observation]
        self._action = np.zeros((*each, *action[0]), action[1])
        self._reward = np.zeros(each, np.float32)
        self._terminated = np.zeros(each, bool)
        self._done = np.zeros(each, bool)
        self._resets = np.zeros(each, bool)
        self._return = np.zeros(each, np.float32)
        self._discount = np.zeros(each, np.float32)
        self._horizon = np.zeros(each, np.int32)
        self._written = 0
        self._ready = 0

    def __len__(self) -> int:
        """Returns the number of environment steps that `sample` draws from, resets included."""
        return (self._ready - self._oldest()) * self._num_envs

    def add(
        self,
        observation: Sequence[Array],
        action: Array,
        reward: Array,
        terminated: Array,
        truncated: Array,
        resets: Array,
    ) -> None:
        """Appends one step of every environment.

        Args:
            observation: leaves, [num_envs, ...]: what the actions were chosen on.
            action: [num_envs, ...].
            reward: float, [num_envs].
            terminated: bool, [num_envs].
            truncated: bool, [num_envs].
            resets: bool, [num_envs]: where the step merely reset the environment.
        """
        row = self._written % self._rows
        for stored, leaf in zip(self._observation, observation, strict=True):
            stored[row] = leaf
        self._action[row] = action
        self._reward[row] = reward
        self._terminated[row] = terminated
        np.logical_or(terminated, truncated, out=self._done[row])
        self._resets[row] = resets
        self._written += 1

    def end_episodes(self, observation: Sequence[Array]) -> None:
        """Ends all running episodes as truncated, with ``observation`` as the final one."""
        if self._written == 0:
            return
        self._done[(self._written - 1) % self._rows] = True
        nothing = np.zeros(self._num_envs, bool)
        action = np.zeros_like(self._action[0])
        self.add(observation, action, nothing, nothing, nothing, ~nothing)

    def sample(self, shape: tuple[int, ...], generator: np.random.Generator) -> Transitions:
        """Returns transitions drawn uniformly, with replacement.

        Args:
            shape: the axes of the batch, such as (fused steps, batch size).
            generator: where the randomness comes from.

        Raises:
            ValueError: nothing is stored yet.
        """
        self._finish_rows()
        if len(self) == 0:
            raise ValueError(f"Replay needs more than {self._n_step} vector steps before sampling.")
        first = self._draw(shape, generator)
        # Flat indices: gathering by one index array takes half the time of gathering by two.
        following = (first + self._flat(self._horizon)[first] * self._num_envs) % self._resets.size
        return Transitions(
            [self._flat(leaf)[first] for leaf in self._observation],
            self._flat(self._action)[first],
            self._flat(self._return)[first],
            self._flat(self._discount)[first],
            [self._flat(leaf)[following] for leaf in self._observation],
        )

    def recent(self, count: int) -> list[Array]:
        """Returns the leaves of up to ``count`` of the latest observations, [count, ...]."""
        stored = min(self._written, self._rows)
        rows = np.arange(self._written - min(stored, -(-count // self._num_envs)), self._written)
        return [self._flat(leaf[rows % self._rows])[-count:] for leaf in self._observation]

    def to_bytes(self) -> bytes:
        """Returns all that is stored, for a checkpoint."""
        filled = min(self._written, self._rows)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: a[:filled] for name, a in self._arrays().items()}
        np.savez(buffer, written=self._written, ready=self._ready, **arrays)
        return buffer.getvalue()

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave.

        Raises:
            ValueError: it comes from a replay of other sizes.
        """
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            written = int(stored["written"])
            filled = min(written, self._rows)
            for name, array in self._arrays().items():
                if stored[name].shape != (filled, *array.shape[1:]):
                    raise ValueError(
                        f"The checkpoint's replay has {name} of shape {stored[name].shape}, this "
                        f"trainer {(filled, *array.shape[1:])}: another capacity, number of "
                        "environments or environment."
                    )
                array[:filled] = stored[name]
            self._written, self._ready = written, int(stored["ready"])

    def _arrays(self) -> dict[str, Array]:
        return {
            "action": self._action,
            "reward": self._reward,
            "terminated": self._terminated,
            "done": self._done,
            "resets": self._resets,
            "return": self._return,
            "discount": self._discount,
            "horizon": self._horizon,
        } | {f"observation_{i}": leaf for i, leaf in enumerate(self._observation)}

    def _oldest(self) -> int:
        return min(self._ready, max(0, self._written - self._rows))

    def _finish_rows(self) -> None:
        """Computes the n-step return of every row that n rows have followed since."""
        finished = self._written - self._n_step
        self._ready = max(self._ready, self._written - self._rows)
        if finished <= self._ready:
            return
        starts = np.arange(self._ready, finished)
        window = (starts[:, None] + np.arange(self._n_step)) % self._rows  # [rows, n]
        done = self._done[window]  # [rows, n, envs]
        before = np.cumsum(done, axis=1) - done
        counts = before == 0  # a step counts as long as none before it was done
        powers = (self._gamma ** np.arange(self._n_step, dtype=np.float32))[:, None]
        here = starts % self._rows
        self._return[here] = (self._reward[window] * counts * powers).sum(axis=1)
        self._horizon[here] = counts.sum(axis=1)
        terminated = (self._terminated[window] & counts).any(axis=1)
        self._discount[here] = np.where(
            terminated, 0.0, np.float32(self._gamma) ** (self._horizon[here] - 1)
        )
        self._ready = finished

    def _draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Returns flat indices, drawn uniformly among the steps that did not merely reset."""
        begin, count = self._oldest() * self._num_envs, len(self)
        resets = self._flat(self._resets)
        drawn = (begin + generator.integers(count, size=shape)) % resets.size
        while (bad := resets[drawn]).any():
            drawn[bad] = (begin + generator.integers(count, size=int(bad.sum()))) % resets.size
        return drawn

    @staticmethod
    def _flat(array: Array) -> Array:
        """Returns a view of [rows, envs, ...] as [rows * envs, ...]."""
        return array.reshape((-1, *array.shape[2:]))
