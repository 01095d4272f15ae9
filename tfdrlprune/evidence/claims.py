"""The claims of a candidate, each as two bets: one that it is false, one that it is true.

A claim is shown when the bet against its opposite has won enough, and refuted when the bet against
the claim itself has. All are bets on bounded values (see `betting`), so both hold at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.evidence import betting, tail
from tfdrlprune.evidence.betting import Floats
from tfdrlprune.evidence.bounds import Bounds
from tfdrlprune.evidence.statistics import cvar
from tfdrlprune.evidence.terms import Terms

TAIL = 0.1  # the share of worst episodes that min_cvar is about


@dataclass(frozen=True)
class Bet:
    """Capital won against a hypothesis.

    Attributes:
        log_capital: [n], after each episode.
        growth: of it for each further episode like those seen; zero or less if never.
    """

    log_capital: Floats
    growth: float


@dataclass(frozen=True)
class Claim:
    """What is said of a candidate.

    Attributes:
        name: ``"return"``, ``"failure rate"`` or ``"CVaR 10 %"``.
        shown: in words, once it is shown.
        refuted: in words, once it is refuted.
        observed: the difference of means, the rate, or the CVaR over these episodes.
        limit: that it is held against.
        pro: bet against the claim's opposite.
        contra: bet against the claim.
    """

    name: str
    shown: str
    refuted: str
    observed: float
    limit: float
    pro: Bet
    contra: Bet


def keeps_return(ours: Floats, theirs: Floats, terms: Terms, bounds: Bounds) -> Claim:
    """Returns the claim that the candidate loses less than the margin.

    Both means are tested as they stand, as the mean of ``candidate - weight * baseline`` over
    pairs; no estimated margin is plugged in.

    Args:
        ours: [n], scores of the candidate, within the bounds.
        theirs: [n], of the baseline on the same seeds.
        terms: of the gate.
        bounds: of every return.

    Raises:
        ValueError: a baseline that is no better than the floor; bounds narrower than the margin.
    """
    values, mean = as_bet(ours, theirs, terms, bounds)
    if terms.margin_return is not None:
        allowed = f"a margin of {terms.margin_return:.4g} in return"
    else:
        above = "" if terms.floor is None else f" of what is above {terms.floor:.4g}"
        allowed = f"a margin of {terms.margin:.4g}{above}"
    return Claim(
        "return",
        f"not worse than the baseline less {allowed}",
        f"worse than the baseline less {allowed}",
        float((ours - theirs).mean()),
        -margin_return(theirs, terms),
        _on_mean(values, mean),
        _on_mean(1 - values, 1 - mean),
    )


def fails_seldom(failed: NDArray[np.bool_], limit: float) -> Claim:
    """Returns the claim that the candidate fails in less than ``limit`` of all episodes.

    Args:
        failed: bool [n].
        limit: in (0, 1).
    """
    held = 1.0 - failed.astype(float)
    return Claim(
        "failure rate",
        f"failing in less than {limit:.3g} of all episodes",
        f"failing in more than {limit:.3g} of all episodes",
        float(failed.mean()),
        limit,
        _on_mean(held, 1 - limit),
        _on_mean(1 - held, limit),
    )


def bad_episodes_are_good_enough(ours: Floats, limit: float, bounds: Bounds) -> Claim:
    """Returns the claim that the mean of the worst tenth of all episodes is above ``limit``.

    Args:
        ours: [n], scores of the candidate, within the bounds.
        limit: strictly within the bounds.
        bounds: of every return.

    Raises:
        ValueError: the limit is not within the bounds.
    """
    low, high = bounds
    if not low < limit < high:
        raise ValueError(
            f"min_cvar is a return within the bounds {low:g} to {high:g}. "
            f"Received: min_cvar={limit:g}."
        )
    scaled, threshold = (ours - low) / (high - low), (limit - low) / (high - low)
    return Claim(
        "CVaR 10 %",
        f"above {limit:.4g} in the mean of its worst tenth of episodes",
        f"below {limit:.4g} in the mean of its worst tenth of episodes",
        cvar(ours, TAIL),
        limit,
        Bet(*tail.against_at_most(scaled, threshold, TAIL)),
        Bet(*tail.against_at_least(scaled, threshold, TAIL)),
    )


def as_bet(ours: Floats, theirs: Floats, terms: Terms, bounds: Bounds) -> tuple[Floats, float]:
    """Returns one value in [0, 1] for each pair, and the mean of exactly the margin."""
    low, high = bounds
    weight, threshold = _weight_and_threshold(theirs, terms, bounds)
    lowest, highest = low - weight * high, high - weight * low
    mean = (threshold - lowest) / (highest - lowest)
    if mean <= 0:
        margin = terms.margin if terms.margin_return is None else terms.margin_return
        raise ValueError(
            f"Return bounds {low:g} to {high:g} are narrower than the margin {margin:g}: no policy "
            "could fail. Take a smaller margin, or a floor."
        )
    return np.clip((ours - weight * theirs - lowest) / (highest - lowest), 0.0, 1.0), mean


def _weight_and_threshold(theirs: Floats, terms: Terms, bounds: Bounds) -> tuple[float, float]:
    """Returns w and t of the claim "the mean of candidate - w * baseline is above t"."""
    low, high = bounds
    if terms.margin_return is not None:
        return 1.0, -terms.margin_return
    if terms.floor is None:
        # The sign of the baseline's true mean: known from the bounds, or else clear from its mean.
        negative = high <= 0 or (low < 0 and theirs.mean() < 0)
        return (1 + terms.margin if negative else 1 - terms.margin), 0.0
    if not low <= terms.floor < theirs.mean():
        raise ValueError(
            "The floor is at least the lower bound and below the baseline's mean return "
            f"{theirs.mean():g}, or a loss means nothing. Received: floor={terms.floor:g}."
        )
    return 1 - terms.margin, terms.margin * terms.floor


def margin_return(theirs: Floats, terms: Terms) -> float:
    """Returns the allowed loss in units of the return, by the baseline's mean over its episodes."""
    if terms.margin_return is not None:
        return terms.margin_return
    return terms.margin * abs(float(theirs.mean()) - (terms.floor or 0.0))


def _on_mean(values: Floats, mean: float) -> Bet:
    return Bet(betting.log_capital(values, mean), betting.growth(values, mean))
