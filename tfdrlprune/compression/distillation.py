"""On-policy distillation: the trained policy teaches the pruned one, on states the latter visits.

Ross et al. 2011 ("DAgger") for whose states; Rusu et al. 2016 ("Policy Distillation") for the
softened targets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.compression.states import States, mean_return, nest_like
from tfdrlprune.evidence.rollouts import seeds_for
from tfdrlprune.observations import as_batch
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.gradients import Record, instead_of_steps
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.simulation import Environment, make

Array = NDArray[Any]


@dataclass(frozen=True)
class DistillationSettings:
    """How a student is taught.

    Attributes:
        rounds: of collecting states and training on all so far.
        steps: optimizer steps in a round.
        states: collected in a round.
        num_envs: environments stepped at once while collecting.
        batch_size: states in an optimizer step.
        learning_rate: Adam's at the start; it falls to a hundredth along a cosine.
        temperature: of the softmax over scores, in units of the teacher's mean gap between its best
            and its second action.
        epsilon: random actions of the student while collecting.
        selection_episodes: episodes that choose the round whose student is kept.
    """

    rounds: int = 10
    steps: int = 400
    states: int = 4_096
    num_envs: int = 32
    batch_size: int = 256
    learning_rate: float = 1e-3
    temperature: float = 0.2
    epsilon: float = 0.05
    selection_episodes: int = 20


Report = Callable[[int, int, str], None]


def teach(
    lesson: Lesson,
    env: Environment | None,
    *,
    pruner: Pruner | None = None,
    observations: Any = None,
    progress: Report | None = None,
) -> None:
    """Trains a lesson's student in place to act as the teacher does.

    In round 0 the teacher acts, afterwards the student; all states are kept. Where there is an
    environment, the weights of the round with the best mean return are kept, among the rounds in
    which the pruner had reached its last sparsity.

    Args:
        lesson: who is taught by whom.
        env: where states come from; None to use ``observations`` alone.
        pruner: prunes the student meanwhile; its schedule counts the optimizer steps here.
        observations: nested, batched states to train on where there is no environment.
        progress: called with (rounds done, rounds, what happened).

    Raises:
        ValueError: neither ``env`` nor ``observations`` is given.
    """
    settings = lesson.settings
    report = progress or (lambda done, rounds, what: None)
    if env is not None:
        _teach_in_environment(lesson, env, pruner, report)
    elif observations is not None:
        lesson.add(as_batch(lesson.teacher.observation_spec, observations)[0])
        _begin(pruner)
        for done in range(settings.rounds):
            loss = lesson.train_round(pruner)
            report(done + 1, settings.rounds, f"loss {loss:.4f}")
    else:
        raise ValueError("Distillation needs an environment, or recorded observations.")
    if pruner is not None:
        pruner.end()


def _begin(pruner: Pruner | None) -> None:
    """Prepares the criterion, now that the lesson has states."""
    if pruner is not None:
        pruner.begin()


def _teach_in_environment(
    lesson: Lesson, env: Environment, pruner: Pruner | None, report: Report
) -> None:
    settings, student, generator = lesson.settings, lesson.student, lesson.generator
    seeds = seeds_for("selection", lesson.seed, settings.selection_episodes).tolist()
    best_rank, best_weights = (-1.0, -np.inf), student.model.get_weights()
    with contextlib.ExitStack() as stack:
        states = stack.enter_context(contextlib.closing(States(env, settings.num_envs, generator)))
        judges = [stack.enter_context(contextlib.closing(make(env))) for _ in seeds]
        for done in range(settings.rounds):
            who, epsilon = (lesson.teacher, 0.0) if done == 0 else (student, settings.epsilon)
            lesson.add(states.visit(who, -(-settings.states // settings.num_envs), epsilon))
            if done == 0:
                _begin(pruner)
            loss = lesson.train_round(pruner)
            value = mean_return(student, judges, seeds)
            rank = (0.0 if pruner is None else pruner.sparsity()["sparsity"], value)
            if rank >= best_rank:
                best_rank, best_weights = rank, student.model.get_weights()
            report(done + 1, settings.rounds, f"return {value:.1f}, loss {loss:.4f}")
    student.model.set_weights(best_weights)


class Lesson:
    """The states so far with the teacher's answers, and the compiled training on them.

    It is an `Experience`: criteria take gradients of its loss, and activations on its states.

    Args:
        teacher: labels the states.
        student: its model's weights are changed.
        settings: see `DistillationSettings`.
        seed: of episodes, exploration, batches and selection.
    """

    def __init__(self, teacher: Policy, student: Policy, settings: DistillationSettings, seed: int):
        self.teacher, self.student, self.settings = teacher, student, settings
        self.seed, self.generator = seed, np.random.default_rng(seed)
        self._leaves: list[list[Array]] = []
        self._answers: list[Array] = []
        self._step = 0
        total = settings.rounds * settings.steps
        self._optimizer = tf.keras.optimizers.Adam(
            tf.keras.optimizers.schedules.CosineDecay(settings.learning_rate, total, alpha=0.01)
        )
        self._variables = student.model.trainable_variables
        self._optimizer.build(self._variables)
        self._train = CompiledLoop(self._train_once, "distillation")
        self._rehearsal: CompiledLoop | None = None
        self._scale: Array | None = None

    def add(self, leaves: list[Array]) -> None:
        """Adds states, each leaf [count, ...], with the teacher's answers."""
        self._leaves.append(leaves)
        self._answers.append(self.teacher.outputs(nest_like(self.teacher, leaves)))
        if self._scale is None:
            self._scale = self._answer_scale(self._answers[0])

    def train_round(self, pruner: Pruner | None) -> float:
        """Makes one round's optimizer steps; returns the mean loss."""
        leaves, answers = self._states()
        losses = []
        chunks = self._chunks(leaves)
        for count in chunks:
            # As many of all, so that one graph serves them.
            losses.append(self._train(count, self._draw(leaves, answers, chunks[0])))
            self._step += count
            if pruner is not None:
                pruner.update(self._step)
        return float(np.mean(losses))

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
            self._rehearsal(batches, self._draw(*self._states(), batches))

    def visit(self, network: Any, count: int) -> None:
        """Calls the student's model on the latest states."""
        leaves = [leaf[-count:] for leaf in self._leaves[-1]]
        network(leaves if len(leaves) > 1 else leaves[0], training=False)

    def _states(self) -> tuple[list[Array], Array]:
        leaves = [np.concatenate(each) for each in zip(*self._leaves, strict=True)]
        return leaves, np.concatenate(self._answers)

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
        size = int(np.clip(64_000_000 // max(each, 1), 1, 50))
        whole, rest = divmod(self.settings.steps, size)
        return [size] * whole + [rest] * (rest > 0)

    def _answer_scale(self, answers: Array) -> Array:
        """Returns what a difference between two answers is measured in."""
        if self.teacher.head.kind == "argmax":
            ordered = np.sort(answers, axis=-1)
            gap = float(np.mean(ordered[:, -1] - ordered[:, -2]))
            return np.asarray(max(gap * self.settings.temperature, 1e-6), np.float32)
        return np.asarray(np.std(self._answer(answers), axis=0) + 1e-6, np.float32)

    def _answer(self, outputs: Any) -> Any:
        """Returns outputs as the action depends on them: a squashed mean saturates."""
        return np.tanh(outputs) if self.teacher.head.kind == "tanh" else outputs

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        leaves = [leaf[index] for leaf in inputs["leaves"]]
        answers, scale = inputs["answers"][index], inputs["scale"]
        with tf.GradientTape() as tape:
            outputs = self.student.model(leaves if len(leaves) > 1 else leaves[0], training=True)
            if self.teacher.head.kind == "argmax":
                losses = tf.nn.softmax_cross_entropy_with_logits(
                    tf.nn.softmax(answers / scale), outputs / scale
                )
            else:
                if self.teacher.head.kind == "tanh":
                    outputs, answers = tf.tanh(outputs), tf.tanh(answers)
                losses = tf.reduce_mean(((outputs - answers) / scale) ** 2, axis=-1)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss
