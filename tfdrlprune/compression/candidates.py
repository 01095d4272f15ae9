"""Candidates: small policies made along one of two routes, repaired or taught; not judged yet."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np

from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.distillation import Lesson
from tfdrlprune.compression.distillation.objectives import objective_of
from tfdrlprune.compression.narrow import least_parameters, narrowed, reseeded, trainable_parameters
from tfdrlprune.policies.copies import copy_of
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.kernel_names import prunable
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.schedules import from_recipe
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe
from tfdrlprune.recipe.forms import parse_further
from tfdrlprune.structure import scores
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.selection import select
from tfdrlprune.structure.shrink import shrink

_log = logging.getLogger("tfdrlprune")

# Larger networks don't get stuck, and each further one costs as much again.
_SMALL = 2_000


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
    return Candidate(plain, (("distilled", student),), None, taught.value, taught.coverage)


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
    return Candidate(plain, tuple(stages), layers, taught.value, taught.coverage)


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
    return Candidate(plain, (("shrunk", taught.student),), None, taught.value, taught.coverage)


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
    return dataclasses.replace(
        candidate, stages=stages, value=taught.value, coverage=taught.coverage
    )
