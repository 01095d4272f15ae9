"""Parameters of simulators: which ones an environment has, and how they are set for a sweep.

A level is a factor of the parameter's own value, 1 being the environment as it is; LunarLander's
``wind`` alone is absolute, 0 being none. What the simulator derives from a parameter when it is
made (CartPole's total mass, MuJoCo's constants) is derived again.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np

from tfdrlprune.recipe.checks import did_you_mean

WIND = "wind"
FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
_MOST_WIND = 20.0


@dataclass(frozen=True)
class Parameter:
    """One parameter of a simulator.

    Attributes:
        name: what users call it.
        paths: the attributes of ``env.unwrapped`` that it changes, with dots between.
        levels: of a default sweep, the undisturbed one included.
        derive: called with ``env.unwrapped`` afterwards, to make anew what follows from them.
    """

    name: str
    paths: tuple[str, ...]
    levels: tuple[float, ...] = FACTORS
    derive: Callable[[Any], None] | None = None

    def set(self, env: gym.Env[Any, Any], level: float) -> None:
        """Sets the parameter of an environment just made; twice multiplies.

        Raises:
            ValueError: ``level`` is out of its range; the attribute cannot be written.
        """
        self.check_level(level)
        root = env.unwrapped
        if self.name == WIND:
            _blow(root, level)
        else:
            for path in self.paths:
                _assign(root, path, _times(operator.attrgetter(path)(root), level))
        if self.derive is not None:
            self.derive(root)

    def check_level(self, level: float) -> None:
        """Raises ValueError unless the level is one that the parameter can have."""
        if self.name == WIND and not 0 <= level <= _MOST_WIND:
            raise ValueError(f"wind is a power in [0, {_MOST_WIND:g}]. Received: wind={level:g}.")
        if not 0 <= level < math.inf:
            raise ValueError(
                f"{self.name} is multiplied by a finite factor, 0 or more; 1 leaves it as it is. "
                f"Received: {self.name}={level:g}."
            )

    def check_holds(self, make: Callable[[], gym.Env[Any, Any]], level: float, seed: int) -> None:
        """Raises ValueError if a reset undoes the parameter, so that a sweep would be flat.

        Args:
            make: makes an environment that may be changed.
            level: that is tried.
            seed: of the reset.
        """
        env = make()
        try:
            self.set(env, level)
            wanted = self._values(env)
            # A crash is no answer here; roll-outs count it as a failed episode.
            with contextlib.suppress(Exception):
                env.reset(seed=seed)
            found = self._values(env)
        finally:
            env.close()
        if wanted != found:
            raise ValueError(
                f"{self.name} is set anew at every reset of this environment, so a sweep of it "
                f"would change nothing. Received: {self.name}={level:g}. Leave it out."
            )

    def _values(self, env: gym.Env[Any, Any]) -> list[Any]:
        found = operator.attrgetter(*self.paths)(env.unwrapped)
        return [np.array(each).tolist() for each in (found if len(self.paths) > 1 else [found])]


def known_parameters(env: gym.Env[Any, Any]) -> dict[str, Parameter]:
    """Returns the parameters that are known of an environment, by name; empty where none are."""
    for each in type(env.unwrapped).__mro__:
        if each.__name__ in _KNOWN:
            return {parameter.name: parameter for parameter in _KNOWN[each.__name__]}
    return {}


def parameter(env: gym.Env[Any, Any], name: str, others: Iterable[str] = ()) -> Parameter:
    """Returns a parameter by its name: a known one, else any numeric attribute.

    Args:
        env: environment.
        name: of a known parameter, or of an attribute of ``env.unwrapped`` that holds numbers; dots
            lead into its parts: ``model.opt.timestep``.
        others: names that the user may have meant as well, for the message.

    Raises:
        ValueError: the environment has no such parameter; names the nearest.
    """
    known = known_parameters(env)
    if name in known:
        return known[name]
    try:
        value = operator.attrgetter(name)(env.unwrapped)
    except (AttributeError, TypeError):
        value = None
    # An attribute that is named as LunarLander's wind has not its absolute levels.
    if name == WIND or not _is_numeric(value):
        names = [*known, *others, *_numeric_attributes(env.unwrapped)]
        raise ValueError(
            f"A parameter is a numeric attribute of {type(env.unwrapped).__name__}, "
            f"such as {', '.join(names[:8])}. Received: {name!r}.{did_you_mean(name, names)}"
        )
    return Parameter(name, (name,))


def _numeric_attributes(root: Any) -> list[str]:
    # Of classes the plain attributes only: to read a property runs code of the environment.
    held = [*vars(root).items()]
    held += [item for each in type(root).__mro__ for item in vars(each).items()]
    return [name for name, value in dict(held).items() if name[0] != "_" and _is_numeric(value)]


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_numeric, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and value.size > 0
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _times(value: Any, factor: float) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_times(each, factor) for each in value)
    return value * factor


def _assign(root: Any, path: str, value: Any) -> None:
    holder, _, last = path.rpartition(".")
    try:
        setattr(operator.attrgetter(holder)(root) if holder else root, last, value)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be written: {error}. Name the attribute that it comes from."
        ) from error


def _blow(lander: Any, power: float) -> None:
    """Sets LunarLander's wind, with a tenth of it as turbulence: the ratio of its defaults."""
    lander.enable_wind = power > 0
    lander.wind_power = power
    lander.turbulence_power = power / 10


def _cartpole(env: Any) -> None:
    env.total_mass = env.masspole + env.masscart
    env.polemass_length = env.masspole * env.length


def _mujoco(env: Any) -> None:
    import mujoco

    # Masses of subtrees and inverse weights of constraints follow from masses.
    mujoco.mj_setConst(env.model, env.data)


def _plain(*names: str, derive: Callable[[Any], None] | None = None) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, (name,), derive=derive) for name in names)


# By the name of the class of env.unwrapped, or of one that it is derived from.
_KNOWN: dict[str, tuple[Parameter, ...]] = {
    "CartPoleEnv": (
        *_plain("gravity", "force_mag"),
        *_plain("masscart", "masspole", "length", derive=_cartpole),
    ),
    # LINK_LENGTH_2 is drawn only; no equation of the environment reads it.
    "AcrobotEnv": _plain(
        *("LINK_LENGTH_1", "LINK_MASS_1", "LINK_MASS_2", "LINK_COM_POS_1", "LINK_COM_POS_2"),
        *("LINK_MOI", "AVAIL_TORQUE"),
    ),
    "PendulumEnv": _plain("g", "m", "l", "max_torque"),
    "MountainCarEnv": _plain("gravity", "force"),
    "Continuous_MountainCarEnv": _plain("power"),
    "LunarLander": (
        # The environment allows for gravity down to -12, and has -10.
        Parameter("gravity", ("gravity",), (0.5, 0.75, 1.0, 1.15)),
        Parameter(WIND, ("enable_wind", "wind_power", "turbulence_power"), (0.0, 5.0, 10.0, 15.0)),
    ),
    "BipedalWalker": (Parameter("gravity", ("world.gravity",)),),
    "MujocoEnv": (
        Parameter("gravity", ("model.opt.gravity",)),
        Parameter("mass", ("model.body_mass", "model.body_inertia"), derive=_mujoco),
        Parameter("friction", ("model.geom_friction", "model.pair_friction")),
        Parameter("gear", ("model.actuator_gear",)),
    ),
}
