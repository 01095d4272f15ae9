"""Statistics against numbers worked by hand, and intervals against their promise."""

import numpy as np
import pytest
from scipy import stats

from tfdrlprune.evidence import statistics
from tfdrlprune.evidence.episodes import Episodes


def table(returns, outcomes=None):
    count = len(returns)
    outcomes = ["terminated"] * count if outcomes is None else outcomes
    return Episodes(
        np.arange(count),
        np.array(returns, float),
        np.ones(count, int),
        np.array(outcomes),
        ("",) * count,
    )


def test_the_interval_of_the_mean_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        estimate = statistics.mean(rng.exponential(1.0, 60), seed=trial)
        covered += estimate.low <= 1 <= estimate.high
    # Nominal 190 of 200; BCa loses a little on so skewed a sample: 0.93 +- 3 sd.
    assert 175 <= covered <= 199


def test_the_interval_of_the_mean_agrees_with_the_normal_one_on_a_large_normal_sample():
    sample = np.random.default_rng(1).normal(10, 2, 2000)
    half = 1.96 * sample.std(ddof=1) / np.sqrt(2000)
    estimate = statistics.mean(sample)
    assert estimate.value == sample.mean()
    assert estimate.low == pytest.approx(sample.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(sample.mean() + half, abs=0.1 * half)
    narrow = statistics.mean(sample, confidence=0.5)
    assert (narrow.high - narrow.low) / (2 * half) == pytest.approx(0.6745 / 1.96, rel=0.1)
    assert statistics.mean(sample) == estimate
    assert statistics.mean(sample, seed=1) != estimate


def test_degenerate_samples_have_the_interval_they_deserve():
    assert statistics.mean([500.0] * 100) == statistics.Estimate(500, 500, 500)
    assert statistics.mean([3.0]) == statistics.Estimate(3, None, None)
    almost = statistics.mean([500.0] * 99 + [0.0])
    assert almost.value == 495
    assert 0 <= almost.low < 495 <= almost.high <= 500
    two = statistics.mean([0.0, 1.0])
    assert (two.value, two.low, two.high) == (0.5, 0.0, 1.0)


def test_the_paired_difference_is_taken_seed_by_seed():
    baseline = np.random.default_rng(0).normal(0, 100, 50)
    estimate = statistics.paired_difference(baseline + 3, baseline)
    assert estimate.value == pytest.approx(3)
    assert estimate.high - estimate.low < 1e-9
    with pytest.raises(ValueError, match="Received: 2 and 3"):
        statistics.paired_difference([1, 2], [1, 2, 3])


def test_tails_are_what_a_hand_works_out():
    values = [7, 1, 8, 2, 3, 6, 4, 5]
    assert statistics.interquartile_mean(values) == 4.5  # of 3, 4, 5, 6
    assert statistics.interquartile_mean([0, 2, 4, 100]) == 3
    assert statistics.cvar(range(1, 31), 0.1) == 2  # of 1, 2, 3
    assert statistics.cvar(range(1, 32), 0.1) == 2.5  # of the worst four
    assert statistics.cvar(range(1, 101), 0.07) == 4  # of 1 to 7, though 0.07 * 100 > 7
    assert statistics.cvar([5, 9], 0.1) == 5
    assert statistics.cvar(values, 1) == 4.5
    with pytest.raises(ValueError, match="fraction=0"):
        statistics.cvar(values, 0)


def test_failures_have_wilsons_interval_and_the_rule_of_three_at_zero():
    # (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with n=100, p=0.05, z=1.959964
    rate = statistics.failure_rate(5, 100)
    assert rate.value == 0.05
    assert rate.low == pytest.approx(0.0215437, abs=1e-6)
    assert rate.high == pytest.approx(0.1117505, abs=1e-6)
    assert statistics.failure_rate(0, 100).high == pytest.approx(0.02996, abs=1e-5)
    assert statistics.failure_rate(0, 2) == statistics.Estimate(0, 0, 1)
    assert statistics.failure_rate(4, 4).value == 1
    with pytest.raises(ValueError, match="failures=3, episodes=2"):
        statistics.failure_rate(3, 2)


def test_a_summary_counts_failures_with_the_worst_score():
    outcomes = ["terminated"] * 3 + ["nan"]
    episodes = table([-10, -30, -20, -1], outcomes)
    summary = statistics.summarize(episodes)
    assert summary["episodes"] == 4
    assert summary["mean"] == -22.5  # the crash after -1 counts as -30
    assert (summary["median"], summary["iqm"], summary["worst"]) == (-25, -25, -30)
    assert (summary["failures"], summary["cvar10"]) == (1, -30)
    assert summary["failure_rate_low"] == pytest.approx(0.0456, abs=1e-4)
    assert -30 <= summary["ci_low"] <= -22.5 <= summary["ci_high"] <= -10
    known = statistics.summarize(episodes, worst=-100)
    assert (known["mean"], known["worst"]) == (-40, -100)
    assert statistics.summarize(table([1.0]))["ci_low"] is None


@pytest.mark.parametrize("values", [[], [1, np.nan], [np.inf], [[1, 2]]])
def test_what_is_no_sample_is_refused(values):
    with pytest.raises(ValueError, match="finite numbers"):
        statistics.mean(values)


def test_confidence_is_a_fraction():
    with pytest.raises(ValueError, match="For 95 % write"):
        statistics.mean([1, 2], confidence=95)


def test_the_stratified_mean_is_that_of_the_middle_half_of_all_values_together():
    # Together -10, 1, 2, 3, 4, 5, 6, 100: the middle half is 2, 3, 4, 5.
    strata = [[1, 100, 3, 5], [2, -10, 4, 6]]
    assert statistics.stratified_interquartile_mean(strata).value == 3.5
    assert statistics.stratified_interquartile_mean([[7.0], [8.0, 9.0]]).low is None
    assert statistics.stratified_interquartile_mean([[2, 2], [2, 2]]) == (
        statistics.Estimate(2, 2, 2)
    )
    with pytest.raises(ValueError, match="one stratum or more"):
        statistics.stratified_interquartile_mean([])


def test_strata_that_differ_do_not_widen_the_interval():
    # Two training runs, 100 apart, each with little spread: resampled within, the mean of the
    # middle half of 2 x 100 values stays between them; resampled together it would not.
    rng = np.random.default_rng(4)
    strata = [rng.normal(0, 1, 100), rng.normal(100, 1, 100)]
    found = statistics.stratified_interquartile_mean(strata)
    assert found.high - found.low < 1
    again = statistics.stratified_interquartile_mean(strata)
    assert again == found != statistics.stratified_interquartile_mean(strata, seed=1)


@pytest.mark.slow
def test_the_stratified_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    # Of a symmetric law the interquartile mean is the centre: 0 and 1 together give 0.5.
    covered = 0
    for trial in range(150):
        strata = [rng.normal(0, 1, 40), rng.normal(1, 1, 40)]
        found = statistics.stratified_interquartile_mean(strata, seed=trial)
        covered += found.low <= 0.5 <= found.high
    assert 134 <= covered <= 150  # nominal 142, three standard deviations 8


def test_the_probability_of_improvement_counts_pairs_and_half_of_the_ties():
    candidate, baseline = [1.0, 2.0, 3.0], [2.0, 0.0]
    # 1 > 0, 2 = 2, 2 > 0, 3 > 2, 3 > 0: four and a half of six.
    found = statistics.probability_of_improvement(candidate, baseline)
    assert found.value == pytest.approx(4.5 / 6)
    assert found.low <= found.value <= found.high <= 1
    other = statistics.probability_of_improvement(baseline, candidate)
    assert other.value == pytest.approx(1.5 / 6)
    same = statistics.probability_of_improvement([500.0] * 5, [500.0] * 5)
    assert same == statistics.Estimate(0.5, 0.5, 0.5)
    assert statistics.probability_of_improvement([1.0], [0.0]).low is None


def test_the_probability_of_improvement_is_scipys_statistic_and_covers():
    rng = np.random.default_rng(7)
    ours, theirs = rng.normal(1, 1, 70), rng.normal(0, 1, 50)
    u = stats.mannwhitneyu(ours, theirs).statistic
    found = statistics.probability_of_improvement(ours, theirs)
    assert found.value == pytest.approx(u / (70 * 50))
    # Of normal laws one standard deviation apart: Phi(1 / sqrt 2).
    assert found.low < stats.norm.cdf(1 / np.sqrt(2)) < found.high
