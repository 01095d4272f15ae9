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
    with pytest.raises(
        ValueError, match=r"none are known for 'Other-v0'.*--return-bounds LOW HIGH"
    ):
        return_bounds("Other-v0")


def test_of_lunar_lander_usual_bounds_are_told_but_are_not_taken_for_known():
    both = r"--return-bounds -1500 400 .*Judging\(terms=Terms\(bounds=\(-1500, 400\)\)\)"
    with pytest.raises(ValueError, match=both):
        return_bounds("LunarLander-v3")


class Rocket:
    """Keeps the lander upright with its main engine on."""

    def __init__(self):
        self._steps = 0

    def action(self, observation):
        self._steps += 1
        x, _, speed, _, angle, turning, _, _ = observation
        lean = np.clip(0.5 * x + speed, -0.4, 0.4)
        push = 0.5 * (lean - angle) - turning
        return (3 if push < 0 else 1) if abs(push) > 0.05 and self._steps % 2 else 2


def test_no_lower_bound_of_lunar_lander_is_within_reach_as_a_rocket_shows():
    returns = roll_out(Rocket(), "LunarLander-v3", range(3)).returns
    assert (returns < -15_000).all()
