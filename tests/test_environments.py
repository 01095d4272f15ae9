"""Every environment against Gymnasium itself, step by step, single and vectorised."""

import copy
import itertools

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401 (the door comes first)

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tf_agents.environments import utils

from tfdrlprune.agents import environments
from tfdrlprune.agents.spaces import encode_observation

FIRST, MID, LAST = 0, 1, 2

OBSERVATIONS = {
    "float32": spaces.Box(-1, 1, (3,)),
    "float64": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "some_bounds": spaces.Box(np.array([-1, -np.inf]), np.array([np.inf, 2]), dtype=np.float64),
    "scalar": spaces.Box(0, 1, ()),
    "image": spaces.Box(0, 255, (4, 5, 3), np.uint8),
    "int16": spaces.Box(-(2**15), 2**15 - 1, (2,), np.int16),
    "uint32": spaces.Box(0, 2**32 - 1, (2,), np.uint32),
    "bool": spaces.Box(0, 1, (2,), np.bool_),
    "discrete": spaces.Discrete(5, start=-2),
    "multi_discrete": spaces.MultiDiscrete([3, 2], start=[1, -1]),
    "multi_binary": spaces.MultiBinary([2, 3]),
    "nested": spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (2, 2, 1), np.uint8),
            "arm": spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(-1, 1, (2,), np.float64))),
            "mode": spaces.Dict({"gear": spaces.MultiBinary(2)}),
        }
    ),
}
ACTIONS = {
    "discrete": spaces.Discrete(3, start=5),
    "box": spaces.Box(-0.1, 0.3, (2,), np.float64),
    "int8_box": spaces.Box(-128, 127, (2,), np.int8),
    "multi_discrete": spaces.MultiDiscrete([3, 2], start=[1, -1]),
    "multi_binary": spaces.MultiBinary(3),
    "nested": spaces.Dict({"fire": spaces.Discrete(2), "aim": spaces.Tuple((spaces.Box(0, 1),))}),
}


class Scripted(gym.Env):
    """Random observations; may terminate on every third step, is truncated on the seventh."""

    def __init__(self, observation_space, action_space=ACTIONS["discrete"]):
        # A space has a random stream of its own, which environments must not share.
        self.observation_space = copy.deepcopy(observation_space)
        self.action_space = action_space
        self.actions = []
        self.step_count = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.step_count = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), (action, self.action_space)
        self.actions.append(action)
        self.step_count += 1
        terminated = self.step_count % 3 == 0 and bool(self.np_random.random() < 0.5)
        reward = float(self.np_random.normal())
        return self.observation_space.sample(), reward, terminated, self.step_count == 7, {}


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key])]
    if isinstance(value, (tuple, list)):
        return [leaf for child in value for leaf in leaves(child)]
    return [np.asarray(value)]


def assert_same(actual, expected):
    assert len(leaves(actual)) == len(leaves(expected))
    for one, other in zip(leaves(actual), leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other.astype(one.dtype), strict=True)


