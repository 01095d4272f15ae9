"""The bench: every stage of a compression as an artifact, measured by running it."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfdrlprune import runtime
from tfdrlprune.compression.actor import Actor
from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.exporter import export, with_c
from tfdrlprune.deployment.requests import check_formats
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.ledger import Ledger
from tfdrlprune.evidence.memory import Memory
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.rollouts import record_observations, seeds_for
from tfdrlprune.evidence.stage import SMALL_DENSE, StageRow
from tfdrlprune.evidence.sweeping import robustness
from tfdrlprune.evidence.sweeping.sweep_results import Robustness
from tfdrlprune.evidence.sweeping.sweeps import Sweep
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.evidence.tried import Tried
from tfdrlprune.policies.form import Policy
from tfdrlprune.recipe import Recipe
from tfdrlprune.simulation import Environment

# (what is going on, steps done, steps in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Judging:
    """How stages are judged.

    Attributes:
        episodes: on each stage's artifact, the same seeds for all. A verdict on policies that do
            not differ takes about 90 on CartPole; on such as differ a little, more.
        terms: of the gate. Without bounds the known ones of the environment are taken, and where
            there are none, nothing is decided.
        until_decided: whether playing ends as soon as the gate has decided.
        fallback: whether the last stage that is safe is shipped where the requested one is not;
            stages are then tested in order.
        workers: processes that play.
        selection_episodes: of each candidate at most, where several are tried; on other seeds than
            those of the verdict.
        sweeps: disturbances that the final stage is also played under, beside the dense policy and
            the small dense network; none by default.
        sweep_episodes: of each of them at each level.

    Example:
        >>> import tfdrlprune as tp
        >>> Judging(episodes=500, terms=tp.Terms(margin=0.02, floor=22.0)).until_decided
        False
    """

    episodes: int = 200
    terms: Terms = field(default_factory=Terms)
    until_decided: bool = False
    fallback: bool = True
    workers: int = 1
    selection_episodes: int = 200
    sweeps: tuple[Sweep, ...] = ()
    sweep_episodes: int = 50


class Bench:
    """Exports stages into a temporary folder and measures them there.

    A context manager where there are several workers: leaving it ends their processes.

    Args:
        env: what the artifacts run in; None measures what needs no environment.
        judging: how.
        seed: of the episodes.
        observations: nested, batched: what exports are compared on and calibrated with; by default
            recorded from the first stage.
        progress: called with (what is going on, done, in all).
        memory: of what was played before.
    """

    def __init__(
        self,
        env: Environment | None,
        judging: Judging,
        seed: int,
        observations: Any = None,
        progress: Progress | None = None,
        memory: Memory | None = None,
    ):
        self._env, self._judging, self._seed = env, judging, seed
        self._observations = observations
        self._progress = progress or (lambda what, done, total: None)
        self._ledger = Ledger(
            env,
            seeds_for("judging", seed, judging.episodes).tolist(),
            judging.terms,
            until_decided=judging.until_decided,
            workers=judging.workers,
            memory=memory,
            progress=lambda name, done, total: self._progress(f"judging {name}", done, total),
        )
        self._policies: dict[str, Policy] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="tfdrlprune-")

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def add(
        self,
        name: str,
        policy: Policy,
        *,
        precision: str = "float32",
        agreement: float | None = None,
        dense_parameters: int | None = None,
        recipe: Recipe | None = None,
        pruned_layers: Sequence[str] | None = None,
    ) -> StageRow:
        """Exports a policy, measures the artifact, and returns what was found.

        Args:
            name: of the stage; the first is the baseline of the others.
            policy: to be exported.
            precision: of the artifact.
            agreement: of actions in int8, for which layers are kept in float32; see `export`.
            dense_parameters: of the policy before compression.
            recipe: that pruned it; its sparsity must be found in the file.
            pruned_layers: names of the layers that it was allowed to prune; None for all.
        """
        if self._observations is None and self._env is not None:
            actor = policy if policy.states else Actor(policy)
            self._observations = record_observations(
                actor, self._env, episodes=10, max_count=2_000, seed=self._seed
            )
        folder = self._path(name)
        self._policies[name] = policy
        export(
            policy,
            folder,
            precision=precision,
            agreement=agreement,
            observations=self._observations,
            recipe=recipe.to_dict() if recipe else None,
            prunable=pruned_layers,
            dense_parameters=dense_parameters,
            requested_sparsity=recipe.sparsity if recipe else None,
        )
        return self._ledger.add(name, folder)

    def size(self, policy: Policy, precision: str, agreement: float | None) -> int:
        """Returns the bytes of a policy's file in a precision; as many as 2**62 where it has none.

        Args:
            policy: to be exported; a stage was added before.
            precision: of the file.
            agreement: as in `add`.
        """
        with tempfile.TemporaryDirectory(prefix="tfdrlprune-") as scratch:
            try:
                made = export(
                    policy,
                    Path(scratch, "a"),
                    precision=precision,
                    agreement=agreement,
                    observations=self._observations,
                )
            except ValueError:  # it does not act as the policy does
                return 2**62
        return made.manifest.files[artifact.MODEL_FILE].size_bytes

    def report(
        self,
        requested: str,
        command: str | None = None,
        tried: Sequence[Tried] = (),
        rehearsal: Coverage | None = None,
    ) -> Report:
        """Returns what was measured; plays the sweeps, where some are asked for.

        Args:
            requested: name of the stage that was asked for.
            command: that makes this report again.
            tried: the candidates that the stages were chosen from.
            rehearsal: of the dense policy's states, by what the last stage was taught on.
        """
        found = Report.of(
            self._ledger.rows(),
            requested=requested,
            env=self._env,
            seed=self._seed,
            fallback=self._judging.fallback,
            command=command,
        )
        return dataclasses.replace(
            found, robustness=self._sweep(found), tried=tuple(tried), rehearsal=rehearsal
        )

    def _sweep(self, report: Report) -> Robustness | None:
        judging = self._judging
        if self._env is None or not judging.sweeps or report.judged is report.baseline:
            return None
        names = [report.final, *([SMALL_DENSE] if report.small_dense else [])]
        total = robustness.planned_episodes(judging.sweeps, len(names), judging.sweep_episodes)
        return robustness.sweep(
            {name: runtime.load(self._path(name)) for name in names},
            runtime.load(self._path(report.baseline.name)),
            self._env,
            judging.sweeps,
            episodes=judging.sweep_episodes,
            seed=self._seed,
            worst=judging.terms.bounds and judging.terms.bounds[0],
            progress=lambda done: self._progress("sweeping", done, total),
        )

    def write(
        self,
        report: Report,
        folder: str | os.PathLike[str],
        *,
        stage: str | None = None,
        formats: Sequence[str] = ("tflite",),
        force: bool = False,
    ) -> Path:
        """Writes an artifact, as it was judged, with the report beside it; see `Result.export`."""
        check_formats(formats)
        names = [row.name for row in report.rows()]
        if stage is not None and stage not in names:
            raise ValueError(f"A stage is one of {names}. Received: stage={stage!r}.")
        written = stage or report.final
        source = self._path(written)
        manifest = artifact.read(source)
        files = {name: artifact.read_file(source, manifest, name) for name in manifest.files}
        if "c" in formats:
            policy, content = self._policies[written], files[artifact.MODEL_FILE]
            c, manifest = with_c(policy, content, manifest, self._observations)
            files |= c.files
        judged = dataclasses.replace(manifest, verdict=report.gate_of(written))
        artifact.write(folder, files, judged, force=force, beside=report.files())
        return Path(folder)

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name
