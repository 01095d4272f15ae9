"""Probing a model: inputs to try it on, and what its tensors are on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array

# Of axes whose size the model leaves open, such as time.
_OPEN_SIZE = 5


def random_inputs(model: Any, count: int, seed: int) -> list[Array]:
    """Returns [count, ...] for each of the model's inputs.

    Normal numbers; pixels from 0 to 255 where the input is uint8; 0 and 1 where it is of other
    integers, which may be indices into a small table.

    Args:
        model: functional.
        count: of samples.
        seed: of the random numbers.
    """
    generator = np.random.default_rng(seed)
    found = []
    for tensor in tf.nest.flatten(model.inputs):
        sizes = [_OPEN_SIZE if size is None else size for size in tensor.shape[1:]]
        shape, dtype = (tensor.shape[0] or count, *sizes), tensor.dtype.as_numpy_dtype
        most = 256 if dtype is np.uint8 else 2
        floating = np.issubdtype(dtype, np.floating)
        numbers: Array = (
            generator.normal(size=shape) if floating else generator.integers(0, most, shape)
        )
        found.append(numbers.astype(dtype))
    return found


def given_inputs(model: Any, observations: Any) -> list[Array] | None:
    """Returns observations as one array for each of the model's inputs; None for None.

    Args:
        model: functional.
        observations: an array, a sequence of one for each input in their order, or a dictionary by
            the inputs' names.

    Raises:
        ValueError: they do not fit the inputs.
    """
    if observations is None:
        return None
    names, tensors = model.input_names, tf.nest.flatten(model.inputs)
    if isinstance(observations, dict):
        if set(observations) != set(names):
            raise ValueError(
                f"observations are named as the model's inputs, {sorted(names)}. Received: "
                f"{sorted(observations)}."
            )
        arrays = [observations[name] for name in names]
    else:
        several = isinstance(observations, list | tuple) and len(tensors) > 1
        arrays = list(observations) if several else [observations]
    if len(arrays) != len(tensors):
        raise ValueError(
            f"observations are one array for each of the model's inputs, {names}. Received: "
            f"{len(arrays)}."
        )
    found = [np.asarray(a, t.dtype.as_numpy_dtype) for a, t in zip(arrays, tensors, strict=True)]
    for name, array, tensor in zip(names, found, tensors, strict=True):
        if not len(array) or not tensor.shape.is_compatible_with(array.shape):
            raise ValueError(
                f"observations for the input {name!r} are shaped {tuple(tensor.shape)}, one sample "
                f"or more. Received: {array.shape}."
            )
    return found


def with_states(model: Any, observations: Any, states: Mapping[str, str]) -> Any:
    """Returns observations as `given_inputs` takes them, states that were left out at zero.

    Args:
        model: functional.
        observations: of the inputs that are no states, or of all.
        states: by the input's name.
    """
    if observations is None or not states:
        return observations
    if not isinstance(observations, dict):
        names = [name for name in model.input_names if name not in states]
        several = isinstance(observations, list | tuple)
        if several and len(observations) == len(model.inputs):
            return observations
        observations = dict(zip(names, observations if several else [observations], strict=False))
    rows = max((len(each) for each in observations.values()), default=0)
    zeros = {
        name: np.zeros((rows, *tensor.shape[1:]), np.float32)
        for name, tensor in zip(model.input_names, tf.nest.flatten(model.inputs), strict=True)
        if name in states
    }
    return zeros | observations


def values_of(model: Any, tensors: Sequence[Any], inputs: Sequence[Array]) -> list[Array]:
    """Returns what symbolic tensors of a model are on the given inputs, training aside."""
    inner = tf.keras.Model(model.inputs, list(tensors))
    values = inner([tf.constant(each) for each in inputs], training=False)
    return [np.asarray(value) for value in tf.nest.flatten(values)]


def unchanging(values: Array, shape: tuple[int, ...]) -> Array:
    """Returns what a tensor always was, shaped as one sample; NaN where it changed.

    Args:
        values: [batch, ...], on random inputs.
        shape: of one sample, 1 for sizes that the model leaves open; along those, too, numbers
            must be the same to be unchanging.
    """
    exact = values.astype(np.float64)
    low, high = exact.min(axis=0), exact.max(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            low, high = (low.min(axis, keepdims=True), high.max(axis, keepdims=True))
    return constant_between(low, high)


def constant_between(low: Array, high: Array) -> Array:
    """Returns the middle where two bounds are the same number to rounding, else NaN."""
    # In one call the same sum may be taken in another order at another place.
    same = high - low <= 1e-6 * np.maximum(1.0, np.abs(high))
    return np.where(same, low + (high - low) / 2, np.nan)
