"""Steps of Gymnasium's autoreset are what TF-Agents calls them."""

from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.step_types import step_types

FIRST, MIDDLE, LAST = 0, 1, 2


def test_an_episode_of_three_steps_a_reset_and_the_next_one():
    first = np.array([1, 0, 0, 0, 1], bool)
    done = np.array([0, 0, 1, 0, 0], bool)
    resets = np.array([0, 0, 0, 1, 0], bool)
    kinds, following = step_types(first, done, resets)
    assert kinds.tolist() == [FIRST, MIDDLE, MIDDLE, LAST, FIRST]
    assert following.tolist() == [MIDDLE, MIDDLE, LAST, FIRST, MIDDLE]
    assert kinds.dtype == following.dtype == np.int32
