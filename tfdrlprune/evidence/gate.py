"""The gate: is a small policy not worse than the big one, by more than a margin?

A one-sided test of non-inferiority on episodes paired by seed. It is anytime-valid (see
`betting`): a wrong PASS, and likewise a wrong FAIL, has at most the probability
``1 - confidence``, also when the gate is asked again after every episode.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfdrlprune.evidence import betting
from tfdrlprune.evidence.betting import Floats
from tfdrlprune.evidence.bounds import Bounds, return_bounds
from tfdrlprune.evidence.episodes import Episodes

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"


@dataclass(frozen=True)
class Verdict:
    """What the gate says, with all that it rests on.

    Attributes:
        verdict: ``"PASS"``, ``"FAIL"`` or ``"INCONCLUSIVE"``.
        margin: the relative loss that is allowed; see `judge`.
        margin_return: the same in units of the return, by the baseline's mean over these episodes.
        confidence: one minus the probability of a wrong PASS, and of a wrong FAIL.
        episodes: pairs of episodes that were given.
        decided_after: how many of them it took; None while inconclusive.
        difference: mean of candidate minus baseline, over all pairs.
        ci_low: lower confidence bound of that mean, valid at any time, in units of the return.
        e_not_worse: capital won against "worse by the margin or more" when it was decided, or by
            now; its reciprocal bounds a p-value.
        e_worse: capital won against "not worse than the margin", likewise.
        episodes_needed: while inconclusive, about how many more pairs would decide; None if
            these do not tell.
        bounds: what every return must lie in.
        floor: what losses are measured from; None for zero.
        message: one line for people.
    """

    verdict: str
    margin: float
    margin_return: float
    confidence: float
    episodes: int
    decided_after: int | None
    difference: float
    ci_low: float
    e_not_worse: float
    e_worse: float
    episodes_needed: int | None
    bounds: Bounds
    floor: float | None
    message: str

    def to_json(self) -> dict[str, Any]:
        """Returns the verdict as JSON values."""
        return {**asdict(self), "bounds": list(self.bounds)}


def judge(
    candidate: Episodes,
    baseline: Episodes,
    *,
    margin: float = 0.05,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
    floor: float | None = None,
) -> Verdict:
    """Returns whether the candidate is not worse than the baseline by more than the margin.

    With true means c and b, PASS rejects ``c - floor <= (1 - margin) * (b - floor)``: the candidate
    keeps more than ``1 - margin`` of what the baseline has above the floor. A good floor is the
    return of a random policy, so that 5 % means 5 % of what was learned. Without one, the loss is
    relative to ``|b|``: PASS rejects ``c <= b - margin * |b|``. Both are tested as they stand, as
    the mean of ``candidate - weight * baseline`` over pairs; no estimated margin is plugged in.
    FAIL rejects the opposite. What is decided first, in the order of the episodes, stays.

    A failed episode, of either, scores the lower bound.

    Args:
        candidate: the small policy's episodes.
        baseline: the big policy's, on the same seeds in the same order.
        margin: allowed relative loss, in (0, 1).
        confidence: in (0, 1).
        bounds: numbers that no return can leave; see `return_bounds`. The wider, the more
            episodes it takes: the gate has to allow for a rare catastrophe.
        floor: the return that counts as nothing; at least the lower bound.

    Raises:
        ValueError: no bounds, or a return outside them; seeds that differ or repeat; an argument
            out of its range; a baseline that is no better than the floor.
    """
    _check(candidate, baseline, margin, confidence)
    bounds = return_bounds(None, bounds)
    ours, theirs = _scores("candidate", candidate, bounds), _scores("baseline", baseline, bounds)
    values, mean = _as_bet(ours, theirs, margin, bounds, floor)
    capitals = betting.log_capital(values, mean), betting.log_capital(1 - values, 1 - mean)
    verdict, decided_after = _first_to_cross(capitals, -math.log1p(-confidence))
    end = (decided_after or len(ours)) - 1
    needed = None
    if verdict == INCONCLUSIVE:
        needed = _episodes_needed(values, mean, capitals, -math.log1p(-confidence))
    difference = float((ours - theirs).mean())
    span = bounds[1] - bounds[0]
    loss = betting.lower_bound((ours - theirs + span) / (2 * span), confidence) * 2 * span - span
    allowed = margin * abs(float(theirs.mean()) - (floor or 0.0))
    return Verdict(
        verdict=verdict,
        margin=margin,
        margin_return=allowed,
        confidence=confidence,
        episodes=len(ours),
        decided_after=decided_after,
        difference=difference,
        ci_low=loss,
        e_not_worse=_exp(capitals[0][end]),
        e_worse=_exp(capitals[1][end]),
        episodes_needed=needed,
        bounds=bounds,
        floor=floor,
        message=_message(verdict, margin, confidence, len(ours), decided_after, difference, needed),
    )


def _check(candidate: Episodes, baseline: Episodes, margin: float, confidence: float) -> None:
    if not 0 < margin < 1:
        raise ValueError(
            f"margin is the relative loss allowed, in (0, 1). Received: margin={margin}. "
            "For 5 % write 0.05."
        )
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence is in (0, 1). Received: confidence={confidence}. For 95 % write 0.95."
        )
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
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"Return bounds are two finite numbers, LOW < HIGH. Received: {bounds}.")
    scores = episodes.scores(low)
    slack = 1e-9 * (high - low)  # sums of rewards are rounded
    outside = np.flatnonzero((scores < low - slack) | (scores > high + slack))
    if len(outside):
        index = outside[0]
        raise ValueError(
            f"The {name}'s return {scores[index]:g} of seed {episodes.seeds[index]} is outside the "
            f"return bounds {low:g} to {high:g}, so they are no bounds. Declare wider ones: "
            "--return-bounds LOW HIGH."
        )
    return np.clip(scores, low, high)


def _as_bet(
    ours: Floats, theirs: Floats, margin: float, bounds: Bounds, floor: float | None
) -> tuple[Floats, float]:
    """Returns one value in [0, 1] for each pair, and the mean of exactly the margin."""
    low, high = bounds
    if floor is not None:
        if not low <= floor < theirs.mean():
            raise ValueError(
                "The floor is at least the lower bound and below the baseline's mean return "
                f"{theirs.mean():g}, or a loss means nothing. Received: floor={floor:g}."
            )
        weight, threshold = 1 - margin, margin * floor
    else:
        # The sign of the baseline's true mean: known from the bounds, or else clear from its mean.
        negative = high <= 0 or (low < 0 and theirs.mean() < 0)
        weight, threshold = (1 + margin if negative else 1 - margin), 0.0
    lowest, highest = low - weight * high, high - weight * low
    mean = (threshold - lowest) / (highest - lowest)
    if mean <= 0:
        raise ValueError(
            f"Return bounds {low:g} to {high:g} are narrower than the margin {margin:g}: no policy "
            "could fail. Take a smaller margin, or a floor."
        )
    return np.clip((ours - weight * theirs - lowest) / (highest - lowest), 0.0, 1.0), mean


def _first_to_cross(capitals: tuple[Floats, Floats], needed: float) -> tuple[str, int | None]:
    times = [int(np.argmax(capital >= needed)) for capital in capitals]
    crossed = [
        (time, verdict)
        for time, capital, verdict in zip(times, capitals, (PASS, FAIL), strict=True)
        if capital[time] >= needed
    ]
    return (min(crossed)[1], min(crossed)[0] + 1) if crossed else (INCONCLUSIVE, None)


def _episodes_needed(
    values: Floats, mean: float, capitals: tuple[Floats, Floats], needed: float
) -> int | None:
    """Returns about how many more pairs decide, by the growth of the faster of the two capitals."""
    sides = ((values, mean, capitals[0]), (1 - values, 1 - mean, capitals[1]))
    waits = [
        (needed - float(capital[-1])) / rate
        for side, hypothesis, capital in sides
        if (rate := betting.growth(side, hypothesis)) > 1e-6
    ]
    return max(1, math.ceil(min(waits))) if waits else None


def _exp(log: float) -> float:
    return math.exp(min(float(log), 700.0))


def _message(
    verdict: str,
    margin: float,
    confidence: float,
    episodes: int,
    decided_after: int | None,
    difference: float,
    needed: int | None,
) -> str:
    facts = f"difference {difference:+.4g} over {episodes} paired episodes"
    if verdict == INCONCLUSIVE:
        more = f"about {needed} more should decide" if needed else "they do not tell how many would"
        return f"INCONCLUSIVE: {facts} cannot decide on a margin of {margin:.3g}; {more}."
    claim = "not worse than" if verdict == PASS else "worse than"
    return (
        f"{verdict}: {claim} the baseline less a margin of {margin:.3g}, with confidence "
        f"{confidence:g} ({facts}, decided after {decided_after})."
    )
