"""Noise on observations, delayed actions, dropped frames: wrappers that repeat on a repeated seed.

What is random is drawn from a generator of the disturbance's own, seeded by the seed of the reset
and the kind of disturbance, and drawn equally often whatever the policy does. So two policies meet
the same disturbance on the same seed (common random numbers), and so do two levels: at twice the
noise every deviation is twice as large, and what is lost at 10 % is lost at 20 % too. Gymnasium's
own wrappers (`StickyAction`, `TransformObservation`) draw from the environment's generator or from
none, which would change the episode itself.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tfdrlprune.evidence import nested
from tfdrlprune.evidence.sweeping.neutral import neutral_action

# What a level of each disturbance says, and which levels there are.
_LEVELS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "noise": (
        "noise is a fraction of each feature's standard deviation, 0 or more",
        lambda level: 0 <= level < math.inf,
    ),
    "delay": (
        "delay is a whole number of env_steps, 0 or more",
        lambda level: 0 <= level < math.inf and level == int(level),
    ),
    "drop": (
        "drop is the probability that an observation is lost, in [0, 1)",
        lambda level: 0 <= level < 1,
    ),
}
KINDS = tuple(_LEVELS)


class _Bounds(NamedTuple):
    low: Any
    high: Any


class _Seeded(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper with a generator of its own, made anew at each reset with a seed."""

    # From 1: a seed followed by zero gives NumPy the same generator as the seed alone.
    _KIND: ClassVar[int]

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        self._generator = np.random.default_rng()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Returns the environment's reset, disturbed."""
        # Without a seed it goes on, as the environment's own generator does.
        if seed is not None:
            self._generator = np.random.default_rng([seed, self._KIND])
        observation, info = self.env.reset(seed=seed, options=options)
        return self._first(observation), info

    def _first(self, observation: Any) -> Any:
        raise NotImplementedError


class NoisyObservation(_Seeded):
    """An environment whose float observations carry Gaussian noise, the first one included.

    The noise has the standard deviation ``fraction * std`` and never carries a value beyond the
    space's bounds; one that was beyond them already stays at least where it was. Leaves that are no
    floats, and values that are not finite, stay as they are.

    Args:
        env: wrapped.
        fraction: of each feature's standard deviation, 0 or more.
        std: standard deviations as of `feature_std`, nested as an observation.

    Raises:
        ValueError: ``fraction`` is negative or not finite; the observation has no floats.
    """

    _KIND = 1

    def __init__(self, env: gym.Env[Any, Any], fraction: float, std: Any):
        super().__init__(env)
        check_level("noise", fraction)
        if all(leaf is None for leaf in nested.leaves(std)):
            raise ValueError(
                "Noise is added to observations that are floats. "
                f"Received: {env.observation_space}. Leave the noise out."
            )
        self._spread = nested.map_leaves(
            lambda leaf: None if leaf is None else np.multiply(fraction, leaf), std
        )
        self._bounds = _bounds(env.observation_space)

    def _first(self, observation: Any) -> Any:
        return self._noisy(observation)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Returns the environment's step with a noisy observation."""
        observation, *rest = self.env.step(action)
        return (self._noisy(observation), *rest)

    def _noisy(self, observation: Any) -> Any:
        return nested.map_leaves(self._noisy_leaf, observation, self._spread, self._bounds)

    def _noisy_leaf(self, leaf: Any, spread: Any, bounds: _Bounds) -> Any:
        if spread is None:
            return leaf
        array = np.asarray(leaf)
        moved = array + spread * self._generator.standard_normal(array.shape)
        # Infinity is beyond the bounds as well, and stays: it tells that the simulator blew up.
        low, high = np.minimum(bounds.low, array), np.maximum(bounds.high, array)
        return np.clip(moved, low, high).astype(array.dtype)[()]


class DelayedAction(gym.Wrapper[Any, Any, Any, Any]):
    """An environment where each action acts some steps late; at first the neutral action acts.

    Args:
        env: wrapped.
        steps: how late, in env_steps, 0 or more.
        neutral: what acts in the first steps of an episode; None takes `neutral_action`.

    Raises:
        ValueError: ``steps`` is no whole number or negative; as `neutral_action`.
    """

    def __init__(self, env: gym.Env[Any, Any], steps: int, neutral: Any = None):
        super().__init__(env)
        check_level("delay", steps)
        self._steps = int(steps)
        self._neutral = neutral_action(env) if neutral is None else neutral
        self._waiting: deque[Any] = deque()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Returns the environment's reset; nothing waits any more but the neutral action."""
        self._waiting = deque([self._neutral] * self._steps)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Returns the environment's step with the action of ``steps`` steps ago."""
        # Copied, since policies may reuse their arrays.
        self._waiting.append(copy.deepcopy(action))
        return self.env.step(self._waiting.popleft())


class DroppedFrames(_Seeded):
    """An environment where an observation is lost at times, and the last one seen comes again.

    The first observation of an episode always arrives, and so does one that is not finite: a
    simulator that blew up must not hide behind a lost frame.

    Args:
        env: wrapped.
        probability: of each observation to be lost, in [0, 1).

    Raises:
        ValueError: ``probability`` is out of its range.
    """

    _KIND = 2

    def __init__(self, env: gym.Env[Any, Any], probability: float):
        super().__init__(env)
        check_level("drop", probability)
        self._probability = probability
        self._seen: Any = None

    def _first(self, observation: Any) -> Any:
        return self._keep(observation)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Returns the environment's step, with the last observation seen if this one is lost."""
        observation, *rest = self.env.step(action)
        lost = self._generator.random() < self._probability
        if lost and nested.finite(observation):
            return (copy.deepcopy(self._seen), *rest)
        return (self._keep(observation), *rest)

    def _keep(self, observation: Any) -> Any:
        # Copied, since environments may reuse their arrays.
        self._seen = copy.deepcopy(observation)
        return observation


def check_level(kind: str, level: float) -> None:
    """Raises ValueError unless ``level`` is one of ``"noise"``, ``"delay"`` or ``"drop"``."""
    rule, holds = _LEVELS[kind]
    if not holds(level):
        hint = f" For {level:g} % write {level / 100:g}." if kind == "drop" and level > 1 else ""
        raise ValueError(f"{rule}. Received: {kind}={level:g}.{hint}")


def feature_std(visited: Any) -> Any:
    """Returns the standard deviation of each feature, nested as an observation.

    Args:
        visited: observations, nested, each leaf [count, ...].

    Returns:
        float64 [...] for each leaf of floats, None for every other leaf.
    """
    return nested.map_leaves(
        lambda leaf: leaf.std(axis=0, dtype=np.float64) if leaf.dtype.kind == "f" else None,
        visited,
    )


def _bounds(space: gym.Space[Any]) -> Any:
    """Returns a space's bounds, nested as its observations; infinite where it has none."""
    if isinstance(space, spaces.Dict):
        return {key: _bounds(each) for key, each in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_bounds(each) for each in space.spaces)
    if isinstance(space, spaces.Box):
        return _Bounds(space.low, space.high)
    return _Bounds(-np.inf, np.inf)
