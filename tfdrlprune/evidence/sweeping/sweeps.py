"""Sweeps: which disturbances, at which levels; from a user's text, or made for an environment."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from tfdrlprune.evidence.sweeping.disturbances import (
    KINDS,
    DelayedAction,
    DroppedFrames,
    NoisyObservation,
    check_level,
)
from tfdrlprune.evidence.sweeping.parameters import WIND, known_parameters, parameter
from tfdrlprune.simulation import Environment, make

_EXAMPLE = "noise=0,0.05,0.1"
_DEFAULTS = {
    "noise": (0.0, 0.05, 0.1, 0.2),
    "delay": (0.0, 1.0, 2.0, 3.0),
    "drop": (0.0, 0.1, 0.25, 0.5),
}
_UNITS = {
    "noise": "std of each feature",
    "delay": "env_steps",
    "drop": "probability",
    WIND: "power",
}


@dataclass(frozen=True)
class Sweep:
    """One disturbance at several levels.

    Attributes:
        name: ``"noise"``, ``"delay"``, ``"drop"``, or a parameter of the environment.
        levels: made ascending and distinct, with the undisturbed one among them.

    Raises:
        ValueError: a level is not finite or out of its range.
    """

    name: str
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        for level in self.levels:
            if self.name in KINDS:
                check_level(self.name, level)
            elif not 0 <= level < math.inf:
                raise ValueError(
                    f"A level of {self.name} is a finite number, 0 or more. "
                    f"Received: {self.name}={level:g}."
                )
        levels = tuple(sorted({float(level) for level in (*self.levels, self.undisturbed)}))
        object.__setattr__(self, "levels", levels)

    @property
    def undisturbed(self) -> float:
        """The level at which nothing is changed: 1 of a factor, else 0."""
        return 0.0 if self.name in _UNITS else 1.0

    @property
    def unit(self) -> str:
        """What a level is measured in."""
        return _UNITS.get(self.name, "factor")

    @property
    def disturbed(self) -> tuple[float, ...]:
        """The levels but the undisturbed one."""
        return tuple(level for level in self.levels if level != self.undisturbed)


def parse(text: str) -> Sweep:
    """Returns the sweep that a user wrote.

    Args:
        text: ``NAME=LEVEL,LEVEL,...``.

    Raises:
        ValueError: it is not so written; as `Sweep`.

    Example:
        >>> parse("masspole=2,0.5")
        Sweep(name='masspole', levels=(0.5, 1.0, 2.0))
    """
    name, equals, given = text.partition("=")
    try:
        levels = tuple(float(each) for each in given.split(","))
    except ValueError:
        levels = ()
    if not (name.strip() and equals and levels):
        raise ValueError(
            f"A sweep is written NAME=LEVEL,LEVEL,..., such as {_EXAMPLE}. Received: {text!r}."
        )
    return Sweep(name.strip(), levels)


def default_sweeps(env: Environment) -> tuple[Sweep, ...]:
    """Returns sweeps that make sense for an environment: what applies to all, and its parameters.

    Noise is left out where no part of the observation is of floats.

    Args:
        env: registered id, factory or environment; one that is made here is closed again.

    Raises:
        ValueError, ImportError, TypeError: as `tfdrlprune.simulation.make`.
    """
    made = make(env)
    names = [name for name in KINDS if name != "noise" or _has_floats(made.observation_space)]
    known = known_parameters(made).values()
    if made is not env:
        made.close()
    return (
        *(Sweep(name, _DEFAULTS[name]) for name in names),
        *(Sweep(each.name, each.levels) for each in known),
    )


def check_sweeps(sweeps: Iterable[Sweep], env: Environment, seed: int) -> None:
    """Raises ValueError unless every sweep disturbs the environment, and comes once.

    Args:
        sweeps: asked for.
        env: registered id or factory: it is made anew for every level, so that no setting outlives
            its level.
        seed: of resets, which must not undo a parameter.
    """
    if isinstance(env, gym.Env):
        raise ValueError(
            "A sweep makes the environment anew for every level, so that no setting outlives it. "
            f"Received: {env}. Give its id, or a function that makes a new one: lambda: MyEnv()."
        )
    names = [sweep.name for sweep in sweeps]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Sweeps are one or more of different names. Received: {names}.")
    made = make(env)
    try:
        if "noise" in names and not _has_floats(made.observation_space):
            raise ValueError(
                "Noise is added to observations that are floats. "
                f"Received: {made.observation_space}. Leave the noise out."
            )
        for sweep in sweeps:
            found = None
            if sweep.name not in KINDS:
                found = parameter(made, sweep.name, KINDS)
                for level in sweep.levels:
                    found.check_level(level)
            # Only now: of a misspelt name nobody knows which level is undisturbed.
            if not sweep.disturbed:
                raise ValueError(
                    f"A sweep of {sweep.name} needs a level other than the undisturbed one. "
                    f"Received: {sweep.name}={sweep.undisturbed:g}."
                )
            if found is not None:
                found.check_holds(lambda: make(env), sweep.disturbed[0], seed)
    finally:
        made.close()


def disturbed(
    env: Environment, name: str, level: float, std: Any
) -> Callable[[], gym.Env[Any, Any]]:
    """Returns a factory of the environment under one disturbance at one level.

    Args:
        env: registered id or factory.
        name: of the disturbance.
        level: of it.
        std: `disturbances.feature_std` of visited states; noise needs it.
    """

    def build() -> gym.Env[Any, Any]:
        made = make(env)
        if name == "noise":
            return NoisyObservation(made, level, std)
        if name == "delay":
            return DelayedAction(made, int(level))
        if name == "drop":
            return DroppedFrames(made, level)
        parameter(made, name).set(made, level)
        return made

    return build


def _has_floats(space: Any) -> bool:
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, gym.spaces.Dict) else space.spaces
        return any(map(_has_floats, parts))
    return isinstance(space, gym.spaces.Box) and space.dtype.kind == "f"
