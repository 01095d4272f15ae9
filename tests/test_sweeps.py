"""Sweeps: what users write, what environments get by default, and what is refused."""

import re

import gymnasium as gym
import numpy as np
import pytest

from tfdrlprune.evidence.sweeping.disturbances import DelayedAction, DroppedFrames, NoisyObservation
from tfdrlprune.evidence.sweeping.sweeps import (
    Sweep,
    check_sweeps,
    default_sweeps,
    disturbed,
    parse,
)


def test_text_becomes_ascending_levels_with_the_undisturbed_one():
    assert parse("noise=0.1,0.05") == Sweep("noise", (0.0, 0.05, 0.1))
    assert parse(" masspole = 2, 0.5, 2").levels == (0.5, 1.0, 2.0)
    assert parse("delay=0,1").disturbed == (1.0,)
    assert parse("masspole=2").undisturbed == 1.0
    assert parse("wind=5").levels == (0.0, 5.0)
    assert parse("model.opt.timestep=2").unit == "factor"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noise", "written NAME=LEVEL,LEVEL,..., such as noise=0,0.05,0.1. Received: 'noise'"),
        ("noise=", "Received: 'noise='"),
        ("noise=0,,1", "Received: 'noise=0,,1'"),
        ("=1", "Received: '=1'"),
        ("noise:1", "Received: 'noise:1'"),
        ("noise=10%", "Received: 'noise=10%'"),
        ("delay=0.5", "delay is a whole number of env_steps, 0 or more. Received: delay=0.5"),
        ("drop=1", "Received: drop=1"),
        ("masspole=-1", "finite number, 0 or more. Received: masspole=-1"),
        ("masspole=nan", "Received: masspole=nan"),
    ],
)
def test_bad_text_is_one_clear_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_defaults_are_what_applies_to_all_and_the_environments_own():
    sweeps = {each.name: each for each in default_sweeps("MountainCar-v0")}
    assert list(sweeps) == ["noise", "delay", "drop", "gravity", "force"]
    assert sweeps["noise"].levels == (0.0, 0.05, 0.1, 0.2)
    assert sweeps["force"].levels == (0.5, 0.7, 1.0, 1.4, 2.0)
    # Its observation is a number of a field: there is nothing to add noise to.
    assert [each.name for each in default_sweeps("FrozenLake-v1")] == ["delay", "drop"]


def test_an_environment_under_a_disturbance_is_made_anew():
    kinds = {"noise": NoisyObservation, "delay": DelayedAction, "drop": DroppedFrames}
    for name, kind in kinds.items():
        build = disturbed("CartPole-v1", name, 0.0, [1.0] * 4)
        assert isinstance(build(), kind)
        assert build() is not build()
    build = disturbed("CartPole-v1", "gravity", 2.0, None)
    assert [build().unwrapped.gravity for _ in range(2)] == [19.6, 19.6]


def seen(build, actions):
    env = build()
    first = env.reset(seed=0)[0]
    return np.array([first, *(env.step(action)[0] for action in actions)])


def test_a_level_says_how_much():
    def under(name, level, actions):
        return seen(disturbed("CartPole-v1", name, level, np.ones(4)), actions)

    plain = seen(lambda: gym.make("CartPole-v1"), [0, 0, 1, 1])
    np.testing.assert_array_equal(under("delay", 2.0, [1, 1, 1, 1]), plain)
    # At 99 % four frames are all lost on nearly every seed, and so on this one.
    np.testing.assert_array_equal(under("drop", 0.99, [0, 0, 1, 1]), plain[[0] * 5])
    noise = [under("noise", level, [0, 0, 1, 1]) - plain for level in (0.1, 0.2)]
    np.testing.assert_allclose(noise[1], 2 * noise[0], atol=1e-6)
    assert 0.05 < noise[0].std() < 0.2  # of 20 draws with 0.1


@pytest.mark.parametrize(
    ("env", "texts", "message"),
    [
        ("CartPole-v1", ["noise=1", "maspole=2"], "Did you mean 'masspole'"),
        ("CartPole-v1", ["noize=1"], "Did you mean 'noise'"),
        ("CartPole-v1", ["noise=1", "noise=2"], r"different names. Received: \['noise', 'noise'\]"),
        ("CartPole-v1", [], "one or more"),
        ("CartPole-v1", ["drop=0"], "other than the undisturbed one. Received: drop=0"),
        ("CartPole-v1", ["masspole=1"], "Received: masspole=1"),
        ("CartPole-v1", ["wind=1"], "Received: 'wind'"),
        ("FrozenLake-v1", ["noise=1"], "observations that are floats"),
        ("Cartpole", ["noise=1"], "Did you mean CartPole-v1"),
        (gym.make("CartPole-v1"), ["noise=1"], "function that makes a new one"),
    ],
)
def test_a_sweep_that_cannot_be_made_is_told_before_anything_is_played(env, texts, message):
    with pytest.raises(ValueError, match=message):
        check_sweeps([parse(text) for text in texts], env, 0)


def test_a_lander_takes_no_more_wind_than_its_simulator():
    pytest.importorskip("Box2D")
    check_sweeps([parse("wind=20")], "LunarLander-v3", 0)
    with pytest.raises(ValueError, match="wind=21"):
        check_sweeps([parse("wind=21")], "LunarLander-v3", 0)
