"""The classroom, where small policies are taught, and the candidates that come out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune.compression.distillation import (
    DistillationSettings,
    Lesson,
    SequenceLesson,
    Taught,
    teach,
)
from tfdrlprune.compression.narrow import trainable_parameters
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.stage import FINE_TUNED
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.recipe import Recipe
from tfdrlprune.simulation import Environment

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A small policy with the steps that it took.

    Attributes:
        recipe: it was made by, with the route taken and its own sparsity.
        stages: name and policy of each, in order; the last is the candidate.
        pruned_layers: names of the layers that were pruned; None where units are gone.
        value: mean return on the episodes that its round was chosen on; without an environment
            minus the loss on held-out observations.
        coverage: of the teacher's states by those of the last lesson; see `Taught`.
    """

    recipe: Recipe
    stages: tuple[tuple[str, Policy], ...]
    pruned_layers: tuple[str, ...] | None
    value: float
    coverage: Coverage | None = None

    @property
    def policy(self) -> Policy:
        """The last stage's."""
        return self.stages[-1][1]

    @property
    def offered(self) -> tuple[tuple[str, Policy], ...]:
        """The stages that can be shipped: of a fine-tuned candidate not those before.

        They did not hold, or nothing would have been fine-tuned; and since stages are tested in
        order, with them nothing after them would count.
        """
        names = [name for name, _ in self.stages]
        return self.stages[names.index(FINE_TUNED) if FINE_TUNED in names else 0 :]

    @property
    def is_dense(self) -> bool:
        """Whether it is itself what a small dense network is trained to show."""
        return self.recipe.route == "distil" and not self.recipe.further

    @property
    def parameters(self) -> int:
        """Trained numbers that the policy stores, zeros included."""
        return trainable_parameters(self.policy)

    @property
    def nonzero(self) -> int:
        """Of these, how many are not zero."""
        weights = self.policy.model.trainable_weights
        return sum(int(np.count_nonzero(each.numpy())) for each in weights)


@dataclass(frozen=True, eq=False)
class Classroom:
    """Where candidates are taught, and by whom.

    Attributes:
        teacher: the dense policy.
        env: where states come from; None to use ``observations`` alone.
        observations: nested, batched.
        settings: see `DistillationSettings`.
        seed: of everything random.
        tell: called with (what is going on, done, in all).
        callbacks: makes Keras callbacks for a lesson, by its name.
    """

    teacher: Policy
    env: Environment | None
    observations: Any
    settings: DistillationSettings
    seed: int
    tell: Tell
    callbacks: Callable[[str], list[Any]] = lambda name: []

    def lesson(self, students: Sequence[Policy]) -> Lesson:
        """Returns a lesson for students, which goes through time where they remember."""
        kind = SequenceLesson if self.teacher.states else Lesson
        return kind(self.teacher, students, self.settings, self.seed)

    def teach(self, lesson: Lesson, what: str, pruner: Pruner | None = None) -> Taught:
        """Teaches a lesson's students, and returns the best."""
        return teach(
            lesson,
            self.env,
            pruner=pruner,
            observations=self.observations,
            callbacks=self.callbacks(what),
            progress=lambda done, total, news: self.tell(f"{what}: {news}", done, total),
        )
