"""Disturbances repeat on a repeated seed, whatever the policy does, and hide no failure."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tfdrlprune.evidence.sweeping.disturbances import (
    DelayedAction,
    DroppedFrames,
    NoisyObservation,
    check_level,
    feature_std,
)


class Toy(gym.Env):
    """Shows the number of the step, ten times it, and the step's parity; records what acts."""

    def __init__(self, high=1e9, trouble=None):
        self.observation_space = spaces.Dict(
            {
                "a": spaces.Tuple((spaces.Box(0, high, (2,), np.float32), spaces.Discrete(2))),
                "b": spaces.Box(-np.inf, np.inf, (), np.float64),
            }
        )
        self.action_space = spaces.Discrete(5, start=-1)
        self.acted, self.trouble = [], trouble or {}
        self.buffer = np.zeros(2, np.float32)

    def observation(self):
        self.buffer[:] = self.trouble.get(self.count, self.count), 10 * self.count
        return {"a": (self.buffer, np.int64(self.count % 2)), "b": np.float64(self.count)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.observation(), {}

    def step(self, action):
        self.acted.append(action)
        self.count += 1
        return self.observation(), float(self.count), False, False, {}


STD = {"a": (np.array([0.0, 2.0]), None), "b": np.float64(3.0)}


def run(env, seed, steps=50, action=0):
    """Returns the observations of an episode, [steps + 1, 4]."""
    # Read at once, as the environment reuses its array.
    rows = [row(env.reset(seed=seed)[0])]
    rows += [row(env.step(action)[0]) for _ in range(steps)]
    return np.array(rows)


def row(observation):
    return [*observation["a"][0].tolist(), observation["a"][1], observation["b"]]


def centred(**options):
    """An environment whose values stay away from their bounds."""
    env = Toy(**options)
    env.observation_space["a"].spaces[0].low[:] = -1e9
    return env


def test_noise_has_the_spread_of_each_feature_and_spares_what_is_no_float():
    plain = run(centred(), 3, 4000)
    moved = run(NoisyObservation(centred(), 0.5, STD), 3, 4000) - plain
    assert not moved[:, 0].any()  # a feature that never varied
    assert not moved[:, 2].any()  # an integer
    # Half of 2 and of 3; the standard error of a deviation over 4,001 draws is 1.1 %.
    np.testing.assert_allclose(moved.std(axis=0)[[1, 3]], [1.0, 1.5], rtol=0.05)
    np.testing.assert_allclose(moved.mean(axis=0)[[1, 3]], 0, atol=0.1)
    assert abs(np.corrcoef(moved[:, 1], moved[:, 3])[0, 1]) < 0.06


def test_noise_keeps_dtype_and_nesting():
    observation, _ = NoisyObservation(Toy(), 0.5, STD).reset(seed=0)
    assert isinstance(observation["a"], tuple)
    assert observation["a"][0].dtype == np.float32
    assert observation["a"][0].shape == (2,)
    assert observation["b"].dtype == np.float64
    assert np.shape(observation["b"]) == ()


def test_two_policies_meet_the_same_noise_and_twice_the_level_is_twice_the_noise():
    plain = run(centred(), 7)
    first = run(NoisyObservation(centred(), 0.25, STD), 7, action=0) - plain
    other = run(NoisyObservation(centred(), 0.25, STD), 7, action=1) - plain
    twice = run(NoisyObservation(centred(), 0.5, STD), 7) - plain
    np.testing.assert_array_equal(first, other)
    np.testing.assert_allclose(twice, 2 * first, atol=1e-4)
    assert np.any(run(NoisyObservation(centred(), 0.25, STD), 8) - plain != first)


def test_noise_goes_on_without_a_seed_and_begins_again_with_one():
    env = NoisyObservation(centred(), 1.0, STD)
    first = run(env, 5)
    assert np.any(run(env, None) != first)
    np.testing.assert_array_equal(run(env, 5), first)


def test_noise_stops_at_the_bounds_and_hides_nothing_that_is_not_finite():
    env = NoisyObservation(Toy(high=5.0, trouble={2: np.nan, 3: np.inf}), 100.0, STD)
    seen = run(env, 0, 200)
    plain = run(Toy(high=5.0), 0, 200)
    assert np.isnan(seen[2, 0])
    assert np.isposinf(seen[3, 0])
    np.testing.assert_array_equal(seen[4:, 0], plain[4:, 0])  # beyond its bound, without noise
    # 10, 20, ... are above the bound of 5 already, so noise pushes them down only.
    assert (seen[:, 1] >= 0).all()
    assert (seen[:, 1] <= np.maximum(plain[:, 1], 5)).all()
    assert (seen[:, 1] < plain[:, 1]).sum() > 50


def test_delayed_actions_act_in_order_after_the_neutral_one():
    toy = Toy()
    env = DelayedAction(toy, 2)
    env.reset(seed=0)
    for action in (3, 1, 2, 3):
        env.step(action)
    assert toy.acted == [-1, -1, 3, 1]  # the space's first action, twice
    env.reset(seed=0)
    env.step(3)
    assert toy.acted[4:] == [-1]  # what waited in the last episode is forgotten
    at_once = DelayedAction(toy, 0)
    at_once.reset(seed=0)
    at_once.step(2)
    assert toy.acted[5:] == [2]


def test_a_waiting_action_is_not_changed_by_the_policy_that_gave_it():
    toy = Toy()
    env = DelayedAction(toy, 1, neutral="nothing")
    env.reset(seed=0)
    action = np.array([1.0])
    env.step(action)
    action[0] = 9.0
    env.step(action)
    assert toy.acted == ["nothing", np.array([1.0])]


def test_a_lost_observation_shows_the_last_one_seen():
    seen = run(DroppedFrames(Toy(), 0.3), 11, 4000)
    count = seen[:, 3]
    np.testing.assert_array_equal(seen[:, 1], 10 * count)  # whole observations, never mixed
    lost = count != np.arange(4001)
    np.testing.assert_array_equal(count[1:][lost[1:]], count[:-1][lost[1:]])
    assert not lost[0]
    assert abs(lost[1:].mean() - 0.3) < 0.03  # four standard errors of 0.7 %


def test_frames_are_lost_by_seed_and_what_is_lost_at_less_is_lost_at_more():
    def lost(probability, seed, action=0):
        seen = run(DroppedFrames(Toy(), probability), seed, action=action)
        return set(np.flatnonzero(seen[:, 3] != np.arange(51)))

    assert lost(0.2, 4) == lost(0.2, 4, action=1)
    assert lost(0.2, 4) < lost(0.5, 4)
    assert lost(0.2, 4) != lost(0.2, 5)
    assert lost(0.0, 4) == set()


def test_a_frame_that_is_not_finite_always_arrives():
    trouble = dict.fromkeys(range(1, 51), np.nan)
    seen = run(DroppedFrames(Toy(trouble=trouble), 0.9), 0)
    assert np.isnan(seen[1:, 0]).all()


def test_disturbances_leave_the_environments_own_randomness_alone():
    def states(wrap):
        env = wrap(gym.make("LunarLander-v3"))
        env.reset(seed=3)
        for _ in range(20):
            env.step(0)
        return np.array(env.unwrapped.lander.position)

    pytest.importorskip("Box2D")
    plain = states(lambda env: env)
    np.testing.assert_array_equal(states(lambda env: DroppedFrames(env, 0.5)), plain)
    std = np.ones(8)
    np.testing.assert_array_equal(states(lambda env: NoisyObservation(env, 0.5, std)), plain)


def test_feature_std_is_of_each_float_feature():
    visited = {"a": np.float32([[0, 5], [2, 5]]), "b": (np.array([1, 2]), np.array([1.0, 4.0]))}
    std = feature_std(visited)
    assert std["a"].tolist() == [1.0, 0.0]
    assert std["a"].dtype == np.float64
    assert std["b"] == (None, 1.5)


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("noise", -0.1, "0 or more. Received: noise=-0.1"),
        ("noise", float("nan"), "Received: noise=nan"),
        ("delay", 1.5, "whole number of env_steps"),
        ("delay", float("inf"), "Received: delay=inf"),
        ("drop", 1.0, r"in \[0, 1\)\. Received: drop=1"),
        ("drop", 30, "For 30 % write 0.3"),
    ],
)
def test_a_level_out_of_its_range_is_told(kind, level, message):
    with pytest.raises(ValueError, match=message):
        check_level(kind, level)


def test_noise_needs_floats():
    with pytest.raises(ValueError, match=r"observations that are floats.*Discrete\(16\)"):
        NoisyObservation(gym.make("FrozenLake-v1"), 0.1, None)
