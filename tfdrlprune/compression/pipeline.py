"""compress(): a trained policy in, a small one out, with every stage judged on its artifact."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.environments import spaces_of
from tfdrlprune.agents.spaces import action_nest, observation_nest
from tfdrlprune.compression.bench import Bench, Judging, Progress
from tfdrlprune.compression.distillation import DistillationSettings, Lesson, teach
from tfdrlprune.compression.narrow import least_parameters, narrowed
from tfdrlprune.deployment import counting
from tfdrlprune.deployment.exporter import stripped
from tfdrlprune.evidence.report import Report
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.frozen import check_layers
from tfdrlprune.pruning.kernel_names import prunable
from tfdrlprune.pruning.kernels import Kernel, find_kernels
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.schedules import from_recipe
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import ArraySpec, flatten
from tfdrlprune.structure.shrink import shrink

_log = logging.getLogger("tfdrlprune")


@dataclass(frozen=True)
class Result:
    """What `compress` found.

    Attributes:
        policy: the small policy.
        recipe: it was made by.
        report: every stage with what was measured on its artifact.
    """

    policy: Policy
    recipe: Recipe
    report: Report
    _bench: Bench = field(repr=False)

    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        formats: Sequence[str] = ("tflite",),
        force: bool = False,
    ) -> Path:
        """Writes the judged artifact with its report; whole or not at all.

        Args:
            folder: to be created.
            formats: ``"tflite"``, and ``"c"`` for C made of the judged file.
            force: whether an artifact that is there already is replaced.

        Raises:
            FileExistsError: the folder is there and may not be replaced.
            ValueError: the policy cannot be written as C.
        """
        return self._bench.write(self.report, folder, formats=formats, force=force)


def compress(  # noqa: PLR0913 (what, where, how, and how it is judged)
    policy: Policy,
    env: Environment | None,
    recipe: Recipe | None = None,
    *,
    observations: Any = None,
    judging: Judging | None = None,
    distillation: DistillationSettings | None = None,
    small_dense: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    command: str | None = None,
) -> Result:
    """Returns a pruned and quantized policy that was taught to act as it did before.

    The policy is pruned gradually while its dense self teaches it on the states that it visits
    (see `teach`). With granularity "unit" the units that are closed are taken out then, so that the
    network is smaller. It is exported in the recipe's precision. The artifact of every stage is run
    in the environment on the same seeds, which nothing else has used. Where the final one does not
    pass, the last stage that is safe is taken instead (`Judging.fallback`).

    Args:
        policy: trained; it is left as it is.
        env: registered id or factory. None compresses on ``observations`` alone: then nothing is
            judged in closed loop, and the report says so.
        recipe: what to remove, and the precision.
        observations: nested, batched, recorded from the policy at work; needed without ``env``.
        judging: episodes, margin, confidence.
        distillation: how the pruned policy is taught.
        small_dense: also distil a dense network of as many parameters as the pruned one has left,
            for comparison.
        seed: of everything random.
        progress: called with (what is going on, done, in all).
        command: that makes this result again, for the report.

    Raises:
        ValueError: neither ``env`` nor ``observations``, a kernel to spare that does not exist, or
            an environment whose spaces do not fit the policy.
    """
    recipe, judging = recipe or Recipe(), judging or Judging()
    recipe.check_compress()
    check_layers(policy, "compressed")
    settings = distillation or DistillationSettings()
    tell = progress or (lambda what, done, total: None)
    teacher = policy.replace(model=stripped(policy.model))
    if env is None and observations is None:
        raise ValueError(
            "compress needs an environment, or observations recorded from the policy at work."
        )
    if env is not None:
        _check_fit(teacher, env)
    lesson, pruner = _pruned_lesson(teacher, recipe, settings, seed)
    student = lesson.student
    with Bench(env, judging, seed, observations, progress) as bench:
        bench.add("dense", teacher)

        def give(lesson: Lesson, what: str, by: Pruner | None) -> None:
            teach(
                lesson,
                env,
                pruner=by,
                observations=observations,
                progress=lambda done, total, news: tell(f"{what}: {news}", done, total),
            )

        give(lesson, "pruning", pruner)
        pruner.masks.remove()
        small = student.replace(source=f"{teacher.source}, pruned".lstrip(", "))
        made: dict[str, Any] = {
            "dense_parameters": counting.dense_parameters(teacher),
            "recipe": recipe,
            "pruned_layers": _layers(pruner.masks.kernels),
        }
        row = bench.add("pruned", small, **made)
        requested = "pruned"
        if recipe.granularity == "unit" and (shrunk := _shrunk(small, tell)) is not None:
            small, requested = shrunk, "shrunk"
            row = bench.add(requested, small, **made)
        for precision in _precisions(recipe, judging):
            bench.add(precision, small, precision=precision, **made)
        if small_dense and (least := least_parameters(teacher)) > row.nonzero:
            # No reason to lose the rest: the report says that there is none.
            tell(f"small dense: one unit a layer has {least} parameters already", 1, 1)
        elif small_dense:
            thin = narrowed(teacher, row.nonzero)
            give(Lesson(teacher, thin, settings, seed), "small dense", None)
            bench.add("small_dense", thin)
    if recipe.precision != "float32":
        requested = recipe.precision
    return Result(small, recipe, bench.report(requested, command), bench)


def _shrunk(policy: Policy, tell: Progress) -> Policy | None:
    """Returns the policy without the units that pruning has closed; None where all of them stay."""
    found = shrink(policy.model)
    before, after = found.parameters_before, found.parameters_after
    tell(f"shrinking: {before:,} parameters became {after:,}", 1, 1)
    if found.kept:
        closed = ", ".join(f"{len(units)} of {name}" for name, units in found.kept.items())
        _log.warning("closed units that cannot be taken out: %s", closed)
    if not found.removed:
        return None
    return policy.replace(model=found.model, source=f"{policy.source}, shrunk")


def _precisions(recipe: Recipe, judging: Judging) -> list[str]:
    """Returns the precisions to export and judge after float32, the one asked for last.

    With a fallback float16 comes before every integer form, since it is tested in its order or
    not at all.
    """
    if recipe.precision == "float32":
        return []
    between = ["float16"] if judging.fallback and recipe.precision != "float16" else []
    return [*between, recipe.precision]


def _check_fit(policy: Policy, env: Environment) -> None:
    """Raises ValueError unless the policy takes and gives what the environment does."""
    observation, action = spaces_of(env)
    pairs = {
        "observations": (policy.observation_spec, observation_nest(observation)),
        "actions": (policy.action_spec, action_nest(action)),
    }
    for what, (own, its) in pairs.items():
        aspects = [[_aspect(leaf) for leaf in flatten(nest)] for nest in (own, its)]
        if aspects[0] != aspects[1]:
            raise ValueError(
                f"The policy's {what} are {aspects[0]}, the environment's {aspects[1]}. Name the "
                "environment that it was trained in; AgentTrainer.policy() gives the policy in "
                "that environment's own units."
            )


def _aspect(leaf: ArraySpec) -> str:
    """Returns shape and dtype of a leaf, and its range where it counts."""
    counted = np.issubdtype(leaf.dtype, np.integer) and leaf.name == "action"
    bounds = f" from {leaf.low} to {leaf.high}" if counted else ""
    return f"{leaf.dtype}{list(leaf.shape)}{bounds}"


def _pruned_lesson(
    teacher: Policy, recipe: Recipe, settings: DistillationSettings, seed: int
) -> tuple[Lesson, Pruner]:
    model = tf.keras.models.clone_model(teacher.model)
    model.set_weights(teacher.model.get_weights())
    everything = find_kernels(model)
    kernels = prunable(everything, recipe)
    if not kernels:
        raise ValueError("There is nothing to prune: the policy has no kernel that is not spared.")
    schedule = Schedule(from_recipe(recipe, settings.rounds * settings.steps))
    lesson = Lesson(teacher, teacher.replace(model=model), settings, seed)
    around = Surroundings([model], everything, lesson)
    return lesson, Pruner(kernels, schedule, recipe, seed=seed, surroundings=around)


def _layers(kernels: Sequence[Kernel]) -> list[str]:
    return [kernel.name.split("/")[0] for kernel in kernels]