def assert_follows(env, reference, seed, actions, decode):
    """Steps both with the same actions and compares all that TF-Agents sees."""
    step, observation = env.reset(), reference.reset(seed=seed)[0]
    assert int(step.step_type) == FIRST
    assert_same(step.observation, observation)
    ends = {"terminated": 0, "truncated": 0}
    over = False
    for action in actions:
        step = env.step(action)
        if over:
            observation = reference.reset()[0]
            assert (int(step.step_type), float(step.reward)) == (FIRST, 0.0)
            assert_same(step.observation, observation)
            over = False
            continue
        observation, reward, terminated, truncated, _ = reference.step(decode(action))
        over = terminated or truncated
        assert_same(step.observation, observation)
        assert step.reward == np.float32(reward)
        assert float(step.discount) == (0.0 if terminated else 1.0)
        assert int(step.step_type) == (LAST if over else MID)
        ends["terminated"] += terminated
        ends["truncated"] += truncated and not terminated
    return ends


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_single_environment_shows_what_gymnasium_shows(name):
    env = environments.GymnasiumEnvironment(Scripted(OBSERVATIONS[name]), seed=3)
    utils.validate_py_environment(env, episodes=5)
    env.seed(3)
    ends = assert_follows(
        env, Scripted(OBSERVATIONS[name]), 3, itertools.repeat(np.int64(1), 60), lambda a: 5 + a
    )
    assert min(ends.values()) >= 2


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_vector_environment_shows_what_single_ones_show(name):
    def factory():
        return Scripted(OBSERVATIONS[name])

    env = environments.GymnasiumVectorEnvironment(environments.make_vector(factory, 3), seed=10)
    utils.validate_py_environment(env, episodes=5)
    env.seed(10)
    singles = [environments.GymnasiumEnvironment(factory, seed=10 + index) for index in range(3)]
    steps = [env.reset()] + [env.step(np.array([0, 1, 2])) for _ in range(40)]
    for index, single in enumerate(singles):
        for step in steps:
            other = single.reset() if step is steps[0] else single.step(np.int64(index))
            for one, expected in zip(step[:3], other[:3], strict=True):
                assert one[index] == expected
                assert one.dtype == expected.dtype
            for one, expected in zip(*map(leaves, (step[3], other[3])), strict=True):
                np.testing.assert_array_equal(one[index], expected)


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_arrive_in_the_environments_own_units(name):
    space = ACTIONS[name]
    single = environments.GymnasiumEnvironment(Scripted(OBSERVATIONS["float32"], space))
    utils.validate_py_environment(single, episodes=10)
    vector = environments.GymnasiumVectorEnvironment(
        environments.make_vector(lambda: Scripted(OBSERVATIONS["float32"], space), 2)
    )
    rng = np.random.default_rng(0)

    # TF-Agents' own random policy cannot draw batches where integer bounds differ.
    def draw(spec):
        if spec.dtype == np.float32:
            return rng.uniform(spec.minimum, spec.maximum, (2, *spec.shape)).astype(np.float32)
        return rng.integers(spec.minimum, spec.maximum + 1, (2, *spec.shape))

    for _ in range(30):
        vector.step(tf.nest.map_structure(draw, vector.action_spec()))
    # `Scripted` refuses what is not in its space; here, that each part of an action varies.
    for env in (single.gymnasium, *vector.gymnasium.envs):
        for values in zip(*(leaves(action) for action in env.actions), strict=True):
            assert (np.ptp(np.stack(values).astype(float), axis=0) > 0).all()
    if name == "discrete":
        assert set(vector.gymnasium.envs[1].actions) == {5, 6, 7}


def test_discrete_actions_start_at_zero_for_tf_agents_and_at_start_for_the_environment():
    env = environments.GymnasiumEnvironment(Scripted(OBSERVATIONS["float32"]))
    spec = env.action_spec()
    assert (spec.minimum, spec.maximum, spec.shape, spec.dtype) == (0, 2, (), np.int64)
    env.reset()
    env.step(np.array(2))
    assert env.gymnasium.actions == [7]


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Blackjack-v1", "LunarLander-v3"]
)
def test_registered_environments_follow_gymnasium(env_id):
    env = environments.GymnasiumEnvironment(env_id, seed=7)
    utils.validate_py_environment(env, episodes=2)
    env.seed(7)
    reference = gym.make(env_id)
    rng = np.random.default_rng(0)
    spec = env.action_spec()

    def actions():
        for _ in range(450):
            if spec.dtype == np.float32:
                yield rng.uniform(spec.minimum, spec.maximum, spec.shape).astype(np.float32)
            else:
                yield rng.integers(spec.minimum, spec.maximum + 1)

    ends = assert_follows(env, reference, 7, actions(), lambda action: action)
    assert sum(ends.values()) >= 2
    assert ends["truncated"] == 2 or env_id not in ("Pendulum-v1",)


def test_seeding_happens_on_the_first_reset_only():
    env = environments.GymnasiumEnvironment("CartPole-v1", seed=5)
    first, second = env.reset().observation, env.reset().observation
    assert np.any(first != second)
    reference = gym.make("CartPole-v1")
    np.testing.assert_array_equal(first, reference.reset(seed=5)[0])
    np.testing.assert_array_equal(second, reference.reset()[0])


