"""Candidates: small policies made along one of two routes, repaired or taught; not judged yet."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.compression.distillation import (
    DistillationSettings,
    Lesson,
    SequenceLesson,
    Taught,
    teach,
)
from tfdrlprune.compression.distillation.objectives import objective_of
from tfdrlprune.compression.narrow import least_parameters, narrowed, reseeded, trainable_parameters
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.kernel_names import prunable
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.schedules import from_recipe
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe
from tfdrlprune.recipe.forms import parse_further
from tfdrlprune.simulation import Environment
from tfdrlprune.structure import scores
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.selection import select
from tfdrlprune.structure.shrink import shrink

_log = logging.getLogger("tfdrlprune")

Tell = Callable[[str, int, int], None]

# Larger networks don't get stuck, and each further one costs as much again.
_SMALL = 2_000


@dataclass(frozen=True, eq=False)
class Candidate:
    """A small policy with the steps that it took.

    Attributes:
        recipe: it was made by, with the route taken and its own sparsity.
        stages: name and policy of each, in order; the last is the candidate.
        pruned_layers: names of the layers that were pruned; None where units are gone.
        value: mean return on the episodes that its round was chosen on; without an environment
            minus the loss on held-out observations.
    """

    recipe: Recipe
    stages: tuple[tuple[str, Policy], ...]
    pruned_layers: tuple[str, ...] | None
    value: float

    @property
    def policy(self) -> Policy:
        """The last stage's."""
        return self.stages[-1][1]

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


def make(recipe: Recipe, classroom: Classroom) -> Candidate:
    """Returns the candidate of a recipe whose route is "prune" or "distil".

    Raises:
        ValueError: nothing can be pruned, or no network of this shape is so small.
    """
    if recipe.route == "distil":
        return distilled(recipe, classroom)
    if recipe.granularity == "unit" and _structurally(recipe, classroom.teacher):
        return _thinned(recipe, classroom)
    return _pruned(recipe, classroom)


def check(recipe: Recipe, teacher: Policy) -> None:
    """Raises ValueError where a route cannot make what the recipe asks for; before any work."""
    objective_of(teacher, recipe.distil_loss, recipe.distil_temperature)
    if "prune" in recipe.routes() and not prunable(find_kernels(teacher.model), recipe):
        raise ValueError("There is nothing to prune: the policy has no kernel that is not spared.")
    if recipe.routes() == ("distil",):
        budget = budget_of(recipe, teacher)
        if (least := least_parameters(teacher, multiple=recipe.multiple_of)) > budget:
            whole = trainable_parameters(teacher)
            raise ValueError(
                f"sparsity={recipe.sparsity:g} leaves {budget} of {whole:,} parameters, and a "
                f"network of this shape has {least} at least. Write sparsity="
                f"{np.floor(1e4 * (1 - least / whole)) / 1e4:g} or less."
            )


def budget_of(recipe: Recipe, teacher: Policy) -> int:
    """Returns how many parameters a recipe leaves."""
    return int((1.0 - recipe.sparsity) * trainable_parameters(teacher) + 1e-6)


def distilled(recipe: Recipe, classroom: Classroom, *, parameters: int | None = None) -> Candidate:
    """Returns a dense network of so many parameters, taught from scratch.

    Args:
        recipe: says how many.
        classroom: where.
        parameters: how many, instead.
    """
    teacher = classroom.teacher
    count = budget_of(recipe, teacher) if parameters is None else parameters
    restarts = classroom.settings.restarts if count <= _SMALL else 1
    first = classroom.seed * 1_000
    student = narrowed(teacher, count, multiple=recipe.multiple_of, seed=first)
    students = [student, *(reseeded(student, first + each) for each in range(1, restarts))]
    lesson = classroom.lesson(students)
    own = trainable_parameters(students[0])
    taught = classroom.teach(lesson, f"distilling {own:,} parameters")
    student = taught.student.replace(source=f"{teacher.source}, distilled".lstrip(", "))
    # What is gone is units; so the artifact counts its sparsity by these.
    plain = dataclasses.replace(recipe, route="distil", **_BY_UNIT)
    return Candidate(plain, (("distilled", student),), None, taught.value)


# A network from scratch was chosen by nothing.
_BY_UNIT: dict[str, Any] = {
    name: "unit" if name == "granularity" else Recipe.__dataclass_fields__[name].default
    for name in ("granularity", "criterion", "group_score", "gradient_batches", "distribution")
}


