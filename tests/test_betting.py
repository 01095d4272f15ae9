"""Betting against a mean: bets by hand, a losing game under the hypothesis, a bound that covers."""

import numpy as np
import pytest

from tfdrlprune.evidence import betting


def test_the_first_bets_are_those_of_the_formula_by_hand():
    # Before any value the guess is 1/2, so there is nothing to gain against 1/2.
    # After 1: mean (0.5 + 1) / 2 = 3/4, variance (1/4 + 1/16) / 2 = 5/32, gain 1/4:
    #   bet (1/4) / (5/32 + 1/16) = 8/7, capital 1 + 8/7 * 1/2 = 11/7.
    # After 1, 1: mean 5/6, variance (5/16 + 1/36) / 3 = 49/432, gain 1/3:
    #   bet (1/3) / (49/432 + 1/9) = 144/97, capital 11/7 * (1 - 144/97 * 1/2) = 275/679.
    values = np.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(betting.bets(values, 0.5)[:3], [0, 8 / 7, 144 / 97])
    capital = np.exp(betting.log_capital(values, 0.5))
    np.testing.assert_allclose(capital, [1, 11 / 7, 275 / 679])


def test_a_bet_risks_at_most_three_quarters_and_never_bets_on_less():
    wins = np.ones(50)
    assert betting.bets(wins, 0.5)[-1] == 1.5
    assert betting.bets(wins, 0.1)[0] == pytest.approx(0.4 / (0.25 + 0.16))
    assert np.exp(betting.log_capital(np.array([1.0] * 50 + [0.0]), 0.5)[-2:]) == pytest.approx(
        np.exp(betting.log_capital(wins, 0.5)[-1]) * np.array([1, 0.25])
    )
    assert not betting.bets(np.zeros(50), 0.5).any()


def test_each_bet_knows_only_the_values_before_it():
    values = np.random.default_rng(0).random(40)
    changed = values.copy()
    changed[20:] = 1 - changed[20:]
    before, after = betting.bets(values, 0.4), betting.bets(changed, 0.4)
    np.testing.assert_array_equal(before[:21], after[:21])
    assert before[21] != after[21]


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_at_the_hypothesis_the_capital_rarely_ever_reaches_twenty(rate):
    # 500 games of 400 looks each; 5 % of 500 is 25, three standard deviations more is 39.
    values = np.random.default_rng(1).binomial(1, rate, (400, 500)).astype(float)
    reached = betting.log_capital(values, rate).max(axis=0) >= np.log(20)
    assert reached.sum() <= 39


def test_the_lower_bound_covers_and_closes_in():
    rng = np.random.default_rng(2)
    missed = sum(betting.lower_bound(rng.beta(8, 2, 150), 0.95) > 0.8 for _ in range(200))
    assert missed <= 10 + 3 * np.sqrt(9.5)
    sample = rng.beta(8, 2, 5000)
    widths = [0.8 - betting.lower_bound(sample[:count], 0.95) for count in (50, 500, 5000)]
    assert widths[0] > 2 * widths[1] > 2 * widths[2] > 0
    assert betting.lower_bound(sample, 0.5) > betting.lower_bound(sample, 0.99)


def test_the_lower_bound_rejects_exactly_what_the_capital_does():
    sample = np.random.default_rng(3).beta(8, 2, 100)
    bound = betting.lower_bound(sample, 0.95)
    assert betting.log_capital(sample, bound).max() >= np.log(20)
    assert betting.log_capital(sample, bound + 1e-3).max() < np.log(20)
    assert betting.lower_bound(np.zeros(100), 0.95) == 0
    assert 0.9 < betting.lower_bound(np.ones(100), 0.95) < 1


def test_growth_is_that_of_the_capital_in_the_long_run():
    values = np.random.default_rng(4).beta(8, 2, 4000)
    tail = np.diff(betting.log_capital(values, 0.75))[1000:].mean()
    assert betting.growth(values, 0.75) == pytest.approx(tail, rel=0.1)
    assert betting.growth(values, 0.9) <= 0