def test_the_native_cartpole_moves_as_the_single_one_and_keeps_the_time_limit():
    vector = environments.make_vector("CartPole-v1", 2)
    assert type(vector).__name__ == "CartPoleVectorEnv"
    env = environments.GymnasiumVectorEnvironment(vector, seed=0)
    step = env.reset()
    single = gym.make("CartPole-v1").unwrapped
    single.reset(seed=0)
    single.state = tuple(vector.state[:, 1])
    rng = np.random.default_rng(0)
    while not step.is_last()[1]:
        action = rng.integers(0, 2, 2)
        step = env.step(action)
        observation, reward, terminated, *_ = single.step(action[1])
        np.testing.assert_allclose(step.observation[1], observation, rtol=1e-5, atol=1e-6)
        assert (step.reward[1], step.discount[1]) == (reward, float(not terminated))
    vector.steps[:] = 498
    vector.state[:] = 0
    vector.prev_done[:] = False
    assert list(env.step(np.array([0, 1])).discount) == [1, 1]
    last = env.step(np.array([1, 0]))
    assert list(last.step_type) == [LAST, LAST]
    assert list(last.discount) == [1, 1]
    assert list(env.step(np.array([1, 0])).step_type) == [FIRST, FIRST]


def test_jax_vector_environments_are_never_taken():
    gym.register(
        id="FakeJax-v0",
        entry_point=lambda: Scripted(OBSERVATIONS["float32"]),
        vector_entry_point="gymnasium.envs.phys2d.cartpole:CartPoleJaxVectorEnv",
        max_episode_steps=2,
    )
    try:
        vector = environments.make_vector("FakeJax-v0", 2)
        assert isinstance(vector, SyncVectorEnv)
        vector.reset(seed=0)
        vector.step(np.array([5, 5]))
        assert list(vector.step(np.array([5, 5]))[3]) == [True, True]
    finally:
        del gym.registry["FakeJax-v0"]


def test_an_environment_object_can_be_used_but_not_multiplied():
    env = Scripted(OBSERVATIONS["float32"])
    assert environments.make(env) is env
    assert environments.make_vector(env, 1).envs[0] is env
    with pytest.raises(ValueError, match=r"cannot be stepped as 2 at once.*lambda: MyEnv"):
        environments.make_vector(env, 2)


@pytest.mark.parametrize("build", [environments.make, lambda env: environments.make_vector(env, 2)])
def test_an_unknown_id_names_the_closest(build):
    with pytest.raises(ValueError, match=r"^No environment 'Cartpol-v1'.*mean CartPole-v1") as info:
        build("Cartpol-v1")
    assert "\n" not in str(info.value)
    with pytest.raises(ValueError, match="LunarLander-v3"):
        build("LunarLander-v2")
    with pytest.raises(ValueError, match="Malformed"):
        build("no id!")


@pytest.mark.parametrize("build", [environments.make, lambda env: environments.make_vector(env, 2)])
def test_a_missing_simulator_names_the_extra(build):
    def fail(**kwargs):
        raise gym.error.DependencyNotInstalled("MuJoCo is not installed, run `pip install x`")

    gym.register(id="NoSimulator-v0", entry_point=fail)
    try:
        with pytest.raises(ImportError, match=r"pip install 'tfdrlprune\[mujoco\]'$"):
            build("NoSimulator-v0")
    finally:
        del gym.registry["NoSimulator-v0"]
    with pytest.raises(ImportError, match="no_such_package"):
        build("no_such_package:Env-v0")


def test_what_is_no_environment_is_refused():
    with pytest.raises(TypeError, match="Received: int"):
        environments.make(3)
    with pytest.raises(TypeError, match=r"returns a gymnasium\.Env. Received: int"):
        environments.make(lambda: 3)
    with pytest.raises(ValueError, match="num_envs=0"):
        environments.make_vector("CartPole-v1", 0)
    same_step = SyncVectorEnv(
        [lambda: gym.make("CartPole-v1")], autoreset_mode=AutoresetMode.SAME_STEP
    )
    with pytest.raises(ValueError, match="resets on the next step"):
        environments.GymnasiumVectorEnvironment(same_step)


def test_agent_specs_have_no_infinities_and_actions_from_zero():
    observation, action = environments.spaces_of("CartPole-v1")
    spec = environments.time_step_spec(observation)
    largest = np.finfo(np.float32).max
    np.testing.assert_array_equal(
        spec.observation.maximum, np.float32([4.8, largest, 0.41887903, largest])
    )
    np.testing.assert_array_equal(spec.observation.minimum, -spec.observation.maximum)
    assert (spec.step_type.dtype, spec.reward.dtype, spec.discount.shape) == (
        "int32",
        "float32",
        (),
    )
    assert environments.action_spec(action).maximum == 1
    assert environments.spaces_of(environments.make_vector("CartPole-v1", 2))[1] == action
    assert_same(encode_observation(observation, [0.1, 0, 0, 0]), np.float32([0.1, 0, 0, 0]))
