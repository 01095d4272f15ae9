"""The neutral action: what acts on an environment before the first delayed action arrives."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

# Discrete actions that do nothing, where that is not the first one. CartPole has none: its first
# action pushes to the left.
_NEUTRAL = {"AcrobotEnv": 1, "MountainCarEnv": 1}


def neutral_action(env: gym.Env[Any, Any]) -> Any:
    """Returns the action that comes nearest to doing nothing.

    Of a Box it is 0, or the bound nearest to it; of discrete actions the one that does nothing
    where it is known (Acrobot and MountainCar: 1), else the first (LunarLander: nothing; CartPole,
    where every action pushes: to the left).

    Raises:
        ValueError: the action space is none of Gymnasium's Box, Discrete, MultiDiscrete,
            MultiBinary, Dict and Tuple.
    """
    known = (_NEUTRAL.get(each.__name__) for each in type(env.unwrapped).__mro__)
    found = next((action for action in known if action is not None), None)
    if found is not None and isinstance(env.action_space, spaces.Discrete):
        return env.action_space.dtype.type(found)
    return _neutral(env.action_space)


def _neutral(space: gym.Space[Any]) -> Any:
    if isinstance(space, spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start.astype(space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape, space.dtype)
    if isinstance(space, spaces.Dict):
        return {key: _neutral(each) for key, each in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_neutral(each) for each in space.spaces)
    raise ValueError(
        "A delay needs an action that acts before the first one does, which is known of Box, "
        f"Discrete, MultiDiscrete, MultiBinary, Dict and Tuple. Received: {space}. Leave it out."
    )
