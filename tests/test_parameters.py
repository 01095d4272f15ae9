"""Parameters of simulators are set with all that follows from them, or it is told why not."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tfdrlprune.evidence.sweeping.parameters import known_parameters, parameter


class Plain(gym.Env):
    """An environment of somebody's, with attributes of every kind."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Discrete(2)
    drag = 0.5

    def __init__(self):
        self.teeth, self.rates, self.on, self.name, self.slope = 8, [1.0, 2], True, "x", 1.0

    @property
    def speed(self):
        return 3.0

    def reset(self, *, seed=None, options=None):
        self.slope = 1.0
        return np.zeros(1, np.float32), {}


def changed(env_id, name, factor):
    env = gym.make(env_id)
    parameter(env, name).set(env, factor)
    return env


def test_cartpoles_derived_masses_follow():
    cart = changed("CartPole-v1", "masspole", 2).unwrapped
    assert (cart.masspole, cart.total_mass, cart.polemass_length) == (0.2, 1.2, 0.1)
    cart = changed("CartPole-v1", "masscart", 0.5).unwrapped
    assert (cart.masscart, cart.total_mass) == (0.5, 0.6)
    cart = changed("CartPole-v1", "length", 2).unwrapped
    assert (cart.length, cart.polemass_length) == (1.0, 0.1)


def test_a_heavier_pole_moves_as_mechanics_says():
    env = changed("CartPole-v1", "masspole", 2)
    env.reset(seed=0)
    env.unwrapped.state = np.zeros(4)
    observation, *_ = env.step(1)
    # 10 N on 1.2 kg, a pole of 0.2 kg and half length 0.5 m, upright: Barto et al. (1983), eq. 1.
    push = 10 / 1.2
    angular = -push / (0.5 * (4 / 3 - 0.2 / 1.2))
    linear = push - 0.1 * angular / 1.2
    np.testing.assert_allclose(observation, [0, 0.02 * linear, 0, 0.02 * angular], rtol=1e-6)


@pytest.mark.parametrize(
    ("env_id", "names"),
    [
        ("CartPole-v1", {"gravity", "masscart", "masspole", "length", "force_mag"}),
        ("Pendulum-v1", {"g", "m", "l", "max_torque"}),
        ("MountainCar-v0", {"gravity", "force"}),
        ("MountainCarContinuous-v0", {"power"}),
        ("LunarLander-v3", {"gravity", "wind"}),
        ("BipedalWalker-v3", {"gravity"}),
        ("HalfCheetah-v5", {"gravity", "mass", "friction", "gear"}),
        ("FrozenLake-v1", set()),
    ],
)
def test_known_parameters_are_there_and_outlive_a_reset(env_id, names):
    pytest.importorskip("Box2D")
    pytest.importorskip("mujoco")
    known = known_parameters(gym.make(env_id))
    assert set(known) == names
    for each in known.values():
        each.check_holds(lambda: gym.make(env_id), each.levels[-1], 0)


@pytest.mark.parametrize(
    ("env_id", "level"),
    [("Acrobot-v1", 1.5), ("LunarLander-v3", 1.1), ("BipedalWalker-v3", 1.5), ("Hopper-v5", 1.5)],
)
def test_every_known_parameter_changes_what_happens(env_id, level):
    pytest.importorskip("Box2D")
    pytest.importorskip("mujoco")

    def last(name=None):
        env = gym.make(env_id)
        if name is not None:
            known_parameters(env)[name].set(env, level)
        env.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(40):
            observation, *_ = env.step(env.action_space.sample())
        return observation

    plain = last()
    np.testing.assert_array_equal(plain, last())
    unmoved = [n for n in known_parameters(gym.make(env_id)) if np.array_equal(last(n), plain)]
    assert unmoved == []


def test_landers_wind_is_absolute_and_falls_with_its_gravity():
    pytest.importorskip("Box2D")
    lander = changed("LunarLander-v3", "wind", 5).unwrapped
    assert (lander.enable_wind, lander.wind_power, lander.turbulence_power) == (True, 5, 0.5)
    env = changed("LunarLander-v3", "gravity", 0.5)
    env.reset(seed=0)
    assert tuple(env.unwrapped.world.gravity) == (0, -5)
    with pytest.raises(ValueError, match=r"in \[0, 20\]\. Received: wind=21"):
        changed("LunarLander-v3", "wind", 21)


def test_mujocos_mass_takes_inertia_and_constants_along():
    pytest.importorskip("mujoco")
    plain, heavy = gym.make("HalfCheetah-v5"), changed("HalfCheetah-v5", "mass", 2)
    for name, factor in [("body_mass", 2), ("body_inertia", 2), ("body_subtreemass", 2)]:
        old, new = (getattr(env.unwrapped.model, name) for env in (plain, heavy))
        np.testing.assert_allclose(new, factor * old)
    old, new = (env.unwrapped.model.body_invweight0[1:] for env in (plain, heavy))
    # Armature is no mass of a body, so what follows from both is not quite halved.
    assert ((new < 0.8 * old) & (new > 0.45 * old)).all()


def test_any_numeric_attribute_can_be_named():
    env = Plain()
    parameter(env, "teeth").set(env, 1.5)
    parameter(env, "rates").set(env, 2)
    parameter(env, "drag").set(env, 3)
    assert (env.teeth, env.rates, env.drag) == (12, [2.0, 4], 1.5)
    assert Plain.drag == 0.5  # the class is everybody's
    mujoco = pytest.importorskip("mujoco")
    assert mujoco
    cheetah = changed("HalfCheetah-v5", "model.opt.timestep", 0.5)
    assert cheetah.unwrapped.model.opt.timestep == 0.005


@pytest.mark.parametrize("name", ["on", "name", "nothing", "wind", "", "reset"])
def test_what_is_no_number_is_no_parameter(name):
    with pytest.raises(ValueError, match=f"numeric attribute of Plain.*Received: '{name}'"):
        parameter(Plain(), name)


def test_a_misspelt_parameter_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'masspole'"):
        parameter(gym.make("CartPole-v1"), "maspole")
    with pytest.raises(ValueError, match="Did you mean 'teeth'"):
        parameter(Plain(), "teth")
    with pytest.raises(ValueError, match="Did you mean 'noise'"):
        parameter(Plain(), "noize", ("noise",))


def test_what_cannot_be_set_is_told():
    with pytest.raises(ValueError, match="speed cannot be written"):
        parameter(Plain(), "speed").set(Plain(), 2)
    with pytest.raises(ValueError, match="Received: drag=-1"):
        parameter(Plain(), "drag").set(Plain(), -1)
    with pytest.raises(ValueError, match=r"slope is set anew at every reset.*slope=2\. Leave"):
        parameter(Plain(), "slope").check_holds(Plain, 2, 0)
