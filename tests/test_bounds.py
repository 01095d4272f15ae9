"""Known bounds hold in the environments themselves, also for the worst behaviour."""

import gymnasium as gym
import numpy as np
import pytest

from tfdrlprune.evidence.bounds import return_bounds
from tfdrlprune.evidence.rollouts import roll_out


class Fixed:
    def __init__(self, action):
        self._action = action

    def action(self, observation):
        return self._action


@pytest.mark.parametrize(
    ("env_id", "action"),
    [
        ("CartPole-v1", 0),
        ("Acrobot-v1", 1),
        ("MountainCar-v0", 1),
        ("MountainCarContinuous-v0", np.float32([-1])),
        ("Pendulum-v1", np.float32([0])),
        ("FrozenLake-v1", 0),
    ],
)
def test_known_bounds_hold_and_follow_from_reward_and_time_limit(env_id, action):
    low, high = return_bounds(env_id)
    returns = roll_out(Fixed(action), env_id, range(20)).returns
    assert (low <= returns).all()
    assert (returns <= high).all()
    limit = gym.spec(env_id).max_episode_steps
    if env_id in ("Acrobot-v1", "MountainCar-v0"):
        assert returns.min() == low == -limit
    if env_id == "CartPole-v1":
        assert high == limit
    if env_id == "MountainCarContinuous-v0":
        assert returns.min() == pytest.approx(low)
    if env_id == "Pendulum-v1":
        env = gym.make(env_id)
        env.reset(seed=0)
        env.unwrapped.state = np.array([np.pi, 8.0])
        assert limit * env.step(np.float32([2]))[1] == pytest.approx(low, rel=1e-6)


def test_declared_bounds_go_first_and_none_at_all_is_an_error_with_the_remedy():
    assert return_bounds("CartPole-v1", (0.0, 50.0)) == (0.0, 50.0)
    with pytest.raises(ValueError, match=r"none are known for 'LunarLander-v3'.*--return-bounds"):
        return_bounds("LunarLander-v3")
