"""Sweeps pair what they compare, play nothing twice, and say what compression costs."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tfdrlprune.evidence import statistics
from tfdrlprune.evidence.rollouts import record_observations, roll_out, seeds_for
from tfdrlprune.evidence.sweeping.robustness import planned_episodes, sweep
from tfdrlprune.evidence.sweeping.sweeps import Sweep, default_sweeps, disturbed


class Spring(gym.Env):
    """A mass that a policy holds near zero; it loses its squared distance at every step."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-10, 10, (), np.float64)
    made = 0

    def __init__(self):
        Spring.made += 1
        self.push = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.count = self.np_random.normal(size=2), 0
        return self.state.copy(), {}

    def step(self, action):
        self.count += 1
        self.state[1] += 0.1 * self.push * float(action)
        self.state[0] += 0.1 * self.state[1]
        return self.state.copy(), -float(self.state[0] ** 2), False, self.count == 60, {}


class Holds:
    def __init__(self, gain, damping=2.0):
        self.gain, self.damping = gain, damping

    def action(self, observation):
        return -self.gain * observation[0] - self.damping * observation[1]


class Unstable(gym.Env):
    """A number that grows by 1.45 a step unless a policy takes something off it."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Box(-np.inf, np.inf, (), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.count = self.np_random.normal(size=1), 0
        return self.state, {}

    def step(self, action):
        self.count += 1
        self.state = 1.45 * self.state + float(action)
        return self.state, -float(self.state[0] ** 2), False, self.count == 200, {}


class Leans:
    def __init__(self, gain):
        self.gain = gain

    def action(self, observation):
        return -self.gain * observation[0]


class Echo(gym.Env):
    """Shows the last action."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Box(-np.inf, np.inf, (), np.float64)

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(1), {}

    def step(self, action):
        self.count += 1
        return np.array([float(action)]), 0.0, False, self.count == 100, {}


