"""The rounds of a lesson: collect states, train on all so far, keep the best student.

Ross et al. 2011 ("DAgger") for whose states; Rusu et al. 2016 ("Policy Distillation") for the
softened targets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.compression.actor import Actor
from tfdrlprune.compression.distillation.lesson import Lesson
from tfdrlprune.compression.distillation.rehearsed import FRESH, coverage_of
from tfdrlprune.compression.states import States
from tfdrlprune.compression.trials import Environments
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.rollouts import seeds_for
from tfdrlprune.observations import as_batch
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import Array

Progress = Callable[[int, int, str], None]

# So many of the best rounds and students play again, up to so many times the selection episodes:
# thirty means of 20 episodes have a lucky one among them.
_FINALISTS = 3
_PLAY_OFF = 5
# Of recorded observations, the share that no student is trained on: it chooses among them.
_HELD_OUT = 0.1


@dataclass(frozen=True)
class Taught:
    """Which student is kept.

    Attributes:
        student: its weights are those of its best round.
        value: its mean return on selection episodes; without an environment minus its loss on
            observations that were held out.
        rounds: that were made; fewer where a callback stopped them.
        coverage: of states that the teacher visits in fresh episodes (without an environment those
            held out) by what was rehearsed; None where distances tell nothing, as of images.
    """

    student: Policy
    value: float
    rounds: int
    coverage: Coverage | None = None


def teach(
    lesson: Lesson,
    env: Environment | None,
    *,
    pruner: Pruner | None = None,
    observations: Any = None,
    callbacks: Sequence[Any] = (),
    progress: Progress | None = None,
) -> Taught:
    """Trains a lesson's students in place to act as the teacher does; returns the best.

    In round 0 the teacher acts, afterwards the students by turns; all states are kept. Where there
    is an environment, each student's weights are those of its round with the best mean return,
    among the rounds in which the pruner had reached its last sparsity.

    Args:
        lesson: who is taught by whom.
        env: where states come from; None to use ``observations`` alone.
        pruner: prunes the only student meanwhile; its schedule counts the optimizer steps here.
        observations: nested, batched states to train on where there is no environment.
        callbacks: Keras callbacks; a round is an epoch with the logs ``loss`` and ``return``
            (without an environment ``held_out_loss``), the model is the first student's.
        progress: called with (rounds done, rounds, what happened).

    Raises:
        ValueError: neither ``env`` nor ``observations`` is given; a loss that is not finite; an
            observation with NaN.
    """
    best = _Best(lesson, pruner)
    rounds = _Rounds(lesson, pruner, callbacks, progress or (lambda done, total, what: None))
    if env is not None:
        fresh = _teach_in_environment(lesson, env, rounds, best)
    elif observations is not None:
        if lesson.teacher.states:
            raise ValueError(
                "A recurrent student learns from whole episodes, and recorded observations don't "
                "say where they begin. Give an environment."
            )
        leaves, fresh = _split(lesson, observations)
        lesson.add(leaves)
        for _ in rounds.made():
            values = [-loss for loss in lesson.losses_on(fresh)]
            best.offer(values)
            rounds.tell({"held_out_loss": -max(values)})
    else:
        raise ValueError("Distillation needs an environment, or recorded observations.")
    rounds.end()
    if pruner is not None:
        pruner.end()
    student, value = best.put_back()
    return Taught(student, value, rounds.done, coverage_of(lesson, fresh))


def _teach_in_environment(
    lesson: Lesson, env: Environment, rounds: _Rounds, best: _Best
) -> list[Array]:
    """Teaches; returns states of the teacher in fresh episodes, each leaf [count, *shape]."""
    settings = lesson.settings
    seeds = seeds_for("selection", lesson.seed, settings.selection_episodes).tolist()
    # What remembers does so of one set of environments: those it collects in, or those it plays in.
    students, played = ([Actor(each) for each in lesson.students] for _ in range(2))
    steps = -(-settings.states // settings.num_envs)
    with contextlib.ExitStack() as stack:
        states = States(env, settings.num_envs, lesson.generator)
        stack.enter_context(contextlib.closing(states))
        judges = stack.enter_context(contextlib.closing(Environments(env)))
        lesson.collect(states, [Actor(lesson.teacher)], steps, 0.0)
        enough = (
            float(judges.play(Actor(lesson.teacher), seeds).scores().mean())
            if settings.patience
            else np.inf
        )
        for done in rounds.made():
            for each in (*students, *played):
                each.refresh()
            means = [float(judges.play(each, seeds).scores().mean()) for each in played]
            best.offer(means)
            rounds.tell({"return": max(means)})
            if best.streak(enough) >= settings.patience > 0:
                break
            if done < settings.rounds:
                lesson.collect(states, students, steps, settings.epsilon)
        count = settings.selection_episodes
        others = seeds_for("selection", lesson.seed, _PLAY_OFF * count)[count:].tolist()
        best.play_off(lambda each: float(judges.play(Actor(each), others).scores().mean()))
        states.restart()
        return states.visit([Actor(lesson.teacher)], -(-FRESH // settings.num_envs), 0.0)


class _Rounds:
    """Trains round by round, with callbacks and progress."""

    def __init__(
        self, lesson: Lesson, pruner: Pruner | None, callbacks: Sequence[Any], progress: Progress
    ):
        self.done = 0
        self._lesson, self._pruner, self._progress = lesson, pruner, progress
        self._total = lesson.settings.rounds
        self._model = lesson.student.model
        self._model.stop_training = False
        self._callbacks = tf.keras.callbacks.CallbackList(list(callbacks), model=self._model)
        self._loss = 0.0

    def made(self) -> Any:
        """Yields the number of rounds made, after each; what is done then belongs to it."""
        if self._pruner is not None:
            self._pruner.begin()
        self._callbacks.on_train_begin()
        while self.done < self._total and not self._model.stop_training:
            self._callbacks.on_epoch_begin(self.done)
            self._loss = self._lesson.train_round(self._pruner)
            if not np.isfinite(self._loss):
                raise ValueError(
                    f"The loss is {self._loss} after {self.done + 1} rounds. Lower the learning "
                    "rate, and look at the observations: none may be huge."
                )
            self.done += 1
            yield self.done

    def end(self) -> None:
        """Tells that there are no more."""
        self._callbacks.on_train_end()
        if self.done < self._total:
            self._progress(self._total, self._total, f"enough after {self.done} rounds")

    def tell(self, found: dict[str, float]) -> None:
        """Tells what a round came to."""
        logs = {"loss": self._loss} | found
        self._callbacks.on_epoch_end(self.done - 1, logs)
        news = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items())
        self._progress(self.done, self._total, f"{news}, loss {self._loss:.4f}")


class _Best:
    """The weights of the best students and rounds so far."""

    def __init__(self, lesson: Lesson, pruner: Pruner | None):
        self._students, self._pruner = lesson.students, pruner
        self._streak, self._last = 0, -np.inf
        # (sparsity, value), index of the student, its weights; the best first.
        self._finalists: list[tuple[tuple[float, float], int, list[Any]]] = []

    def offer(self, values: Sequence[float]) -> None:
        """Keeps students as they are now where they are as good as ever; higher is better."""
        sparsity = 0.0 if self._pruner is None else self._pruner.sparsity()["sparsity"]
        self._last = max(values)
        for index, value in enumerate(values):
            rank = (sparsity, value)
            if len(self._finalists) < _FINALISTS or rank >= self._finalists[-1][0]:
                weights = self._students[index].model.get_weights()
                self._finalists.insert(0, (rank, index, weights))
                # Stable, so that of equals the last offered stays first.
                self._finalists.sort(key=lambda each: each[0], reverse=True)
                del self._finalists[_FINALISTS:]

    def streak(self, enough: float) -> int:
        """Returns how many offers in a row were ``enough``, at the pruner's last sparsity."""
        sparse = self._pruner is None or self._pruner.is_done
        self._streak = self._streak + 1 if sparse and self._last >= enough else 0
        return self._streak

    def play_off(self, play: Callable[[Policy], float]) -> None:
        """Ranks the finalists anew, by more episodes: the best of many looks better than it is."""
        most = self._finalists[0][0][0]
        finalists = [each for each in self._finalists if each[0][0] == most]
        if len(finalists) > 1:
            ranked = []
            for (sparsity, _), index, weights in finalists:
                self._students[index].model.set_weights(weights)
                ranked.append(((sparsity, play(self._students[index])), index, weights))
            self._finalists = sorted(ranked, key=lambda each: each[0], reverse=True)

    def put_back(self) -> tuple[Policy, float]:
        """Gives the best student its best weights; returns it and what it came to."""
        (_, value), index, weights = self._finalists[0]
        self._students[index].model.set_weights(weights)
        return self._students[index], value


def _split(lesson: Lesson, observations: Any) -> tuple[list[Any], list[Any]]:
    """Returns the states to train on, and those held out."""
    leaves, batched = as_batch(lesson.teacher.observation_spec, observations)
    count = len(leaves[0]) if batched else 0
    if count < 2:
        raise ValueError(
            "Distillation without an environment needs two observations at least, better "
            f"thousands. Received: {count}."
        )
    order = np.random.default_rng([lesson.seed, 1]).permutation(count)
    cut = max(1, int(_HELD_OUT * count))
    return [leaf[order[cut:]] for leaf in leaves], [leaf[order[:cut]] for leaf in leaves]
