"""compress(): a trained policy in, a small one out, with every stage judged on its artifact."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.compression.distillation import DistillationSettings, distill
from tfdrlprune.compression.narrow import narrowed
from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.exporter import export, stripped
from tfdrlprune.evidence.gate import Bounds
from tfdrlprune.evidence.ledger import StageRow, measure_stage
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.rollouts import record_observations, seeds_for
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.kernels import Kernel, find_kernels, without
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.schedules import Schedule, from_recipe
from tfdrlprune.recipe import Recipe
from tfdrlprune.simulation import Environment

# (what is going on, steps done, steps in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Judging:
    """How stages are judged.

    Attributes:
        episodes: on each stage's artifact, the same seeds for all.
        margin: relative loss that the gate allows.
        confidence: of the gate.
        bounds: numbers that no return can leave; None takes the known ones of the environment, and
            where there are none, nothing is decided.
    """

    episodes: int = 100
    margin: float = 0.05
    confidence: float = 0.95
    bounds: Bounds | None = None


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
    _stages: dict[str, Path]
    _final: str
    _folder: tempfile.TemporaryDirectory[str] = field(repr=False)

    def export(self, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Writes the judged artifact with its report; whole or not at all.

        Args:
            folder: to be created.
            force: whether an artifact that is there already is replaced.

        Raises:
            FileExistsError: the folder is there and may not be replaced.
        """
        source = self._stages[self._final]
        manifest = artifact.read(source)
        files = {name: artifact.read_file(source, manifest, name) for name in manifest.files}
        judged = dataclasses.replace(manifest, verdict=self.report.gate)
        artifact.write(folder, files | self.report.files(), judged, force=force)
        return Path(folder)


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
) -> Result:
    """Returns a pruned and quantized policy that was taught to act as it did before.

    The policy is pruned gradually while its dense self teaches it on the states that it visits
    (see `distill`), then exported in the recipe's precision. Dense, pruned and final artifact are
    each run in the environment on the same seeds, which nothing else has used.

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

    Raises:
        ValueError: neither ``env`` nor ``observations``, a kernel to spare that does not exist, or
            an environment whose spaces do not fit the policy.
    """
    recipe, judging = recipe or Recipe(), judging or Judging()
    settings = distillation or DistillationSettings()
    report_progress = progress or (lambda what, done, total: None)
    teacher = policy.replace(model=stripped(policy.model))
    if env is None and observations is None:
        raise ValueError(
            "compress needs an environment, or observations recorded from the policy at work."
        )
    if observations is None:
        observations = record_observations(teacher, env, episodes=10, max_count=2_000, seed=seed)
    student, pruner = _student(teacher, recipe, settings)
    bench = _Bench(env, judging, observations, seed, recipe, report_progress)
    bench.add("dense", teacher, precision="float32")
    distill(
        teacher,
        student,
        env,
        settings=settings,
        seed=seed,
        pruner=pruner,
        observations=observations,
        progress=lambda done, total, what: report_progress(f"pruning: {what}", done, total),
    )
    pruner.masks.remove()
    dense = _parameters(teacher)
    small = student.replace(source=f"{teacher.source}, pruned".lstrip(", "))
    bench.add("pruned", small, precision="float32", dense=dense, pruned=pruner)
    final = "pruned"
    if recipe.precision != "float32":
        final = recipe.precision
        bench.add(final, small, precision=recipe.precision, dense=dense, pruned=pruner)
    if small_dense:
        thin = narrowed(teacher, _nonzero(small))
        distill(
            teacher,
            thin,
            env,
            settings=settings,
            seed=seed,
            observations=observations,
            progress=lambda done, total, what: report_progress(f"small dense: {what}", done, total),
        )
        bench.add("small_dense", thin, precision="float32", dense=dense)
    return Result(small, recipe, bench.report(final), bench.folders, final, bench.folder)


class _Bench:
    """Exports stages into a temporary folder and measures them there."""

    def __init__(
        self,
        env: Environment | None,
        judging: Judging,
        observations: Any,
        seed: int,
        recipe: Recipe,
        progress: Progress,
    ):
        self.folder = tempfile.TemporaryDirectory(prefix="tfdrlprune-")
        self.folders: dict[str, Path] = {}
        self._env, self._judging, self._observations = env, judging, observations
        self._seed, self._recipe, self._progress = seed, recipe, progress
        self._rows: list[StageRow] = []
        self._seeds = seeds_for("judging", seed, judging.episodes)

    def add(
        self,
        name: str,
        policy: Policy,
        *,
        precision: str,
        dense: int | None = None,
        pruned: Pruner | None = None,
    ) -> None:
        """Exports a policy and measures the artifact."""
        folder = self.folders[name] = Path(self.folder.name) / name
        export(
            policy,
            folder,
            precision=precision,
            observations=self._observations,
            recipe=self._recipe.to_dict() if pruned else None,
            prunable=_layers(pruned.masks.kernels) if pruned else None,
            dense_parameters=dense,
            requested_sparsity=self._recipe.sparsity if pruned else None,
        )
        self._rows.append(
            measure_stage(
                name,
                folder,
                self._env,
                self._seeds,
                baseline=self._rows[0] if self._rows else None,
                bounds=self._judging.bounds,
                margin=self._judging.margin,
                confidence=self._judging.confidence,
                progress=lambda done: self._progress(
                    f"judging {name}", done, self._judging.episodes
                ),
            )
        )

    def report(self, final: str) -> Report:
        """Returns what was measured."""
        return Report.of(self._rows, final=final, env=self._env, seed=self._seed)


def _student(
    teacher: Policy, recipe: Recipe, settings: DistillationSettings
) -> tuple[Policy, Pruner]:
    model = tf.keras.models.clone_model(teacher.model)
    model.set_weights(teacher.model.get_weights())
    kernels = without(find_kernels(model), recipe.spare)
    if not kernels:
        raise ValueError("There is nothing to prune: the policy has no kernel that is not spared.")
    schedule = Schedule(from_recipe(recipe, settings.rounds * settings.steps))
    pruner = Pruner(kernels, schedule, recipe.distribution, recipe.criterion)
    return teacher.replace(model=model), pruner


def _layers(kernels: list[Kernel]) -> list[str]:
    return [kernel.name.split("/")[0] for kernel in kernels]


def _parameters(policy: Policy) -> int:
    return sum(int(np.size(weight)) for weight in policy.model.get_weights())


def _nonzero(policy: Policy) -> int:
    return sum(int(np.count_nonzero(w)) for w in map(np.asarray, policy.model.trainable_weights))
