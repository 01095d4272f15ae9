"""One stage of a compression, measured on its artifact: return, size, latency and verdict."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact
from tfdrlprune.evidence import latency
from tfdrlprune.evidence.bounds import Bounds, return_bounds
from tfdrlprune.evidence.diagnostics import agreement
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.gate import INCONCLUSIVE, Verdict, judge
from tfdrlprune.evidence.rollouts import record_observations, roll_out
from tfdrlprune.evidence.statistics import summarize
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import Array, flatten, pack_like

# Observations of the baseline on which actions are compared and latency is measured.
_VISITED = 1_000
_RECORDED_EPISODES = 5


@dataclass(frozen=True)
class StageRow:
    """What was measured of one artifact.

    Attributes:
        name: of the stage.
        precision: of the artifact.
        parameters: numbers in the file.
        nonzero: of these, how many are not zero.
        sparsity: over the kernels that the recipe may prune, in [0, 1].
        size_bytes: of the model file.
        gzip_bytes: of the model file, compressed at level 9.
        latency_us: ``median`` and ``p99`` of one action, called in a row on one core.
        agreement: share of the baseline's visited states on which both act alike (continuous
            actions: within 1 % of their range); None without a baseline.
        returns: the ``return`` block of ``report.json``; None without an environment.
        verdict: ``"PASS"``, ``"FAIL"``, ``"INCONCLUSIVE"``; None where there is nothing to judge.
        gate: the whole verdict; None where the gate could not be asked.
        episodes: behind ``returns``.
        visited: observations of the baseline, nested, [count, ...].
        actions: of this stage on them, [count, ...].
    """

    name: str
    precision: str
    parameters: int
    nonzero: int
    sparsity: float
    size_bytes: int
    gzip_bytes: int
    latency_us: Mapping[str, float]
    agreement: float | None
    returns: Mapping[str, Any] | None
    verdict: str | None
    gate: Verdict | None = dataclasses.field(repr=False)
    episodes: Episodes | None = dataclasses.field(repr=False)
    visited: Any = dataclasses.field(repr=False)
    actions: Array = dataclasses.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the stage as ``report.json`` holds it."""
        return {
            "name": self.name,
            "precision": self.precision,
            "parameters": self.parameters,
            "nonzero": self.nonzero,
            "sparsity": self.sparsity,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "latency_us": dict(self.latency_us),
            "agreement": self.agreement,
            "return": None if self.returns is None else dict(self.returns),
            "verdict": self.verdict,
        }


def measure_stage(  # noqa: PLR0913  a call names what it sets
    name: str,
    folder: str | os.PathLike[str],
    env: Environment | None,
    seeds: Iterable[int],
    *,
    baseline: StageRow | None = None,
    bounds: Bounds | None = None,
    margin: float = 0.05,
    confidence: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> StageRow:
    """Returns what an artifact does, all of it measured by running its bytes.

    Args:
        name: of the stage.
        folder: the artifact.
        env: registered id, factory or environment. None measures what needs no environment, on the
            artifact's own test vectors.
        seeds: of the episodes; the baseline's for a paired comparison.
        baseline: the dense stage, measured before on the same seeds. None makes this the baseline.
        bounds: numbers that no return can leave. None takes the known ones of the environment;
            where there are none, a stage beside a baseline is inconclusive.
        margin: relative loss that the gate allows.
        confidence: of the gate.
        progress: called with the number of episodes played.

    Raises:
        FileNotFoundError, ValueError: no artifact, or a damaged one; the environment is unknown or
            does not fit; a return outside the bounds, which is told with the baseline already.
    """
    policy = runtime.load(folder)
    manifest = policy.manifest
    content = artifact.read_file(folder, manifest, artifact.MODEL_FILE)
    episodes = None if env is None else roll_out(policy, env, seeds, progress=progress)
    visited = _visited(policy, folder, env) if baseline is None else baseline.visited
    actions = np.asarray(policy.action(visited))
    allowed = known_bounds(env, bounds)
    gate, verdict = None, None
    if episodes is not None and allowed is not None:
        # The baseline beside itself: bounds that don't hold are told before there is more work.
        other = episodes if baseline is None else _episodes_of(baseline)
        gate = judge(episodes, other, margin=margin, confidence=confidence, bounds=allowed)
    if episodes is not None and baseline is not None:
        verdict = INCONCLUSIVE if gate is None else gate.verdict
    return StageRow(
        name=name,
        precision=manifest.precision,
        parameters=manifest.parameters.total,
        nonzero=manifest.parameters.nonzero,
        sparsity=manifest.sparsity.achieved,
        size_bytes=len(content),
        gzip_bytes=len(gzip.compress(content, 9, mtime=0)),
        latency_us=latency.measure(policy, visited),
        agreement=None if baseline is None else agreement(actions, baseline.actions, manifest),
        # A failed episode counts here as it does in the gate.
        returns=None if episodes is None else summarize(episodes, worst=allowed and allowed[0]),
        verdict=verdict,
        gate=None if baseline is None else gate,
        episodes=episodes,
        visited=visited,
        actions=actions,
    )


def known_bounds(env: Environment | None, declared: Bounds | None) -> Bounds | None:
    """Returns the bounds on returns, declared or known of the environment; None if neither."""
    try:
        return return_bounds(env, declared)
    except ValueError:
        return None


def vectors_of(folder: str | os.PathLike[str], manifest: artifact.Manifest) -> Any:
    """Returns the observations that an artifact carries, nested, [count, ...]."""
    nest = manifest.observation
    content = artifact.read_file(folder, manifest, artifact.VECTORS_FILE)
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return pack_like(nest, [stored[f"observation/{leaf.name}"] for leaf in flatten(nest)])


def _visited(policy: runtime.Policy, folder: Any, env: Environment | None) -> Any:
    """Returns observations that the policy meets in its environment, else its test vectors."""
    if env is None:
        return vectors_of(folder, policy.manifest)
    return record_observations(policy, env, episodes=_RECORDED_EPISODES, max_count=_VISITED, seed=0)


def _episodes_of(baseline: StageRow) -> Episodes:
    if baseline.episodes is None:
        raise ValueError(
            f"The baseline {baseline.name!r} was measured without an environment, so nothing can "
            "be judged beside it. Measure it in the same environment."
        )
    return baseline.episodes
