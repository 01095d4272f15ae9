"""Gymnasium spaces as specs, and values on their way from and to an environment.

Three forms meet here. A *space* is Gymnasium's. A *nest* (`tfdrlprune.specs`) is the same thing in
the environment's own numbers, and goes to ``policy.json``. *Tensor specs* are what TF-Agents wants:
no infinities, and discrete actions that start at zero.

Every float becomes float32, bool becomes int8, and uint32 and uint64 become int64, because
TensorFlow has no kernels for the others where an agent needs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from tfdrlprune import specs

_Leaf = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def observation_nest(space: gym.Space[Any]) -> specs.Nest:
    """Returns the nest of an observation space, in the environment's own numbers.

    Bounds are one number where all elements share it, else one for each element. An array without
    any bound on a side has None there; an element without one, beside others that have, gets the
    largest float32.

    Raises:
        ValueError: the space holds a Text, Graph, Sequence, OneOf or unknown space.
    """
    return _nest(space, "observation")


def action_nest(space: gym.Space[Any]) -> specs.Nest:
    """Returns the nest of an action space, in the environment's own units.

    A Discrete action has shape (), int64, and counts from the space's ``start``.

    Raises:
        ValueError: the space holds a Text, Graph, Sequence, OneOf or unknown space.
    """
    return _nest(space, "action")


def tensor_specs(nest: specs.Nest, *, shift_to_zero: bool = False) -> Any:
    """Returns the same nest of TF-Agents ``BoundedTensorSpec``, with finite bounds.

    Args:
        nest: of observations or actions.
        shift_to_zero: make integer leaves int64 and move them so that their smallest value is 0, as
            TF-Agents wants its discrete actions; `decode_action` moves them back.

    Raises:
        ValueError: an integer leaf to shift has more values than int64 can count.
    """
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401

    from tf_agents.specs import tensor_spec

    def convert(leaf: specs.ArraySpec) -> Any:
        low, high = _finite_bounds(leaf)
        if shift_to_zero and low.dtype.kind in "iu":
            low, high = low.astype(np.int64), high.astype(np.int64)
            if np.any(high - low < 0):
                raise ValueError(
                    "An integer action counts at most 2**63 - 1 values. "
                    f"Received: {leaf.name!r}, {leaf.low} to {leaf.high}. Declare a Box of floats."
                )
            low, high = np.zeros_like(low), high - low
        return tensor_spec.BoundedTensorSpec(leaf.shape, low.dtype, low, high, leaf.name)

    return specs.map_nest(convert, nest)


def encode_observation(space: gym.Space[Any], observation: Any) -> Any:
    """Returns an observation as `observation_nest` describes it: the same nest of NumPy arrays.

    Args:
        space: of one environment (of a vector environment, its ``single_observation_space``).
        observation: one observation, or a batch as vector environments give it.
    """
    return _map_space(space, observation, lambda leaf, value: np.asarray(value, _dtype(leaf)))


def decode_action(space: gym.Space[Any], action: Any) -> Any:
    """Returns a TF-Agents action in the environment's own units, ready for ``env.step``.

    Integers move from zero to the space's own first number; floats are clipped to the bounds, which
    a float32 can miss by a rounding.

    Args:
        space: of one environment (of a vector environment, its ``single_action_space``).
        action: one action, or a batch of them on the first axis of every leaf; arrays or tensors.
    """
    return _map_space(space, action, _decode_leaf)


def _decode_leaf(space: gym.Space[Any], action: Any) -> Any:
    value = np.asarray(action)
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return np.clip(value.astype(space.dtype), space.low, space.high)
    start = space.low if isinstance(space, spaces.Box) else getattr(space, "start", 0)
    # Added as int64: an int8 that counts from -128 has more values than int8 holds from zero.
    return (value.astype(np.int64) + np.asarray(start, np.int64)).astype(space.dtype)[()]


def _map_space(
    space: gym.Space[Any], value: Any, function: Callable[[gym.Space[Any], Any], Any]
) -> Any:
    """Returns ``function(space, value)`` for every leaf, nested as the space is."""
    if isinstance(space, _Leaf):
        return function(space, value)
    if isinstance(space, spaces.Dict):
        return {key: _map_space(child, value[key], function) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, value, strict=True)
        return tuple(_map_space(child, part, function) for child, part in pairs)
    raise _unsupported(space)


def _nest(space: gym.Space[Any], name: str, path: str = "") -> specs.Nest:
    if isinstance(space, _Leaf):
        return _leaf(space, path or name)
    children: Mapping[Any, gym.Space[Any]]
    if isinstance(space, spaces.Dict):
        children = space.spaces
    elif isinstance(space, spaces.Tuple):
        children = dict(enumerate(space.spaces))
    else:
        raise _unsupported(space, path)
    nests = {
        key: _nest(child, name, f"{path}/{key}" if path else str(key))
        for key, child in children.items()
    }
    return nests if isinstance(space, spaces.Dict) else tuple(nests.values())


def _leaf(space: gym.Space[Any], name: str) -> specs.ArraySpec:
    low: Any
    high: Any
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high
    elif isinstance(space, spaces.Discrete):
        low, high = space.start, space.start + space.n - 1
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = space.start, space.start + space.nvec - 1
    else:
        low, high = 0, 1
    dtype = _dtype(space)
    shape = tuple(int(size) for size in space.shape or ())
    return specs.ArraySpec(name, shape, dtype.name, _bound(low, dtype), _bound(high, dtype))


def _dtype(space: gym.Space[Any]) -> np.dtype[Any]:
    """Returns the dtype that stands for the space's own from here on."""
    dtype = np.dtype(space.dtype)
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.kind == "b":
        return np.dtype(np.int8)
    return np.dtype(np.int64) if dtype in (np.uint32, np.uint64) else dtype


def _bound(value: Any, dtype: np.dtype[Any]) -> specs.Bound:
    """Returns a space's bound as a spec holds it; see `observation_nest`."""
    array = np.asarray(value)
    if dtype.kind == "f":
        clipped = np.clip(array.astype(np.float64), -_FLOAT32_MAX, _FLOAT32_MAX)
        if np.all(np.abs(clipped) == _FLOAT32_MAX):
            return None
        array = clipped.astype(np.float32)
    elif array.dtype == np.uint64:
        array = np.minimum(array, np.iinfo(np.int64).max).astype(np.int64)
    elif array.dtype.kind == "b":
        array = array.astype(np.int8)
    numbers = array.ravel().tolist()
    return tuple(numbers) if len(set(numbers)) > 1 else numbers[0]


def _finite_bounds(leaf: specs.ArraySpec) -> tuple[specs.Array, specs.Array]:
    """Returns a leaf's bounds in its dtype: both scalars, or both of its shape."""
    dtype = np.dtype(leaf.dtype)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    low = limits.min if leaf.low is None else leaf.low
    high = limits.max if leaf.high is None else leaf.high
    bounds = [np.asarray(bound, dtype) for bound in (low, high)]
    if any(bound.ndim for bound in bounds):
        size = math.prod(leaf.shape)
        bounds = [np.broadcast_to(bound, size).reshape(leaf.shape) for bound in bounds]
    return bounds[0], bounds[1]


def _unsupported(space: Any, path: str = "") -> ValueError:
    where = f" at {path!r}" if path else ""
    return ValueError(
        "A policy takes and gives arrays of one shape: Box, Discrete, MultiDiscrete, MultiBinary, "
        f"and Dict or Tuple of them. Received{where}: {space}. Wrap the environment in a "
        "gymnasium.ObservationWrapper (or ActionWrapper) that turns it into a Box."
    )
