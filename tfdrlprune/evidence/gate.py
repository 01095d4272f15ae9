"""The gate: does a small policy do what the big one does, on the terms that were set?

A one-sided test of non-inferiority on episodes paired by seed, and on request tests of the failure
rate and of the worst episodes. All are anytime-valid (see `betting`): a wrong PASS, and likewise a
wrong FAIL, has at most the probability ``1 - confidence``, also when the gate is asked again after
every episode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfdrlprune.evidence import betting, claims
from tfdrlprune.evidence.betting import Floats
from tfdrlprune.evidence.bounds import Bounds, return_bounds
from tfdrlprune.evidence.claims import Bet, Claim
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.evidence.verdict import FAIL, INCONCLUSIVE, PASS, Ruling, Verdict, message


def judge(candidate: Episodes, baseline: Episodes, terms: Terms) -> Verdict:
    """Returns whether the candidate meets the terms beside the baseline.

    PASS takes that every claim of the terms is shown, so that none needs a correction for there
    being several. FAIL takes that one is refuted, each at its share of ``1 - confidence``. What is
    decided first, in the order of the episodes, stays.

    A failed episode, of either, scores the lower bound.

    Args:
        candidate: the small policy's episodes.
        baseline: the big policy's, on the same seeds in the same order.
        terms: set before any of these episodes was seen; with bounds (see `return_bounds`).

    Raises:
        ValueError: no bounds, or a return outside them; seeds that differ or repeat; terms that
            these bounds or this baseline make no sense of.

    Example:
        >>> from tfdrlprune.evidence.rollouts import roll_out
        >>> class Push:
        ...     def __init__(self, weights):
        ...         self.weights = weights
        ...     def action(self, observation):
        ...         return int(observation @ self.weights > 0)
        >>> terms = Terms(margin=0.05, bounds=(0, 500))
        >>> good = roll_out(Push([0.1, 0.2, 1.0, 1.0]), "CartPole-v1", range(10))
        >>> bad = roll_out(Push([0.0, 0.0, -1.0, 0.0]), "CartPole-v1", range(10))
        >>> judge(bad, good, terms).verdict
        'FAIL'
        >>> judge(good, good, terms).verdict  # 10 episodes are too few to tell 5 %
        'INCONCLUSIVE'
    """
    _check(candidate, baseline)
    bounds = return_bounds(None, terms.bounds)
    ours, theirs = _scores("candidate", candidate, bounds), _scores("baseline", baseline, bounds)
    made = [claims.keeps_return(ours, theirs, terms, bounds)]
    if terms.max_failure_rate is not None:
        failed = candidate.failed | (
            ours < (-math.inf if terms.failure_below is None else terms.failure_below)
        )
        made.append(claims.fails_seldom(failed, terms.max_failure_rate))
    if terms.min_cvar is not None:
        made.append(claims.bad_episodes_are_good_enough(ours, terms.min_cvar, bounds))
    needed_pro = -math.log1p(-terms.confidence)
    needed_contra = needed_pro + math.log(len(made))
    rulings = tuple(_ruling(claim, needed_pro, needed_contra) for claim in made)
    verdict, decided_after = _together(rulings)
    more = None
    if verdict == INCONCLUSIVE:
        more = _episodes_needed(made, rulings, needed_pro, needed_contra)
    span = bounds[1] - bounds[0]
    low = betting.lower_bound((ours - theirs + span) / (2 * span), terms.confidence)
    return Verdict(
        verdict=verdict,
        margin=terms.margin if terms.margin_return is None else None,
        margin_return=claims.margin_return(theirs, terms),
        confidence=terms.confidence,
        episodes=len(ours),
        decided_after=decided_after,
        difference=made[0].observed,
        ci_low=low * 2 * span - span,
        episodes_needed=more,
        bounds=bounds,
        floor=terms.floor,
        rulings=rulings,
        message=message(verdict, made, rulings, terms.confidence, len(ours), decided_after, more),
    )


def _check(candidate: Episodes, baseline: Episodes) -> None:
    if not len(candidate) or candidate.seeds.tolist() != baseline.seeds.tolist():
        raise ValueError(
            "The gate compares episodes of the same seeds in the same order. Received: "
            f"{len(candidate)} and {len(baseline)} episodes, of other seeds or none."
        )
    if len(set(candidate.seeds.tolist())) < len(candidate):
        raise ValueError(
            "Each seed counts once: the same episode again is no new evidence. Received: "
            f"{len(candidate)} episodes of {len(set(candidate.seeds.tolist()))} seeds."
        )


def _scores(name: str, episodes: Episodes, bounds: Bounds) -> Floats:
    """Returns the returns, those of failed episodes as the lower bound, checked against both."""
    low, high = bounds
    scores = episodes.scores(low)
    slack = 1e-9 * (high - low)  # sums of rewards are rounded
    outside = np.flatnonzero((scores < low - slack) | (scores > high + slack))
    if len(outside):
        index = outside[0]
        raise ValueError(
            f"The {name}'s return {scores[index]:g} of seed {episodes.seeds[index]} is outside the "
            f"return bounds {low:g} to {high:g}, so they are no bounds. Declare wider ones: "
            "--return-bounds LOW HIGH, or from Python Terms(bounds=(LOW, HIGH))."
        )
    return np.clip(scores, low, high)


def _ruling(claim: Claim, needed_pro: float, needed_contra: float) -> Ruling:
    """Returns what the two bets on a claim have decided; the first to win stays."""
    pro, contra = claim.pro.log_capital, claim.contra.log_capital
    shown, refuted = np.argmax(pro >= needed_pro), np.argmax(contra >= needed_contra)
    crossed = []
    if pro[shown] >= needed_pro:
        crossed.append((int(shown) + 1, PASS))
    if contra[refuted] >= needed_contra:
        crossed.append((int(refuted) + 1, FAIL))
    decided_after, verdict = min(crossed, default=(None, INCONCLUSIVE))
    end = (decided_after or len(pro)) - 1
    return Ruling(
        claim.name,
        verdict,
        claim.observed,
        claim.limit,
        decided_after,
        _exp(pro[end]),
        _exp(contra[end]),
    )


def _together(rulings: Sequence[Ruling]) -> tuple[str, int | None]:
    """Returns the verdict on all claims, and after how many episodes it was clear."""
    times = {
        verdict: [each.decided_after or 0 for each in rulings if each.verdict == verdict]
        for verdict in (PASS, FAIL)
    }
    if times[FAIL]:
        return FAIL, min(times[FAIL])
    if len(times[PASS]) == len(rulings):
        return PASS, max(times[PASS])
    return INCONCLUSIVE, None


def _episodes_needed(
    made: Sequence[Claim], rulings: Sequence[Ruling], pro: float, contra: float
) -> int | None:
    """Returns about how many more pairs decide, by the growth of the capitals."""
    undecided = [
        claim for claim, ruling in zip(made, rulings, strict=True) if ruling.verdict == INCONCLUSIVE
    ]
    refuted = [_wait(claim.contra, contra) for claim in undecided]
    # The first to be refuted decides, else the last to be shown.
    if waits := [wait for wait in refuted if wait is not None]:
        return min(waits)
    shown = [_wait(claim.pro, pro) for claim in undecided]
    found = [wait for wait in shown if wait is not None]
    return max(found) if len(found) == len(shown) else None


def _wait(bet: Bet, needed: float) -> int | None:
    if bet.growth <= 1e-6:
        return None
    return max(1, math.ceil((needed - float(bet.log_capital[-1])) / bet.growth))


def _exp(log: float) -> float:
    return math.exp(min(float(log), 700.0))
