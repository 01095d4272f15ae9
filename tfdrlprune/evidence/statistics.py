"""What a table of episodes says: means with intervals, tails, failures, paired differences.

Following Agarwal et al. (2021, "Deep RL at the edge of the statistical precipice"): no mean without
its interval, and the interquartile mean beside it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tfdrlprune.evidence.episodes import Episodes

_RESAMPLES = 9_999


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    Attributes:
        value: the estimate.
        low: lower end of the interval; None if the sample is too small to have one.
        high: upper end, likewise.
    """

    value: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """Returns ``{mean, ci_low, ci_high}``."""
        return {"mean": self.value, "ci_low": self.low, "ci_high": self.high}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Estimate:
        """Returns what `to_json` wrote."""
        return Estimate(values["mean"], values["ci_low"], values["ci_high"])


def mean(values: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Returns the mean with its two-sided bootstrap interval (BCa; Efron 1987).

    Equal values give an interval of no width: all that a bootstrap can say then. One value has no
    interval. For whether one policy is as good as another, ask the gate: a bootstrap of few
    episodes is too sure of itself.

    Args:
        values: [n], n at least 1.
        confidence: in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: there are no values, one is NaN or infinite, or ``confidence`` is out of range.
    """
    sample = _checked(values)
    check_confidence(confidence)
    value = float(sample.mean())
    if len(sample) == 1:
        return Estimate(value, None, None)
    if np.ptp(sample) == 0:
        return Estimate(value, value, value)
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # Where all resamples lie on one side, BCa is undefined; the percentile always is.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                (sample,),
                np.mean,
                confidence_level=confidence,
                n_resamples=_RESAMPLES,
                batch=max(1, 10**6 // len(sample)),
                method=method,
                random_state=np.random.default_rng(seed),
            ).confidence_interval
        if math.isfinite(interval.low) and math.isfinite(interval.high):
            break
    return Estimate(value, float(interval.low), float(interval.high))


def paired_difference(
    candidate: ArrayLike, baseline: ArrayLike, *, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Returns the mean of ``candidate - baseline`` over the same seeds, as `mean` does.

    Raises:
        ValueError: the two differ in length; as `mean`.
    """
    ours, theirs = _checked(candidate), _checked(baseline)
    if len(ours) != len(theirs):
        raise ValueError(
            "A paired difference needs both returns for every seed. "
            f"Received: {len(ours)} and {len(theirs)}."
        )
    return mean(ours - theirs, confidence=confidence, seed=seed)


def interquartile_mean(values: ArrayLike) -> float:
    """Returns the mean of the middle half: a fourth of the values cut off at each end."""
    return float(stats.trim_mean(_checked(values), 0.25))


def stratified_interquartile_mean(
    strata: Sequence[ArrayLike], *, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Returns the interquartile mean of all values together, with its stratified interval.

    Values are resampled within their stratum (percentile bootstrap; Agarwal et al. 2021), so that
    the interval is about other episodes of these training runs, or other runs of these tasks, and
    no stratum is ever left out. With fewer than two values in any there is no interval.

    Args:
        strata: one or more samples: the returns of each training run, or the normalised scores of
            each task.
        confidence: in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: there are no strata; as `mean`.
    """
    check_confidence(confidence)
    if not strata:
        raise ValueError("A stratified mean is taken of one stratum or more. Received: none.")
    samples = [_checked(each) for each in strata]

    def together(*parts: Any, axis: int = -1) -> Any:
        return stats.trim_mean(np.concatenate(parts, axis=axis), 0.25, axis=axis)

    value = float(together(*samples))
    if min(map(len, samples)) < 2:
        return Estimate(value, None, None)
    if not any(np.ptp(sample) for sample in samples):
        return Estimate(value, value, value)
    return _percentile(samples, together, value, confidence, seed)


def probability_of_improvement(
    candidate: ArrayLike, baseline: ArrayLike, *, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Returns the probability that an episode of the candidate returns more than the baseline's.

    The Mann-Whitney statistic over the product of the sizes, ties counted half (Agarwal et al.
    2021), with a percentile bootstrap interval, both samples resampled. 0.5 for equal policies. It
    says how often, never by how much: a policy that is a little better nearly always, and fails
    now and then, is far above 0.5.

    Args:
        candidate: returns, [n].
        baseline: returns, [m].
        confidence: in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: as `mean`.
    """
    check_confidence(confidence)
    ours, theirs = _checked(candidate), _checked(baseline)

    def more(first: Any, second: Any, axis: int = -1) -> Any:
        count, others = first.shape[axis], second.shape[axis]
        ranks = stats.rankdata(np.concatenate([first, second], axis=axis), axis=axis)
        above = ranks.take(np.arange(count), axis=axis).sum(axis=axis) - count * (count + 1) / 2
        return above / (count * others)

    value = float(more(ours, theirs))
    if min(len(ours), len(theirs)) < 2:
        return Estimate(value, None, None)
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:
        return Estimate(value, value, value)
    return _percentile([ours, theirs], more, value, confidence, seed)


def _percentile(
    samples: Sequence[NDArray[np.float64]],
    statistic: Any,
    value: float,
    confidence: float,
    seed: int,
) -> Estimate:
    interval = stats.bootstrap(
        samples,
        statistic,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=_RESAMPLES,
        batch=max(1, 10**6 // sum(map(len, samples))),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def cvar(values: ArrayLike, fraction: float = 0.1) -> float:
    """Returns the conditional value at risk: the mean of the worst ``fraction`` of the values.

    Of n values these are the ``ceil(fraction * n)`` smallest (Rockafellar & Uryasev 2000).

    Raises:
        ValueError: ``fraction`` is not in (0, 1]; as `mean`.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is in (0, 1]. Received: fraction={fraction}.")
    sample = np.sort(_checked(values))
    # Rounded first, since 0.07 * 100 is a little more than 7.
    return float(sample[: math.ceil(round(fraction * len(sample), 9))].mean())


def failure_rate(failures: int, episodes: int, *, confidence: float = 0.95) -> Estimate:
    """Returns the rate of failures with its Wilson score interval (Wilson 1927).

    Without a single failure the upper end is that of the rule of three (Hanley & Lippman-Hand
    1983), ``-ln(1 - confidence) / episodes``: no failure in 100 episodes still allows for 3 %.

    Raises:
        ValueError: there are no episodes, or not between 0 and ``episodes`` failures.
    """
    check_confidence(confidence)
    if not 0 <= failures <= episodes or episodes < 1:
        raise ValueError(
            "Failures are counted among one episode or more. "
            f"Received: failures={failures}, episodes={episodes}."
        )
    if failures == 0:
        return Estimate(0.0, 0.0, min(1.0, -math.log1p(-confidence) / episodes))
    test = stats.binomtest(failures, episodes)
    interval = test.proportion_ci(confidence_level=confidence, method="wilson")
    return Estimate(failures / episodes, float(interval.low), float(interval.high))


def summarize(episodes: Episodes, *, worst: float | None = None, seed: int = 0) -> dict[str, Any]:
    """Returns the ``return`` block of ``report.json`` for one policy.

    Failed episodes count with the worst score (`Episodes.scores`), never by what they had gathered.

    Args:
        episodes: the policy's.
        worst: smallest possible return, if known.
        seed: of the bootstrap.

    Returns:
        ``episodes, mean, median, iqm, ci_low, ci_high, cvar10, worst, failures, failure_rate_low,
        failure_rate_high``; ``ci_low`` and ``ci_high`` are the mean's 95 % interval, None for a
        single episode.

    Raises:
        ValueError: there are no episodes.
    """
    scores = episodes.scores(worst)
    average = mean(scores, seed=seed)
    failures = int(episodes.failed.sum())
    rate = failure_rate(failures, len(episodes))
    return {
        "episodes": len(episodes),
        "mean": average.value,
        "median": float(np.median(scores)),
        "iqm": interquartile_mean(scores),
        "ci_low": average.low,
        "ci_high": average.high,
        "cvar10": cvar(scores, 0.1),
        "worst": float(scores.min()),
        "failures": failures,
        "failure_rate_low": rate.low,
        "failure_rate_high": rate.high,
    }


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError(
            "A statistic is taken of one or more finite numbers. "
            f"Received: shape={sample.shape}, of these finite: {int(np.isfinite(sample).sum())}."
        )
    return sample


def check_confidence(confidence: float) -> None:
    """Raises ValueError unless a confidence is in (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence is in (0, 1). Received: confidence={confidence}. For 95 % write 0.95."
        )
