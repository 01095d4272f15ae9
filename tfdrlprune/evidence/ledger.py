"""The ledger of a compression: every stage measured on its artifact, and judged beside the first.

It names the stage that broke the policy, and the last one that is safe to ship.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact
from tfdrlprune.evidence import latency
from tfdrlprune.evidence.bounds import Bounds, return_bounds
from tfdrlprune.evidence.differences import compare
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.gate import judge
from tfdrlprune.evidence.memory import Memory
from tfdrlprune.evidence.rollouts import record_observations
from tfdrlprune.evidence.series import Players, Series
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.statistics import (
    paired_difference,
    probability_of_improvement,
    summarize,
)
from tfdrlprune.evidence.stored_kernels import kernels_in
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.evidence.verdict import FAIL, INCONCLUSIVE, Verdict, accepted_in_order
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import flatten, pack_like

# Observations of the baseline on which actions are compared and latency is measured.
_VISITED = 1_000
_RECORDED_EPISODES = 5
# Pairs of episodes between two looks, where playing ends with the verdict.
_BLOCK = 10

# (what is going on, episodes played, episodes in all)
Progress = Callable[[str, int, int], None]


class Ledger:
    """Measures artifacts by running their bytes, the first as the baseline of the others.

    A context manager where there are several workers: leaving it ends their processes.

    Args:
        env: registered id, factory or environment. None measures what needs no environment, on the
            artifacts' own test vectors.
        seeds: of the episodes, the same for all.
        terms: of the gate. Without bounds the known ones of the environment are taken; where there
            are none, a stage beside a baseline is inconclusive.
        until_decided: whether playing ends as soon as the gate has decided; the baseline then plays
            as many episodes as the longest comparison takes. Without it all play all.
        workers: processes that play.
        memory: of what was played before.
        progress: called while episodes are played.
    """

    def __init__(
        self,
        env: Environment | None,
        seeds: Sequence[int],
        terms: Terms | None = None,
        *,
        until_decided: bool = False,
        workers: int = 1,
        memory: Memory | None = None,
        progress: Progress | None = None,
    ):
        terms = terms or Terms()
        self._env, self._seeds = env, seeds
        self._terms = dataclasses.replace(terms, bounds=known_bounds(env, terms.bounds))
        self._until_decided = until_decided
        self._players = Players(workers, memory)
        self._progress = progress or (lambda what, done, total: None)
        self._rows: list[StageRow] = []
        self._baseline: Series | None = None
        self._first_folder: str | os.PathLike[str] = ""

    def close(self) -> None:
        """Ends the processes that play."""
        self._players.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, name: str, folder: str | os.PathLike[str], *, judged: bool = True) -> StageRow:
        """Measures an artifact, and returns what was found.

        Args:
            name: of the stage.
            folder: the artifact.
            judged: whether it is held against the baseline; the first is the baseline.

        Raises:
            FileNotFoundError, ValueError: no artifact, or a damaged one; the environment is unknown
                or does not fit; a return outside the bounds.
        """
        policy = runtime.load(folder)
        manifest = policy.manifest
        content = artifact.read_file(folder, manifest, artifact.MODEL_FILE)
        first = self._rows[0] if self._rows and judged else None
        episodes, gate = self._play(name, folder, first is not None)
        visited = _visited(policy, folder, self._env) if first is None else first.visited
        differences = None
        if first is not None:
            differences = compare(folder, self._first_folder, self._env, visited)
        verdict = INCONCLUSIVE if first is not None and episodes is not None else None
        row = StageRow(
            name=name,
            precision=manifest.precision,
            parameters=manifest.parameters.total,
            nonzero=manifest.parameters.nonzero,
            sparsity=manifest.sparsity.achieved,
            size_bytes=len(content),
            gzip_bytes=len(gzip.compress(content, 9, mtime=0)),
            latency_us=latency.measure(policy, visited),
            agreement=None if differences is None else differences.states.agreement,
            differences=differences,
            returns=self._summary(episodes),
            paired=None if first is None or episodes is None else self._paired(episodes),
            verdict=verdict if gate is None else gate.verdict,
            gate=gate,
            episodes=episodes,
            visited=visited,
            sha256=manifest.files[artifact.MODEL_FILE].sha256,
            kernels=kernels_in(content),
        )
        if not self._rows:
            self._first_folder = folder
        self._rows.append(row)
        return row

    def rows(self) -> list[StageRow]:
        """Returns all stages; the baseline with every episode that it has played by now."""
        if self._baseline is None or not self._rows:
            return list(self._rows)
        played = self._baseline.played
        first = dataclasses.replace(self._rows[0], episodes=played, returns=self._summary(played))
        return [first, *self._rows[1:]]

    def _play(
        self, name: str, folder: str | os.PathLike[str], beside: bool
    ) -> tuple[Episodes | None, Verdict | None]:
        """Returns the episodes of an artifact, and the verdict on it beside the baseline."""
        if self._env is None:
            return None, None
        total = len(self._seeds)
        series = Series(
            self._players,
            folder,
            self._env,
            self._seeds,
            lambda done: self._progress(name, done, total),
        )
        if not beside:
            return self._play_first(series), None
        assert self._baseline is not None
        verdict = None
        looks = range(_BLOCK, total, _BLOCK) if self._until_decided else ()
        for count in (*looks, total):
            theirs = self._baseline.first(count)
            ours = series.first(count)
            verdict = None if self._terms.bounds is None else judge(ours, theirs, self._terms)
            if verdict is not None and verdict.verdict != INCONCLUSIVE:
                break
        return series.played, verdict

    def _play_first(self, series: Series) -> Episodes:
        fresh = self._baseline is None
        # Of a baseline that may not have to play all, a first block.
        short = fresh and self._until_decided and self._terms.bounds is not None
        episodes = series.first(min(_BLOCK, len(series)) if short else len(series))
        if self._terms.bounds is not None:
            # Beside itself: bounds that don't hold are told before there is more work.
            judge(episodes, episodes, self._terms)
        if fresh:
            self._baseline = series
        return episodes

    def _paired(self, episodes: Episodes) -> dict[str, Any]:
        """Returns how episodes stand beside the baseline's on the same seeds."""
        assert self._baseline is not None
        ours, theirs = (
            each.scores(self._worst()) for each in (episodes, self._baseline.first(len(episodes)))
        )
        return {
            "difference": paired_difference(ours, theirs).to_json(),
            "probability_of_improvement": probability_of_improvement(ours, theirs).to_json(),
        }

    def _worst(self) -> float | None:
        """Returns what a failed episode counts as, here as in the gate."""
        return self._terms.bounds and self._terms.bounds[0]

    def _summary(self, episodes: Episodes | None) -> dict[str, Any] | None:
        return None if episodes is None else summarize(episodes, worst=self._worst())


def broken_by(rows: Sequence[StageRow]) -> str | None:
    """Returns the first stage that failed; if none did, the first that is not known to be safe.

    None where every stage passed, or nothing was judged.

    Args:
        rows: in the order of the stages, the baseline first.
    """
    for verdict in (FAIL, INCONCLUSIVE):
        for row in rows:
            if row.verdict == verdict:
                return row.name
    return None


def last_safe(rows: Sequence[StageRow]) -> str | None:
    """Returns the last stage that passed together with all before it; None if not even the first.

    Stages stand in the order of what they take away, which was fixed before any was judged: see
    `accepted_in_order` for why one that passes after one that does not has no such promise.

    Args:
        rows: in the order of the stages, the baseline first.
    """
    accepted = accepted_in_order({row.name: row.verdict for row in rows[1:]})
    return accepted[-1] if accepted else None


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
