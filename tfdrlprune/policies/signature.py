"""The frozen ``action`` signature of a SavedModel: what it takes, what it gives, what it does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array

# What TF-Agents calls the steps of an episode, and where a time step says so.
STEP_TYPE = "0/step_type"
FIRST, MID = 0, 1


@dataclass(frozen=True)
class Signature:
    """The ``action`` signature, frozen: variables are constants, function calls are inlined.

    Attributes:
        function: from all inputs, in the order of ``keys``, to all outputs.
        keys: of the inputs, such as ``0/observation`` (0 is the time step, 1 the policy's state).
        outputs: tensor names by key: ``action``, then leaves of the state, such as ``state/0``
            (``state`` where it has just one).
        definition: the graph before its calls were inlined, with functions and loops.
        sampled: by which operations the policy drew its action, of which this is the mode.
    """

    function: Any
    keys: tuple[str, ...]
    outputs: dict[str, str]
    definition: Any = None
    sampled: tuple[str, ...] = ()

    def leaves(self) -> list[str]:
        """Returns the keys that belong to the observation, in the signature's order."""
        return [key for key in self.keys if key.split("/")[:2] == ["0", "observation"]]

    @cached_property
    def tensors(self) -> dict[str, Any]:
        """The inputs' placeholders by key."""
        return dict(zip(self.keys, self.function.inputs, strict=True))

    @cached_property
    def states(self) -> dict[str, int]:
        """The leaves of the policy's state, and which output each of them is after the action."""
        following = {key.removeprefix("state"): i for i, key in enumerate(self.outputs) if i}
        return {
            key: following[key.removeprefix("1")]
            for key in self.keys
            if key.split("/")[0] == "1" and key.removeprefix("1") in following
        }

    @cached_property
    def batch_size(self) -> int | None:
        """The batch size that the policy was saved for; None takes any."""
        sizes = {self.tensors[key].shape[0] for key in self.leaves()}
        return sizes.pop() if len(sizes) == 1 else None

    def act(self, leaves: dict[str, Array], episodes: int = 1) -> Array:
        """Returns the SavedModel's own actions, [count, *shape].

        Args:
            leaves: [count, *shape] for each key of the observation.
            episodes: with a state, the rows are so many episodes, one after another, of as many
                steps each; without, they stand for themselves.
        """
        count = len(next(iter(leaves.values())))
        if not self.states:
            size = self.batch_size or count
            batches = [
                {k: leaf[i : i + size] for k, leaf in leaves.items()} for i in range(0, count, size)
            ]
            return np.concatenate([self._call(given, MID)[0] for given in batches])
        state: dict[str, Array] = {}
        actions = []
        for step in range(count // episodes):
            given = {key: leaf[step :: count // episodes] for key, leaf in leaves.items()}
            results = self._call(given | state, MID if step else FIRST)
            state = {key: results[index] for key, index in self.states.items()}
            actions.append(results[0])
        return np.stack(actions, axis=1).reshape(count, *actions[0].shape[1:])

    def _call(self, given: dict[str, Array], step_type: int) -> list[Array]:
        """Returns all outputs for some rows; others fill up a batch whose size is fixed.

        A state that is not given is zeros. Reward and discount are 1; policies don't read them.
        """
        count = len(next(iter(given.values())))
        size = self.batch_size or count
        arguments = []
        for key, tensor in self.tensors.items():
            if key in given:
                value = np.resize(given[key], (size, *given[key].shape[1:]))
            elif key in self.states:
                value = np.zeros((size, *tensor.shape[1:]))
            else:
                value = np.full(size, step_type if key == STEP_TYPE else 1)
            arguments.append(tf.constant(value, tensor.dtype))
        results = tf.nest.flatten(self.function(*arguments))
        return [np.asarray(result)[:count] for result in results]
