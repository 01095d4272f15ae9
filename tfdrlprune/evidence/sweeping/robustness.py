"""Robustness kept: small policies beside the big one under growing disturbances, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.evidence import statistics
from tfdrlprune.evidence.bounds import return_bounds
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.rollouts import Policy, record_observations, roll_out, seeds_for
from tfdrlprune.evidence.sweeping.disturbances import feature_std
from tfdrlprune.evidence.sweeping.sweep_results import (
    BASELINE,
    Curve,
    Point,
    Robustness,
    SweepResult,
)
from tfdrlprune.evidence.sweeping.sweeps import Sweep, check_sweeps, default_sweeps, disturbed
from tfdrlprune.recipe.checks import check_count
from tfdrlprune.simulation import Environment

# States of the baseline whose spread noise is measured by.
_VISITED = 1_000
_RECORDED_EPISODES = 5


def sweep(  # noqa: PLR0913  a call names what it sets
    candidates: Mapping[str, Policy],
    baseline: Policy,
    env: Environment,
    sweeps: Sequence[Sweep] | None = None,
    *,
    episodes: int = 50,
    seed: int = 0,
    worst: float | None = None,
    confidence: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> Robustness:
    """Returns what every policy returns at every level of every sweep, on the same seeds.

    The undisturbed environment is played once for all sweeps, and the baseline once for all
    candidates. A parameter is changed for one level only, in an environment made for it. Noise is
    measured by the spread of the states that the baseline visits undisturbed.

    Args:
        candidates: policies by name.
        baseline: what they are held against.
        env: registered id, or a factory that makes a new environment each time.
        sweeps: what is disturbed; None takes `default_sweeps`.
        episodes: of each policy at each level, 1 or more.
        seed: of the episodes, those of ``"judging"``, and of the states for the noise.
        worst: what a failed episode counts as; None takes the smallest return that is possible in
            the environment, where it is known, else the smallest that any policy had at any level.
        confidence: of the intervals, in (0, 1).
        progress: called with the number of episodes played, after each; `planned_episodes` says
            how many there will be.

    Raises:
        ValueError: an argument is out of its range; the environment has no such parameter or is
            given as an object. All of this is told before anything is played.
        ImportError: the environment's simulator is not installed.
    """
    chosen = default_sweeps(env) if sweeps is None else tuple(sweeps)
    _check(candidates, episodes, confidence, worst)
    check_sweeps(chosen, env, seed)
    cast = _Cast({BASELINE: baseline, **candidates}, seeds_for("judging", seed, episodes), progress)
    std = None
    if any(each.name == "noise" for each in chosen):
        std = feature_std(
            record_observations(
                baseline, env, episodes=_RECORDED_EPISODES, max_count=_VISITED, seed=seed
            )
        )
    plain = cast.play(env)
    tables = [
        {
            level: plain
            if level == each.undisturbed
            else cast.play(disturbed(env, each.name, level, std))
            for level in each.levels
        }
        for each in chosen
    ]
    lowest = _worst(env, worst, tables)
    found = [
        SweepResult(each, _curves(table, each.undisturbed, lowest, confidence))
        for each, table in zip(chosen, tables, strict=True)
    ]
    return Robustness(episodes, seed, confidence, lowest, tuple(found))


def planned_episodes(sweeps: Sequence[Sweep], candidates: int, episodes: int) -> int:
    """Returns how many episodes `sweep` plays, those that measure the noise apart.

    Example:
        >>> planned_episodes([Sweep("noise", (0, 0.1, 0.2)), Sweep("delay", (1,))], 2, 50)
        600
    """
    levels = 1 + sum(len(sweep.disturbed) for sweep in sweeps)
    return levels * (1 + candidates) * episodes


# One level: a table of episodes for each policy.
_Table = dict[str, Episodes]


class _Cast:
    """All policies, played one after the other on the same seeds; counts the episodes."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        seeds: NDArray[np.int64],
        progress: Callable[[int], None] | None,
    ):
        self._policies, self._seeds, self._progress = policies, seeds, progress
        self._played = 0

    def play(self, env: Environment) -> _Table:
        return {
            name: roll_out(policy, env, self._seeds, progress=self._count)
            for name, policy in self._policies.items()
        }

    def _count(self, _: int) -> None:
        self._played += 1
        if self._progress is not None:
            self._progress(self._played)


def _check(
    candidates: Mapping[str, Policy], episodes: int, confidence: float, worst: float | None
) -> None:
    if not candidates or BASELINE in candidates:
        raise ValueError(
            f"Candidates are one or more policies, none of them named {BASELINE!r}. "
            f"Received: {list(candidates)}."
        )
    check_count("episodes", episodes)
    statistics.check_confidence(confidence)
    if worst is not None and not math.isfinite(worst):
        raise ValueError(f"worst is a finite return. Received: worst={worst}.")


def _worst(
    env: Environment, worst: float | None, tables: Sequence[Mapping[float, _Table]]
) -> float:
    """Returns one score of failures for all, or a policy could gain by failing at another level."""
    if worst is not None:
        return worst
    try:
        return return_bounds(env)[0]
    except ValueError:
        played = (each for levels in tables for table in levels.values() for each in table.values())
        return float(min(each.returns.min() for each in played))


def _curves(
    levels: Mapping[float, _Table], undisturbed: float, worst: float, confidence: float
) -> tuple[Curve, ...]:
    scores = {
        level: {name: each.scores(worst) for name, each in table.items()}
        for level, table in levels.items()
    }
    names = list(levels[undisturbed])

    def point(name: str, level: float) -> Point:
        ours, theirs = scores[level][name], scores[level][BASELINE]
        difference = change = None
        if name != BASELINE:
            before = scores[undisturbed][name] - scores[undisturbed][BASELINE]
            difference = statistics.paired_difference(ours, theirs, confidence=confidence)
            change = statistics.paired_difference(ours - theirs, before, confidence=confidence)
        average = statistics.mean(ours, confidence=confidence)
        return Point(level, average, int(levels[level][name].failed.sum()), difference, change)

    return tuple(Curve(name, tuple(point(name, level) for level in levels)) for name in names)