def pruner_of(recipe: Recipe, lesson: Lesson, begin: float, end: float) -> Pruner:
    """Returns what prunes a lesson's student from ``begin`` to ``end``, shares of the lesson."""
    model = lesson.student.model
    everything = find_kernels(model)
    planned = dataclasses.replace(recipe, begin=begin, end=end)
    steps = lesson.settings.rounds * lesson.settings.steps
    around = Surroundings([model], everything, lesson)
    return Pruner(
        prunable(everything, recipe),
        Schedule(from_recipe(planned, steps)),
        recipe,
        seed=lesson.seed,
        surroundings=around,
    )


def _pruned(recipe: Recipe, classroom: Classroom) -> Candidate:
    """Returns the policy with masks, taught while it is pruned; without the units that closed."""
    teacher = classroom.teacher
    lesson = classroom.lesson([copy_of(teacher)])
    pruner = pruner_of(recipe, lesson, recipe.begin, recipe.end)
    taught = classroom.teach(lesson, f"pruning to {recipe.sparsity:.4g}", pruner)
    pruned = taught.student.replace(source=f"{teacher.source}, pruned".lstrip(", "))
    stages = [("pruned", pruned)]
    if recipe.granularity == "unit":
        found = shrink(pruned.model)
        classroom.tell(
            f"shrinking: {found.parameters_before:,} parameters became {found.parameters_after:,}",
            *(1, 1),
        )
        if found.kept:
            closed = ", ".join(f"{len(units)} of {name}" for name, units in found.kept.items())
            _log.warning("closed units that cannot be taken out: %s", closed)
        if found.removed:
            small = pruned.replace(model=found.model, source=f"{pruned.source}, shrunk")
            stages.append(("shrunk", small))
    layers = tuple(kernel.name.split("/")[0] for kernel in pruner.masks.kernels)
    plain = dataclasses.replace(recipe, route="prune")
    return Candidate(plain, tuple(stages), layers, taught.value)


def _structurally(recipe: Recipe, teacher: Policy) -> bool:
    """Tells whether units are to be chosen by the dependency graph.

    Masks choose in every layer by itself, and close nothing where layers' outputs are added.
    """
    coupled = any(len(group.layers) > 1 for group in groups_of(teacher.model).groups)
    return coupled or recipe.multiple_of > 1


def _thinned(recipe: Recipe, classroom: Classroom) -> Candidate:
    """Returns the policy without its least important units, taught afterwards."""
    teacher = classroom.teacher
    if recipe.criterion != "magnitude":
        raise ValueError(
            "Units that belong together, or whose number is a multiple, are chosen by magnitude. "
            f"Received: criterion={recipe.criterion!r}. Write criterion='magnitude'."
        )
    graph = groups_of(teacher.model)
    chosen = select(
        graph,
        scores.l2(graph),
        recipe.sparsity,
        share="global" if recipe.distribution == "global" else "layer",
        of="parameters",
        multiple=recipe.multiple_of,
    )
    found = shrink(teacher.model, chosen)
    small = teacher.replace(model=found.model, source=f"{teacher.source}, shrunk".lstrip(", "))
    lesson = classroom.lesson([small])
    taught = classroom.teach(lesson, f"repairing {found.parameters_after:,} parameters")
    plain = dataclasses.replace(recipe, route="prune")
    return Candidate(plain, (("shrunk", taught.student),), None, taught.value)


def sparser(candidate: Candidate, classroom: Classroom) -> Candidate:
    """Returns the candidate with what its recipe's ``further`` asks for as one more stage.

    Structure goes first, single weights or blocks of what is left afterwards: what is zero in a
    unit that goes would be pruned in vain.
    """
    further = parse_further(candidate.recipe.further)
    if further is None:
        return candidate
    granularity, sparsity = further
    recipe = Recipe(
        granularity=granularity,
        sparsity=sparsity,
        route="prune",
        schedule=candidate.recipe.schedule,
    )
    lesson = classroom.lesson([copy_of(candidate.policy)])
    pruner = pruner_of(recipe, lesson, candidate.recipe.begin, candidate.recipe.end)
    taught = classroom.teach(lesson, f"pruning what is left to {sparsity:.4g}", pruner)
    sparse = taught.student.replace(source=f"{candidate.policy.source}, pruned")
    stages = (*candidate.stages, ("sparse", sparse))
    return dataclasses.replace(candidate, stages=stages, value=taught.value)


def copy_of(policy: Policy) -> Policy:
    """Returns the policy with a model of its own."""
    model = tf.keras.models.clone_model(policy.model)
    model.set_weights(policy.model.get_weights())
    return policy.replace(model=model)
