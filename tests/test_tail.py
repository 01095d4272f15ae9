"""Betting on the mean of the worst episodes: by hand, at the hypothesis, and off it."""

import numpy as np
import pytest

from tfdrlprune.evidence import tail


def uniform_tail(rng, shape):
    """Nine in ten at 1, one in ten uniform on [0, 0.4]: the CVaR 10 % is 0.2."""
    return np.where(rng.random(shape) < 0.1, rng.uniform(0, 0.4, shape), 1.0)


def smooth(rng, shape):
    """Uniform on [0, 1]: the worst tenth has the mean 0.05."""
    return rng.random(shape)


@pytest.mark.parametrize(("simulate", "cvar"), [(uniform_tail, 0.2), (smooth, 0.05)])
def test_at_the_hypothesis_the_capital_rarely_ever_reaches_twenty(simulate, cvar):
    # 100 games of 200 looks each; 5 % of 100 is 5, three standard deviations more is 11.
    games = simulate(np.random.default_rng(0), (100, 200))
    for bet in (tail.against_at_most, tail.against_at_least):
        reached = sum(bet(game, cvar, 0.1)[0].max() >= np.log(20) for game in games)
        assert reached <= 11


def test_both_bets_win_where_the_hypothesis_is_wrong():
    # Uniform on [0.5, 1]: the worst tenth has the mean 0.525.
    game = np.random.default_rng(1).uniform(0.5, 1.0, 800)
    above, growth = tail.against_at_most(game, 0.45, 0.1)
    assert above[-1] > np.log(20)
    assert growth > 0
    below, growth = tail.against_at_least(game, 0.65, 0.1)
    assert below[-1] > np.log(20)
    assert growth > 0
    assert tail.against_at_most(game, 0.65, 0.1)[0].max() < np.log(20)
    assert tail.against_at_least(game, 0.45, 0.1)[0].max() < np.log(20)


def test_the_first_bets_by_hand():
    # Before any value c is 1: Y(1) lies in [-9, 1], and 0.5 is at 0.95 of that; the first guess of
    # the mean is 1/2, less than 0.95, so nothing is bet. All values 1: c stays 1, every value is 1.
    # After one: mean (0.5 + 1) / 2 = 0.75, still less. After ten: 10.5 / 11 = 0.9545, gain 0.0045.
    capital, _ = tail.against_at_most(np.ones(30), 0.5, 0.1)
    assert not capital[:10].any()
    variance = (0.25 + sum((1 - (0.5 + n) / (n + 1)) ** 2 for n in range(1, 11))) / 11
    gain = 10.5 / 11 - 0.95
    bet = min(gain / (variance + gain**2), 0.75 / 0.95)
    assert capital[10] == pytest.approx(np.log1p(bet * 0.05))


def test_each_choice_knows_only_the_values_before_it():
    values = np.random.default_rng(2).random(60)
    changed = values.copy()
    changed[40:] = 1 - changed[40:]
    before, after = (tail.against_at_most(each, 0.03, 0.1)[0] for each in (values, changed))
    np.testing.assert_array_equal(before[:40], after[:40])


def test_a_threshold_just_above_all_that_is_possible_is_no_obstacle():
    # Worse than the threshold in every episode: refuted about as soon as a mean would be.
    capital, growth = tail.against_at_least(np.zeros(200), 0.5, 0.1)
    assert np.argmax(capital >= np.log(20)) < 60
    assert growth > 0
