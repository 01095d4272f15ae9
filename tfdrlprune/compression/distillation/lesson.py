"""The lesson: states with the teacher's answers, and the compiled training of students on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.compression.actor import Actor
from tfdrlprune.compression.distillation.objectives import objective_of
from tfdrlprune.compression.distillation.settings import DistillationSettings
from tfdrlprune.compression.states import States
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.gradients import Record, instead_of_steps
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.specs import Array

# Answers are asked for in parts: a teacher's activations on all states at once would not fit.
_ASKED_AT_ONCE = 4_096


class Lesson:
    """The states so far with the teacher's answers, and the compiled training on them.

    Students are independent of one another and share the states. It is an `Experience`: criteria
    take gradients of its loss, and activations on its states.

    Args:
        teacher: labels the states.
        students: one or several; their models' weights are changed.
        settings: see `DistillationSettings`.
        seed: of episodes, exploration, batches and selection.

    Raises:
        ValueError: the loss is none for the teacher's kind of actions.
    """

    def __init__(
        self,
        teacher: Policy,
        students: Policy | Sequence[Policy],
        settings: DistillationSettings,
        seed: int,
    ):
        self.teacher, self.settings = teacher, settings
        self.students = [students] if isinstance(students, Policy) else list(students)
        self.seed, self.generator = seed, np.random.default_rng(seed)
        self._objective = objective_of(teacher, settings.loss, settings.temperature)
        self._leaves: list[list[Array]] = []
        self._answers: list[Array] = []
        self._step = 0
        total = settings.rounds * settings.steps
        self._optimizer = tf.keras.optimizers.Adam(
            tf.keras.optimizers.schedules.CosineDecay(settings.learning_rate, total, alpha=0.01)
        )
        self._variables = [v for each in self.students for v in each.model.trainable_variables]
        self._optimizer.build(self._variables)
        self._train = CompiledLoop(self._train_once, "distillation")
        self._rehearsal: CompiledLoop | None = None
        self._scale: Array | None = None

    @property
    def student(self) -> Policy:
        """The first student; the only one where there is a pruner."""
        return self.students[0]

    def collect(self, states: States, actors: Sequence[Actor], steps: int, epsilon: float) -> None:
        """Adds what actors see; see `States.visit`."""
        self.add(states.visit(actors, steps, epsilon))

    def add(self, leaves: list[Array]) -> None:
        """Adds states, each leaf [count, ...], with the teacher's answers."""
        self._leaves.append(leaves)
        self._answers.append(self._ask(leaves))
        if self._scale is None:
            self._scale = self._objective.scale(self._answers[0])

    def states(self) -> list[Array]:
        """Returns all states that were rehearsed, each leaf [count, *shape]."""
        return self._with_answers()[0]

    def train_round(self, pruner: Pruner | None = None) -> float:
        """Makes one round's optimizer steps; returns the mean loss."""
        leaves, answers = self._with_answers()
        losses = []
        chunks = self._chunks(leaves)
        for count in chunks:
            # As many of all, so that one graph serves them.
            losses.append(self._train(count, self._draw(leaves, answers, chunks[0])))
            self._step += count
            if pruner is not None:
                pruner.update(self._step)
        return float(np.average(losses, weights=chunks))

    def losses_on(self, leaves: list[Array]) -> list[float]:
        """Returns each student's mean loss on other states, each leaf [count, ...]."""
        answers = self._ask(leaves)
        scale = self._objective.scale(answers) if self._scale is None else self._scale
        return [
            float(
                tf.reduce_mean(self._objective.losses(answers, each.batch_outputs(leaves), scale))
            )
            for each in self.students
        ]

    def optimizers(self) -> list[Any]:
        """Returns the only one."""
        return [self._optimizer]

    def has_data(self) -> bool:
        """Returns True: by the time that it is needed there are states."""
        return True

    def takes_observations(self, network: Any) -> bool:
        """Returns True: the student's model does."""
        return True

    def gather(self) -> None:
        """Does nothing: the states are there."""

    def record_gradients(self, record: Record, batches: int) -> None:
        """Hands the loss's gradients on some batches of states to ``record``."""
        if self._rehearsal is None:
            self._rehearsal = CompiledLoop(self._train_once, "gradients")
        with instead_of_steps([self._optimizer], record):  # while it is traced, at the first call
            self._rehearsal(batches, self._draw(*self._with_answers(), batches))

    def visit(self, network: Any, count: int) -> None:
        """Calls the student's model on the latest states."""
        leaves = [leaf[-count:] for leaf in self._leaves[-1]]
        network(leaves if len(leaves) > 1 else leaves[0], training=False)

    def _ask(self, leaves: list[Array]) -> Array:
        """Returns the teacher's answers, [count, outputs]."""
        starts = range(0, len(leaves[0]), _ASKED_AT_ONCE)
        parts = ([leaf[start : start + _ASKED_AT_ONCE] for leaf in leaves] for start in starts)
        return np.concatenate([self.teacher.batch_outputs(part) for part in parts])

    def _with_answers(self) -> tuple[list[Array], Array]:
        # Joined once, not in every round anew.
        if len(self._answers) > 1:
            self._leaves = [[np.concatenate(each) for each in zip(*self._leaves, strict=True)]]
            self._answers = [np.concatenate(self._answers)]
        return self._leaves[0], self._answers[0]

    def _draw(self, leaves: list[Array], answers: Array, steps: int) -> dict[str, Any]:
        """Returns a batch for each of some steps."""
        chosen = self.generator.integers(len(answers), size=(steps, self.settings.batch_size))
        return {
            "leaves": [leaf[chosen] for leaf in leaves],
            "answers": answers[chosen],
            "scale": self._scale,
        }

    def _chunks(self, leaves: list[Array]) -> list[int]:
        """Returns the steps of each compiled call: few enough to prune often and to fit memory."""
        each = self.settings.batch_size * sum(leaf[0].nbytes for leaf in leaves)
        size = int(np.clip(64_000_000 // max(each, 1), 1, min(50, self.settings.steps)))
        whole, rest = divmod(self.settings.steps, size)
        return [size] * whole + [rest] * (rest > 0)

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        leaves = [leaf[index] for leaf in inputs["leaves"]]
        answers, scale = inputs["answers"][index], inputs["scale"]
        given = leaves if len(leaves) > 1 else leaves[0]
        with tf.GradientTape() as tape:
            losses = [
                tf.reduce_mean(
                    self._objective.losses(answers, each.model(given, training=True), scale)
                )
                for each in self.students
            ]
            total = tf.add_n(losses)
        gradients = tape.gradient(total, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return total / len(losses)
