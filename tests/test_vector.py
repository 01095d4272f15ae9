import gymnasium
import numpy as np
import pytest

from tfdrlprune.agents.vector import Vector
from tfdrlprune.simulation import make_vector


class Counting(gymnasium.Env):
    """Gives reward 1, 2, 3, ...; terminates after `length` steps or truncates after four."""

    observation_space = gymnasium.spaces.Dict(
        {"time": gymnasium.spaces.Box(0, 9, (), np.float64), "flag": gymnasium.spaces.Discrete(2)}
    )
    action_space = gymnasium.spaces.Discrete(3, start=5)

    def __init__(self, length=9):
        self.length, self.time = length, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.seen(), {}

    def seen(self):
        return {"time": np.float64(self.time), "flag": self.time % 2}

    def step(self, action):
        assert action in (5, 6, 7)
        self.time += 1
        return self.seen(), float(self.time), self.time >= self.length, self.time >= 4, {}


def stepped(vector, count):
    return [vector.step(np.zeros(vector.num_envs, np.int64)) for _ in range(count)]


def test_leaves_come_in_the_order_of_tf_nest_and_in_the_specs_dtypes():
    vector = Vector(Counting, 2)
    vector.restart(0)
    stepped(vector, 3)
    flag, time = vector.observation
    assert (flag.dtype, time.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(flag, [1, 1])
    np.testing.assert_array_equal(time, [3, 3])


def test_returns_are_kept_and_the_step_that_resets_gives_nothing():
    vector = Vector(lambda: Counting(length=2), 3)
    vector.restart(0)
    steps = stepped(vector, 6)
    np.testing.assert_array_equal([step.reward[0] for step in steps], [1, 2, 0, 1, 2, 0])
    assert [bool(step.terminated[0]) for step in steps] == [False, True, False] * 2
    assert [bool(step.resets[0]) for step in steps] == [False, False, True] * 2
    assert list(vector.returns) == [3.0] * 6


def test_truncation_is_told_from_termination():
    vector = Vector(Counting, 1)
    vector.restart(0)
    last = stepped(vector, 4)[-1]
    assert (bool(last.terminated[0]), bool(last.truncated[0])) == (False, True)
    assert list(vector.returns) == [10.0]


def test_a_restart_forgets_what_was_running():
    vector = Vector(Counting, 1)
    vector.restart(0)
    stepped(vector, 2)
    vector.restart(0)
    stepped(vector, 4)
    assert list(vector.returns) == [10.0]


def test_native_and_wrapped_environments_begin_from_their_seed():
    vector = Vector("CartPole-v1", 4)
    vector.restart(3)
    (first,) = vector.observation
    vector.restart(3)
    np.testing.assert_array_equal(vector.observation[0], first)
    vector.restart(4)
    assert (vector.observation[0] != first).any()


def test_a_reward_that_is_not_finite_is_an_error():
    class Bad(Counting):
        def step(self, action):
            return self.seen(), float("inf"), False, False, {}

    vector = Vector(Bad, 1)
    vector.restart(0)
    with pytest.raises(ValueError, match="not finite"):
        stepped(vector, 1)


def test_a_factory_that_gives_one_object_is_refused():
    env = gymnasium.make("Acrobot-v1")
    with pytest.raises(ValueError, match="A factory makes a new environment each time"):
        make_vector(lambda: env, 2)
