"""Candidates on selection seeds, beside roll-outs that play one episode after the other."""

import gymnasium
import numpy as np
import pytest
from artifacts import BALANCES, FALLS, linear

from tfdrlprune.compression.actor import Actor
from tfdrlprune.compression.trials import Environments, Trials
from tfdrlprune.evidence.rollouts import roll_out, seeds_for
from tfdrlprune.evidence.terms import Terms


class Breaks(gymnasium.Wrapper):
    """Fails at the fifth step of episodes whose seed is odd: by an exception, or by NaN."""

    def __init__(self, how):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.how = how

    def reset(self, *, seed=None, options=None):
        self.odd, self.count = seed % 2 == 1, 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.count += 1
        observation, reward, terminated, truncated, info = super().step(action)
        if self.odd and self.count == 5:
            if self.how == "error":
                raise RuntimeError("the simulator is gone")
            observation = observation * np.nan
        return observation, reward, terminated, truncated, info


def test_episodes_stepped_together_are_those_that_are_played_one_by_one():
    policy, seeds = linear([0.0, 0.0, 1.0, 0.0]), [3, 1, 4, 15, 9]
    together = Environments("CartPole-v1").play(Actor(policy), seeds)
    one_by_one = roll_out(policy, "CartPole-v1", seeds)
    assert together.to_json() == one_by_one.to_json()
    assert len(set(together.lengths.tolist())) > 1


@pytest.mark.parametrize(("how", "outcome"), [("error", "error"), ("nan", "nan")])
def test_an_episode_that_fails_ends_and_the_others_go_on(how, outcome):
    envs = Environments(lambda: Breaks(how))
    for _ in range(2):  # what is broken is made anew
        played = envs.play(Actor(linear(FALLS)), [2, 3, 4])
        assert played.outcomes.tolist() == ["terminated", outcome, "terminated"]
        assert played.lengths[1] == 5
        assert played.lengths[0] > 5


def test_a_limit_cuts_an_episode():
    played = Environments("CartPole-v1").play(Actor(linear(BALANCES)), [0], limit=7)
    assert (played.outcomes.tolist(), played.returns.tolist()) == (["time_limit"], [7.0])


def test_a_candidate_that_does_as_well_holds_and_one_that_falls_does_not():
    good, bad = linear(BALANCES), linear(FALLS)
    with Trials("CartPole-v1", good, Terms(), 200, seed=0) as trials:
        same, worse = trials.hold(linear([2 * each for each in BALANCES])), trials.hold(bad)
    assert (same.holds, same.verdict, same.difference) == (True, "PASS", 0.0)
    assert same.episodes in (100, 150)  # looked at after every fifty
    assert (worse.holds, worse.verdict, worse.episodes) == (False, "FAIL", 50)
    assert worse.mean < 20


def test_while_nothing_is_decided_the_interval_of_the_difference_does():
    with Trials("CartPole-v1", linear(BALANCES), Terms(), 20, seed=0) as trials:
        same = trials.hold(linear(BALANCES))
    assert (same.verdict, same.holds) == ("INCONCLUSIVE", True)


def test_without_bounds_nothing_is_decided_and_a_worse_one_does_not_hold():
    def make():
        return gymnasium.make("CartPole-v1")

    with Trials(make, linear(BALANCES), Terms(), 60, seed=0) as trials:
        same, worse = trials.hold(linear(BALANCES)), trials.hold(linear(FALLS))
    assert (same.verdict, same.holds, same.episodes) == ("INCONCLUSIVE", True, 60)
    assert (worse.verdict, worse.holds, worse.episodes) == ("INCONCLUSIVE", False, 60)


def test_a_candidate_that_leaves_the_bounds_ends_nothing():
    terms = Terms(bounds=(400.0, 501.0))
    with Trials("CartPole-v1", linear(BALANCES), terms, 50, seed=0) as trials:
        worse = trials.hold(linear(FALLS))
    assert (worse.verdict, worse.holds) == ("FAIL", False)


def test_no_seed_is_one_that_a_lessons_round_is_chosen_on_or_that_is_judged_on():
    trials = Trials("CartPole-v1", linear(BALANCES), Terms(), 200, seed=3)
    own = set(trials._seeds)
    assert len(own) == 200
    assert not own & set(seeds_for("selection", 3, 1_000).tolist())
    assert not own & set(seeds_for("judging", 3, 2_000).tolist())
