"""Lessons of recurrent students: sequences of what was seen, with the teacher's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.compression.actor import Actor
from tfdrlprune.compression.distillation.lesson import Lesson
from tfdrlprune.compression.states import States
from tfdrlprune.policies.over_time import over_time
from tfdrlprune.specs import Array, ArraySpec

# Steps of a sequence, through which gradients go back.
LENGTH = 32
# Steps at its beginning that only fill the memory, unless an episode begins there: what the student
# remembers of earlier ones is not stored, as it changes with every step of the optimizer.
BURN_IN = 8
# A batch has as many states as that of other students, but no fewer sequences than this.
_LEAST = 16


class SequenceLesson(Lesson):
    """A lesson whose students remember: their gradients go back through time.

    The teacher follows every environment with a memory of its own, so that its answers are those
    that it would give in the student's place.
    """

    def collect(self, states: States, actors: Sequence[Actor], steps: int, epsilon: float) -> None:
        """Adds the sequences that actors walk through; see `States.walk`."""
        if not hasattr(self, "_follower"):
            self._follower = Actor(self.teacher)
        steps = -(-steps // LENGTH) * LENGTH
        seen, begins, answers = [], [], []
        for leaves, first in states.walk(actors, steps, epsilon):
            seen.append(leaves)
            begins.append(first)
            answers.append(self._follower.outputs(leaves, first))
        leaves = [_cut(np.stack(each)) for each in zip(*seen, strict=True)]
        self._leaves.append([*leaves, _cut(np.stack(begins))])
        self._answers.append(_cut(np.stack(answers)))
        if self._scale is None:
            flat = self._answers[0].reshape(-1, self._answers[0].shape[-1])
            self._scale = self._objective.scale(flat)

    def states(self) -> list[Array]:
        """Returns all states that were rehearsed, each leaf [count, *shape]."""
        *leaves, _ = self._with_answers()[0]
        return [leaf.reshape(-1, *leaf.shape[2:]) for leaf in leaves]

    def _draw(self, leaves: list[Array], answers: Array, steps: int) -> dict[str, Any]:
        """Returns a batch of sequences for each of some steps, [steps, count, LENGTH, ...]."""
        count = max(_LEAST, self.settings.batch_size // LENGTH)
        chosen = self.generator.integers(len(answers), size=(steps, count))
        *seen, first, wanted = (each[chosen] for each in (*leaves, answers))
        begun = np.logical_or.accumulate(first, axis=2)
        late = np.arange(LENGTH) >= BURN_IN
        return {
            "leaves": seen,
            "first": first,
            "answers": wanted,
            "weight": (begun | late).astype(np.float32),
            "scale": self._scale,
        }

    def visit(self, network: Any, count: int) -> None:
        """Calls the student's model on the latest states, with an empty memory."""
        leaves = [leaf.reshape(-1, *leaf.shape[2:])[-count:] for leaf in self._leaves[-1][:-1]]
        network([*leaves, *_empty(self.student.states, len(leaves[0]))], training=False)

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        leaves = [leaf[index] for leaf in inputs["leaves"]]
        first, answers = inputs["first"][index], inputs["answers"][index]
        weight, scale = inputs["weight"][index], inputs["scale"]
        flat = tf.reshape(answers, [-1, answers.shape[-1]])
        with tf.GradientTape() as tape:
            losses = []
            for each in self.students:
                empty = _empty(each.states, first.shape[0])
                outputs, _ = over_time(each.model, leaves, first, empty, training=True)
                own = self._objective.losses(flat, tf.reshape(outputs, tf.shape(flat)), scale)
                shares = tf.reshape(weight, [-1])
                losses.append(tf.reduce_sum(own * shares) / tf.reduce_sum(shares))
            total = tf.add_n(losses)
        gradients = tape.gradient(total, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return total / len(losses)


def _cut(values: Array) -> Array:
    """Returns [steps, envs, ...] as sequences, [steps / LENGTH * envs, LENGTH, ...]."""
    steps, envs = values.shape[:2]
    parts = values.reshape(steps // LENGTH, LENGTH, envs, *values.shape[2:])
    return np.moveaxis(parts, 2, 1).reshape(-1, LENGTH, *values.shape[2:])


def _empty(specs: Sequence[ArraySpec], count: int) -> list[tf.Tensor]:
    return [tf.zeros((count, *spec.shape), spec.dtype) for spec in specs]
