"""Trials: episodes of policies that are not files yet, stepped together, on selection seeds.

They choose among candidates. What is chosen is judged afterwards, as a file, on other seeds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents import spaces
from tfdrlprune.compression.actor import Actor
from tfdrlprune.evidence.claims import margin_return
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.gate import judge
from tfdrlprune.evidence.ledger import known_bounds
from tfdrlprune.evidence.rollouts import reason_of, seeds_for
from tfdrlprune.evidence.statistics import paired_difference
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.evidence.verdict import INCONCLUSIVE, PASS
from tfdrlprune.policies.form import Policy
from tfdrlprune.simulation import Environment, make

# An environment without a limit of its own must not hang a trial.
_LONGEST = 100_000
# Pairs of episodes between two looks.
_BLOCK = 50


class Environments:
    """Where episodes are played side by side.

    Args:
        env: registered id or factory.
    """

    def __init__(self, env: Environment):
        self._env = env
        self._made: list[Any] = []

    def play(self, actor: Actor, seeds: Sequence[int], limit: int = _LONGEST) -> Episodes:
        """Returns one episode for each seed, stepped together; the actor as it was refreshed last.

        Episodes end and fail as in `roll_out`.

        Args:
            actor: acts.
            seeds: at least one.
            limit: env_steps after which an episode is cut.
        """
        while len(self._made) < len(seeds):
            self._made.append(make(self._env))
        lanes = [_Lane(env, int(seed)) for env, seed in zip(self._made, seeds, strict=False)]
        actor.reset()
        while running := [lane for lane in lanes if not lane.outcome]:
            # What remembers has a row for each episode, those that are over included.
            rows = lanes if actor.remembers else running
            actions = actor.action(_stacked([lane.observation for lane in rows]))
            for lane, action in zip(rows, actions, strict=True):
                if not lane.outcome:
                    lane.step(action, limit)
        for index, lane in enumerate(lanes):
            if lane.outcome == "error":  # nobody knows in what state that one is
                self._close(self._made[index])
                self._made[index] = make(self._env)
        return Episodes(
            np.array([lane.seed for lane in lanes], np.int64),
            np.array([lane.total for lane in lanes], np.float64),
            np.array([lane.length for lane in lanes], np.int64),
            np.array([lane.outcome for lane in lanes], np.str_),
            tuple(lane.reason for lane in lanes),
        )

    def close(self) -> None:
        """Closes the environments."""
        for env in self._made:
            self._close(env)
        self._made = []

    @staticmethod
    def _close(env: Any) -> None:
        with contextlib.suppress(Exception):  # a crashed simulator may not even close
            env.close()


class _Lane:
    """One episode."""

    def __init__(self, env: Any, seed: int):
        self.seed, self.total, self.length = seed, 0.0, 0
        self.outcome, self.reason = "", ""
        self._env = env
        self._last = self.observation = _zeros(env.observation_space)
        try:
            self._see(env.reset(seed=seed)[0], 0.0)
        except Exception as error:
            self._fail("error", reason_of(error))

    def step(self, action: Any, limit: int) -> None:
        self.length += 1
        try:
            observation, reward, terminated, truncated, _ = self._env.step(action)
        except Exception as error:
            self._fail("error", reason_of(error))
            return
        self._see(observation, float(reward))
        if not self.outcome and (terminated or truncated or self.length >= limit):
            self.outcome = (
                "terminated" if terminated else "truncated" if truncated else "time_limit"
            )

    def _see(self, observation: Any, reward: float) -> None:
        self.observation = spaces.encode_observation(self._env.observation_space, observation)
        if not (math.isfinite(reward) and _finite(self.observation)):
            self._fail("nan", f"step {self.length} gave what is not finite")
            self.observation = self._last
            return
        self._last = self.observation
        self.total += reward

    def _fail(self, outcome: str, reason: str) -> None:
        self.outcome, self.reason = outcome, reason


def _stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], np.ndarray):  # without TensorFlow's nests, which take as long
        return np.stack(observations)
    return tf.nest.map_structure(lambda *each: np.stack(each), *observations)


def _zeros(space: Any) -> Any:
    """Returns an observation of zeros, which stands where an episode has none that is finite."""
    sample = spaces.encode_observation(space, space.sample())
    return tf.nest.map_structure(lambda leaf: np.zeros_like(np.asarray(leaf)), sample)


def _finite(observation: Any) -> bool:
    leaves = [observation]
    if not isinstance(observation, np.ndarray):
        leaves = [np.asarray(leaf) for leaf in tf.nest.flatten(observation)]
    return all(leaf.dtype.kind != "f" or bool(np.isfinite(leaf).all()) for leaf in leaves)


@dataclass(frozen=True)
class Trial:
    """What a candidate came to beside the baseline.

    Attributes:
        verdict: of the gate on these seeds; INCONCLUSIVE where it could not be asked, for want of
            bounds on returns.
        holds: whether the candidate is taken to do what the baseline does: PASS, or while nothing
            is decided, the lower end of the difference's bootstrap interval is within the margin.
            Good enough to choose by: a wider network needs as many episodes to be decided on.
        mean: return over the episodes.
        difference: mean of candidate minus baseline.
        episodes: how many were played.
    """

    verdict: str
    holds: bool
    mean: float
    difference: float
    episodes: int


class Trials:
    """Candidates held against a baseline on selection seeds, until the gate has decided.

    A context manager: leaving it closes the environments.

    Args:
        env: registered id or factory.
        baseline: the dense policy.
        terms: of the gate.
        episodes: of each at most.
        seed: of the compression; the seeds are none of those that choose a lesson's round.
    """

    def __init__(self, env: Environment, baseline: Policy, terms: Terms, episodes: int, seed: int):
        self._terms = dataclasses.replace(terms, bounds=known_bounds(env, terms.bounds))
        self._envs, self._baseline = Environments(env), Actor(baseline)
        # Never those on which a lesson's best round was chosen: it looks better there.
        self._seeds = seeds_for("selection", seed, 1_000 + episodes)[1_000:].tolist()
        self._played: list[Episodes] = []

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        self._envs.close()

    def made_of(self) -> dict[str, Any]:
        """Returns what determines a verdict beside the two policies, as JSON values."""
        return {"terms": dataclasses.asdict(self._terms), "episodes": len(self._seeds)}

    def hold(self, candidate: Policy) -> Trial:
        """Returns what a candidate comes to; plays only as long as nothing is decided."""
        actor, ours = Actor(candidate), []
        trial = None
        for number, start in enumerate(range(0, len(self._seeds), _BLOCK)):
            seeds = self._seeds[start : start + _BLOCK]
            if number == len(self._played):
                self._played.append(self._envs.play(self._baseline, seeds))
            ours.append(self._envs.play(actor, seeds))
            trial = self._judge(Episodes.joined(ours), Episodes.joined(self._played[: number + 1]))
            if trial.verdict != INCONCLUSIVE:
                break
        assert trial is not None
        return trial

    def _judge(self, ours: Episodes, theirs: Episodes) -> Trial:
        bounds = self._terms.bounds
        worst = bounds and bounds[0]
        scores, base = ours.scores(worst), theirs.scores(worst)
        verdict = INCONCLUSIVE
        if bounds is not None:
            # What leaves the bounds is bad, or they are; either is told of what is judged at last,
            # and no reason to lose all other candidates now.
            ours, theirs = (
                dataclasses.replace(each, returns=np.clip(each.returns, *bounds))
                for each in (ours, theirs)
            )
            verdict = judge(ours, theirs, self._terms).verdict
        holds = verdict == PASS or (verdict == INCONCLUSIVE and self._is_near(scores, base))
        difference = float((scores - base).mean())
        return Trial(verdict, holds, float(scores.mean()), difference, len(scores))

    def _is_near(self, scores: Any, base: Any) -> bool:
        low = paired_difference(scores, base).low
        return low is not None and low > -margin_return(base, self._terms)
