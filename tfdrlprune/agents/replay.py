"""Replay: a ring of vectorised steps in NumPy that hands out n-step transitions.

One row holds what happened in one step of every environment. Under Gymnasium's ``NEXT_STEP``
autoreset the observation after a done step is the final one and stands in the next row, whose own
step merely resets; so each observation is stored once, ``next observation`` is a row number, and
the resetting rows are never handed out. Of stacked images, single frames are stored.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfdrlprune.agents.leaves import LeafSpec, build_leaves
from tfdrlprune.agents.transitions import Transitions, n_step_returns
from tfdrlprune.specs import Array

# Rows whose n-step returns are worked out at a time, which bounds the room that this takes.
_BLOCK = 256


class Replay:
    """The last ``capacity`` steps.

    Args:
        capacity: environment steps kept.
        num_envs: environments that are stepped together.
        observation: (shape, dtype) of each leaf of an observation.
        action: (shape, dtype) of an action.
        n_step: steps in a transition; fewer where the episode ends.
        gamma: discount factor.
        stacked_frames: store single frames of an observation that is a stack of this many, oldest
            first, where one number means every uint8 leaf of three axes or more; or one number for
            each leaf, where 1 stores it as it comes. What is sampled is the same to the bit.
        stack_axis: along which they are stacked; by default the first axis or the last, whichever
            has that size.

    Raises:
        ValueError: the stacked frames cannot be found in the observation's shapes.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        observation: Sequence[LeafSpec],
        action: LeafSpec,
        n_step: int = 1,
        gamma: float = 0.99,
        stacked_frames: int | Sequence[int] = 1,
        stack_axis: int | None = None,
    ):
        self._n_step, self._gamma, self._num_envs = n_step, gamma, num_envs
        # The last n rows wait for their n-step return, so they come on top.
        self._rows = -(-capacity // num_envs) + n_step
        each = (self._rows, num_envs)
        self._observation = build_leaves(
            self._rows, num_envs, observation, stacked_frames, stack_axis
        )
        self._action = np.zeros((*each, *action[0]), action[1])
        self._reward = np.zeros(each, np.float32)
        self._terminated = np.zeros(each, bool)
        self._done = np.zeros(each, bool)
        self._resets = np.zeros(each, bool)
        self._return = np.zeros(each, np.float32)
        self._discount = np.zeros(each, np.float32)
        self._following = np.zeros(each, np.int64)  # flat: row * num_envs + environment
        self._drawable = np.zeros(each, bool)  # whole transitions that start with no reset
        self._written = 0
        self._ready = 0

    def __len__(self) -> int:
        """Returns the number of environment steps that `sample` draws from, resets included."""
        oldest = min(self._ready, max(0, self._written - self._rows))
        return (self._ready - oldest) * self._num_envs

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

        Raises:
            ValueError: an observation of stacked frames is no such stack.
        """
        row = self._written % self._rows
        begins = self._resets[row - 1] | (self._written == 0)
        leaves = list(zip(self._observation, observation, strict=True))
        # All are checked before one is stored: an error leaves everything as it was.
        checked: list[Any] = [stored.check(self._written, leaf, begins) for stored, leaf in leaves]
        for stored, value in zip(self._observation, checked, strict=True):
            stored.put(self._written, value)
        self._drawable[row] = False
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
            ValueError: no whole transition is stored yet.
        """
        self._finish_rows()
        if not self._drawable.any():
            raise ValueError(f"Replay needs more than {self._n_step} vector steps before sampling.")
        # One index, and np.take: several times as fast as two indices, or as brackets.
        first = self._draw(math.prod(shape), generator).reshape(shape)
        following = np.take(self._following, first)
        return Transitions(
            [leaf.take(first) for leaf in self._observation],
            np.take(self._action.reshape((-1, *self._action.shape[2:])), first, axis=0),
            np.take(self._return, first),
            np.take(self._discount, first),
            [leaf.take(following) for leaf in self._observation],
        )

    def recent(self, count: int) -> list[Array]:
        """Returns the leaves of up to ``count`` of the latest observations, [count, ...]."""
        stored = min(self._written, self._rows)
        rows = np.arange(self._written - min(stored, -(-count // self._num_envs)), self._written)
        index = self._flat_index(rows).ravel()[-count:]
        return [leaf.take(index) for leaf in self._observation]

    @property
    def nbytes(self) -> int:
        """Bytes that are held, whether filled yet or not."""
        steps = sum(array.nbytes for array in self._step_arrays().values())
        return steps + sum(leaf.nbytes for leaf in self._observation)

    def to_bytes(self) -> bytes:
        """Returns all that is stored, for a checkpoint."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {
            name: array[: min(self._written, len(array))] for name, array in self._arrays().items()
        }
        np.savez(buffer, written=self._written, ready=self._ready, **arrays)
        return buffer.getvalue()

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave.

        Raises:
            ValueError: it comes from a replay of other sizes.
        """
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            written = int(stored["written"])
            self._drawable[:] = False  # also where the checkpoint's ring was not filled yet
            for name, array in self._arrays().items():
                wanted = (min(written, len(array)), *array.shape[1:])
                found = stored[name] if name in stored.files else np.zeros(0)
                if found.shape != wanted:
                    raise ValueError(
                        f"The checkpoint's replay has {name} of shape {found.shape}, this trainer "
                        f"{wanted}: another capacity, number of environments, environment or "
                        "stacked_frames."
                    )
                array[: len(found)] = found
            self._written, self._ready = written, int(stored["ready"])

    def _arrays(self) -> dict[str, Array]:
        return self._step_arrays() | {
            f"{name}_{index}": array
            for index, leaf in enumerate(self._observation)
            for name, array in leaf.arrays().items()
        }

    def _step_arrays(self) -> dict[str, Array]:
        return {
            "action": self._action,
            "reward": self._reward,
            "terminated": self._terminated,
            "done": self._done,
            "resets": self._resets,
            "return": self._return,
            "discount": self._discount,
            "following": self._following,
            "drawable": self._drawable,
        }

    def _finish_rows(self) -> None:
        """Computes the n-step return of every row that n rows have followed since."""
        finished = self._written - self._n_step
        self._ready = max(self._ready, self._written - self._rows)
        for begin in range(self._ready, finished, _BLOCK):
            self._finish(np.arange(begin, min(begin + _BLOCK, finished)))
        self._ready = max(self._ready, finished)

    def _finish(self, starts: Array) -> None:
        window = (starts[:, None] + np.arange(self._n_step)) % self._rows
        here = starts % self._rows
        self._return[here], self._discount[here], steps = n_step_returns(
            self._reward[window], self._terminated[window], self._done[window], self._gamma
        )
        self._following[here] = self._flat_index(starts, steps)
        self._drawable[here] = ~self._resets[here]

    def _draw(self, count: int, generator: np.random.Generator) -> Array:
        """Returns flat indices, drawn uniformly among what is drawable."""
        filled = min(self._written, self._rows) * self._num_envs
        drawn = generator.integers(filled, size=count)
        bad = np.flatnonzero(~np.take(self._drawable, drawn))
        while bad.size:
            again = generator.integers(filled, size=bad.size)
            drawn[bad] = again
            bad = bad[~np.take(self._drawable, again)]
        return drawn

    def _flat_index(self, rows: Array, ahead: Any = 0) -> Array:
        """Returns the flat indices, [rows, envs], of what stands ``ahead`` rows after others."""
        row = (rows[:, None] + ahead) % self._rows
        return row * self._num_envs + np.arange(self._num_envs)