class Brittle(gym.Env):
    """Pays 10, and 4 less for a parameter above 1, by which every third episode crashes."""

    observation_space = spaces.Box(-1, 1, (1,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.load = 1.0

    def reset(self, *, seed=None, options=None):
        self.seed = seed
        return np.zeros(1), {}

    def step(self, action):
        if self.load > 1 and action == 1 and self.seed % 3 == 0:
            raise RuntimeError("it broke")
        return np.zeros(1), 10.0 - 4 * (self.load > 1), True, False, {}


class Always:
    def __init__(self, action):
        self.answer = action

    def action(self, observation):
        return self.answer


def points(found, name, policy):
    curves = next(each for each in found.sweeps if each.sweep.name == name).curves
    return next(curve for curve in curves if curve.policy == policy).points


def test_every_number_is_that_of_paired_roll_outs():
    baseline, candidate = Holds(4.0), Holds(2.0)
    found = sweep(
        {"small": candidate}, baseline, Spring, [Sweep("push", (0.5,))], episodes=8, seed=3
    )
    seeds = seeds_for("judging", 3, 8)

    def returns(policy, factor):
        return roll_out(policy, disturbed(Spring, "push", factor, None), seeds).returns

    ours, theirs = ([returns(each, f) for f in (0.5, 1.0)] for each in (candidate, baseline))
    low, plain = points(found, "push", "small")
    assert (low.level, plain.level) == (0.5, 1.0)
    assert low.returns == statistics.mean(ours[0])
    assert points(found, "push", "baseline")[0].returns == statistics.mean(theirs[0])
    assert plain.difference == statistics.mean(ours[1] - theirs[1])
    assert low.difference == statistics.mean(ours[0] - theirs[0])
    assert low.change == statistics.mean((ours[0] - theirs[0]) - (ours[1] - theirs[1]))
    assert (plain.change.value, plain.change.low, plain.change.high) == (0, 0, 0)
    assert points(found, "push", "baseline")[0].difference is None
    assert points(found, "push", "baseline")[0].change is None


def test_a_policy_of_half_the_gain_loses_more_to_a_weak_motor():
    found = sweep(
        {"half": Holds(2.0), "same": Holds(4.0)},
        Holds(4.0),
        Spring,
        [Sweep("push", (0.25,))],
        episodes=40,
    )
    weak = points(found, "push", "half")[0].change
    assert weak.high < 0
    same = points(found, "push", "same")[0]
    assert (same.difference.value, same.change.value) == (0, 0)


def test_a_policy_of_half_the_gain_loses_more_under_noise():
    # x' = 1.45 x - k (x + noise) keeps the variance k^2 / (1 - (1.45 - k)^2) of the noise's:
    # 1.25 with k = 1, but 2.56 with k = 0.5, which hardly holds the state any more.
    found = sweep(
        {"half": Leans(0.5)}, Leans(1.0), Unstable, [Sweep("noise", (2.0, 4.0))], episodes=40
    )
    undisturbed, some, more = points(found, "noise", "half")
    assert some.change.high < 0
    assert more.change.value < some.change.value
    assert undisturbed.change.value == 0
    # Of 200 steps, each at (4 * std)^2; the baseline's own states have the std that is measured.
    states = record_observations(Leans(1.0), Unstable, episodes=5, max_count=1000, seed=0)
    expected = -200 * (2.56 - 1.25) * 16 * states.var()
    np.testing.assert_allclose(more.change.value, expected, rtol=0.15)


def test_noise_is_measured_by_what_the_baseline_visits():
    class Alternates:
        """Visits 0 and a height in turn, so that the standard deviation is half of it."""

        def __init__(self, height):
            self.height = height

        def action(self, observation):
            return self.height * (observation[0] < self.height / 2)

    class Listens:
        def __init__(self):
            self.heard = []

        def action(self, observation):
            self.heard.append(observation[0])
            return 0.0

    for height in (2.0, 6.0):
        candidate = Listens()
        sweep({"a": candidate}, Alternates(height), Echo, [Sweep("noise", (0.5,))], episodes=20)
        half = len(candidate.heard) // 2
        assert not np.any(candidate.heard[:half])  # undisturbed
        # 2,000 draws: the standard error of a deviation is 1.6 %.
        np.testing.assert_allclose(np.std(candidate.heard[half:]), height / 4, rtol=0.06)


def test_failures_count_as_the_worst_return_and_are_counted():
    found = sweep(
        {"breaks": Always(1)}, Always(0), Brittle, [Sweep("load", (2.0,))], episodes=30, worst=-20
    )
    broken = int((seeds_for("judging", 0, 30) % 3 == 0).sum())
    assert 0 < broken < 30
    plain, loaded = points(found, "load", "breaks")
    assert (plain.failures, loaded.failures) == (0, broken)
    assert points(found, "load", "baseline")[1].failures == 0
    assert loaded.returns.value == pytest.approx((6 * (30 - broken) - 20 * broken) / 30)
    assert loaded.change.value == pytest.approx(-26 * broken / 30)
    assert found.worst == -20


def test_without_a_bound_a_failure_counts_as_the_smallest_return_of_all():
    found = sweep({"breaks": Always(1)}, Always(0), Brittle, [Sweep("load", (2.0,))], episodes=9)
    assert found.worst == 0.0  # an episode that broke before its first reward
    assert sweep(
        {"a": Always(1)}, Always(0), "MountainCar-v0", [Sweep("force", (2,))], episodes=1
    ).worst == (-200.0)


def test_the_undisturbed_level_is_played_once_and_progress_counts_to_the_plan():
    sweeps = [Sweep("delay", (1, 2)), Sweep("push", (0.5, 2.0)), Sweep("drop", (0.5,))]
    seen = []
    Spring.made = 0
    found = sweep(
        {"a": Holds(4.0), "b": Holds(2.0)},
        Holds(3.0),
        Spring,
        sweeps,
        episodes=4,
        progress=seen.append,
    )
    assert planned_episodes(sweeps, 2, 4) == 6 * 3 * 4
    assert seen == list(range(1, 6 * 3 * 4 + 1))
    # One for each level and policy; one to look at, and one to try the parameter on.
    assert Spring.made == 6 * 3 + 2
    starts = [points(found, each.name, "a")[each.levels.index(each.undisturbed)] for each in sweeps]
    assert starts[0].returns == starts[1].returns == starts[2].returns


def test_a_sweep_repeats_by_its_seed():
    def run(seed):
        sweeps = [Sweep("noise", (0.5,)), Sweep("drop", (0.5,))]
        return sweep({"a": Holds(4.0)}, Holds(2.0), Spring, sweeps, episodes=5, seed=seed)

    assert run(0) == run(0)
    assert run(0).sweeps != run(1).sweeps


def test_without_sweeps_the_default_ones_are_made():
    found = sweep({"a": Always(0)}, Always(0), "FrozenLake-v1", episodes=2)
    assert tuple(each.sweep for each in found.sweeps) == default_sweeps("FrozenLake-v1")
    assert len(found.sweeps) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": {}}, "one or more policies"),
        ({"candidates": {"baseline": Always(0)}}, "none of them named 'baseline'"),
        ({"episodes": 0}, "at least 1. Received: episodes=0"),
        ({"confidence": 95}, "For 95 % write 0.95"),
        ({"worst": float("-inf")}, "finite return. Received: worst=-inf"),
        ({"sweeps": [Sweep("lod", (2,))]}, "Did you mean 'load'"),
        ({"env": Brittle()}, "makes the environment anew"),
    ],
)
def test_bad_input_is_told_before_anything_is_played(changes, message):
    class Never:
        def action(self, observation):
            raise AssertionError("it was played")

    given = {"candidates": {"a": Never()}, "baseline": Never(), "env": Brittle}
    with pytest.raises(ValueError, match=message):
        sweep(**given | {"sweeps": [Sweep("load", (2,))]} | changes)
