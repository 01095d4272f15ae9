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


def distill(
    teacher: Policy,
    student: Policy,
    env: Environment | None,
    *,
    settings: DistillationSettings,
    seed: int,
    pruner: Pruner | None = None,
    observations: Any = None,
    progress: Report | None = None,
) -> Policy:
    """Returns the student, trained in place to act as the teacher does.

    In round 0 the teacher acts, afterwards the student; all states are kept. Where there is an
    environment, the student of the round with the best mean return is returned, among the rounds
    in which the pruner had reached its last sparsity.

    Args:
        teacher: labels the states.
        student: its model's weights are changed.
        env: where states come from; None to use ``observations`` alone.
        settings: see `DistillationSettings`.
        seed: of episodes, exploration, batches and selection.
        pruner: prunes the student meanwhile; its schedule counts the optimizer steps here.
        observations: nested, batched states to train on where there is no environment.
        progress: called with (rounds done, rounds, what happened).

    Raises:
        ValueError: neither ``env`` nor ``observations`` is given.
    """
    generator = np.random.default_rng(seed)
    lesson = _Lesson(teacher, student, settings, generator, pruner)
    report = progress or (lambda done, rounds, what: None)
    if env is not None:
        selection = seeds_for("selection", seed, settings.selection_episodes).tolist()
        _teach_in_environment(lesson, env, generator, selection, report)
    elif observations is not None:
        lesson.add(as_batch(teacher.observation_spec, observations)[0])
        for done in range(settings.rounds):
            loss = lesson.train_round()
            report(done + 1, settings.rounds, f"loss {loss:.4f}")
    else:
        raise ValueError("Distillation needs an environment, or recorded observations.")
    return student


def _teach_in_environment(
    lesson: _Lesson,
    env: Environment,
    generator: np.random.Generator,
    seeds: list[int],
    report: Report,
) -> None:
    settings, student = lesson.settings, lesson.student
    best_rank, best_weights = (-1.0, -np.inf), student.model.get_weights()
    with contextlib.ExitStack() as stack:
        states = stack.enter_context(contextlib.closing(States(env, settings.num_envs, generator)))
        judges = [stack.enter_context(contextlib.closing(make(env))) for _ in seeds]
        for done in range(settings.rounds):
            who, epsilon = (lesson.teacher, 0.0) if done == 0 else (student, settings.epsilon)
            lesson.add(states.visit(who, -(-settings.states // settings.num_envs), epsilon))
            loss = lesson.train_round()
            value = mean_return(student, judges, seeds)
            if (lesson.sparsity(), value) >= best_rank:
                best_rank, best_weights = (lesson.sparsity(), value), student.model.get_weights()
            report(done + 1, settings.rounds, f"return {value:.1f}, loss {loss:.4f}")
    student.model.set_weights(best_weights)


class _Lesson:
    """The states so far with the teacher's answers, and the compiled training on them."""

    def __init__(
        self,
        teacher: Policy,
        student: Policy,
        settings: DistillationSettings,
        generator: np.random.Generator,
        pruner: Pruner | None,
    ):
        self.teacher, self.student, self.settings = teacher, student, settings
        self._generator, self._pruner = generator, pruner
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
        self._scale: Array | None = None

    def add(self, leaves: list[Array]) -> None:
        """Adds states, each leaf [count, ...], with the teacher's answers."""
        self._leaves.append(leaves)
        self._answers.append(self.teacher.outputs(nest_like(self.teacher, leaves)))
        if self._scale is None:
            self._scale = self._answer_scale(self._answers[0])

    def train_round(self) -> float:
        """Makes one round's optimizer steps; returns the mean loss."""
        leaves = [np.concatenate(each) for each in zip(*self._leaves, strict=True)]
        answers = np.concatenate(self._answers)
        losses = []
        chunks = self._chunks(leaves)
        shape = (chunks[0], self.settings.batch_size)  # of all, so that one graph serves them
        for count in chunks:
            chosen = self._generator.integers(len(answers), size=shape)
            inputs = {
                "leaves": [leaf[chosen] for leaf in leaves],
                "answers": answers[chosen],
                "scale": self._scale,
            }
            losses.append(self._train(count, inputs))
            self._step += count
            if self._pruner is not None:
                self._pruner.update(self._step)
        return float(np.mean(losses))

    def sparsity(self) -> float:
        """Returns the sparsity now, 0 without a pruner."""
        return 0.0 if self._pruner is None else self._pruner.sparsity()["sparsity"]

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
