"""The neutral action does as little as an action space allows."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tfdrlprune.evidence.sweeping.neutral import neutral_action


class Only(gym.Env):
    def __init__(self, space):
        self.action_space = space


def test_of_a_box_it_is_zero_or_the_nearest_bound():
    box = spaces.Box(np.float32([-1, 0.5, -3]), np.float32([1, 2, -2]))
    action = neutral_action(Only(box))
    np.testing.assert_array_equal(action, np.float32([0, 0.5, -2]), strict=True)


def test_known_environments_have_an_action_that_does_nothing():
    assert neutral_action(gym.make("Acrobot-v1")) == 1
    assert neutral_action(gym.make("MountainCar-v0")) == 1
    assert neutral_action(gym.make("CartPole-v1")) == 0


def test_other_spaces_have_a_first_action_nested_as_they_are():
    space = spaces.Dict(
        {
            "a": spaces.Tuple((spaces.Discrete(3, start=2), spaces.MultiBinary(2))),
            "b": spaces.MultiDiscrete([3, 4], start=[1, -1]),
        }
    )
    action = neutral_action(Only(space))
    assert space.contains(action)
    assert action["a"][0] == 2
    assert action["a"][1].tolist() == [0, 0]
    assert action["b"].tolist() == [1, -1]


def test_a_space_without_one_is_told():
    with pytest.raises(ValueError, match=r"A delay needs an action.*Text"):
        neutral_action(Only(spaces.Text(3)))
