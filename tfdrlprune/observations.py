"""Observations: checked against a nest of specs, batched, and drawn from it. NumPy only.

The policy on the training side and the runtime on the robot take observations through this one
door, so both accept and refuse the same things.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.specs import Array, ArraySpec, Nest, flatten, flatten_like

# Bounds beyond this say "unbounded" in practice: TF-Agents writes infinity as the largest float32.
UNBOUNDED = 1e6


def as_batch(
    nest: Nest, observation: Any, *, check_finite: bool = True
) -> tuple[list[Array], bool]:
    """Returns the leaves of an observation, each as [batch, *shape], and whether it was a batch.

    Args:
        nest: the observation's specs.
        observation: arrays (or lists of numbers) nested as ``nest``, all with one leading batch
            axis or all without; a single one becomes a batch of one.
        check_finite: whether NaN and infinity are an error.

    Returns:
        C-contiguous arrays of the specs' dtypes in the order of ``flatten(nest)``, and True if the
        observation came with a batch axis.

    Raises:
        ValueError: another nesting, shape or batch size, or NaN or infinity.
        TypeError: a dtype that cannot be cast without loss of meaning, such as float to integer.
    """
    pairs = [
        _leaf(spec, value, check_finite)
        for spec, value in zip(flatten(nest), flatten_like(nest, observation), strict=True)
    ]
    sizes = {len(array) if batched else None for array, batched in pairs}
    if len(sizes) > 1:
        raise ValueError(
            "All parts of an observation have the same batch axis, or none has one. "
            f"Received batch sizes: {[len(array) if batched else None for array, batched in pairs]}"
        )
    return [array for array, _ in pairs], pairs[0][1]


def _leaf(spec: ArraySpec, value: Any, check_finite: bool) -> tuple[Array, bool]:
    array = cast(spec, value)
    batched = array.ndim == len(spec.shape) + 1
    shape = array.shape[1:] if batched else array.shape
    if shape != spec.shape:
        raise ValueError(
            f"The observation {spec.name!r} has the shape {spec.shape}, or (batch, "
            f"{', '.join(map(str, spec.shape))}). Received: {array.shape}."
        )
    if check_finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"The observation {spec.name!r} holds NaN or infinity. Mend the sensor reading before "
            "the policy acts on it (check_finite=False turns this check off)."
        )
    return array if batched else array[None], batched


def cast(spec: ArraySpec, value: Any) -> Array:
    """Returns ``value`` as a C-contiguous array of the spec's dtype.

    Floats go into any float and integers into any float, or into an integer that holds them all.

    Raises:
        TypeError: the value is no array of numbers, or a float or out-of-range integer is to
            become an integer.
    """
    dtype = np.dtype(spec.dtype)
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype == dtype:
        return np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.kind in "iub" and dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        safe = limits.min <= int(array.min()) and int(array.max()) <= limits.max
    else:
        safe = array.dtype.kind in "fiub" and np.can_cast(array.dtype, dtype, "same_kind")
    if not safe:
        got = array.dtype.name if array.dtype.kind in "fiub" else type(value).__name__
        raise TypeError(
            f"The observation {spec.name!r} has the dtype {spec.dtype}. Received: {got}, which "
            "does not fit into it. Convert it before the call."
        )
    with np.errstate(over="ignore"):  # becomes infinity, which the check for finite values names
        return np.ascontiguousarray(array, dtype).reshape(array.shape)


def bounds(spec: ArraySpec) -> tuple[Array, Array]:
    """Returns a spec's bounds for each element in C order, float64, infinite where it has none."""
    size = int(np.prod(spec.shape, dtype=int))
    low, high = (
        np.broadcast_to(np.asarray(default if bound is None else bound, np.float64), size)
        for bound, default in ((spec.low, -np.inf), (spec.high, np.inf))
    )
    return low, high


def sample(nest: Nest, count: int, seed: int) -> list[Array]:
    """Returns ``count`` random observations: for each leaf, an array [count, *shape].

    Uniform between the bounds where there are two; normal with standard deviation 3, clipped to
    the bounds, where one is missing or beyond a million. Real roll-outs are always better.
    """
    generator = np.random.default_rng(seed)
    return [_sample_leaf(spec, count, generator) for spec in flatten(nest)]


def _sample_leaf(spec: ArraySpec, count: int, generator: np.random.Generator) -> Array:
    dtype = np.dtype(spec.dtype)
    size = int(np.prod(spec.shape, dtype=int))
    if dtype.kind == "b":
        return generator.integers(0, 2, (count, *spec.shape)).astype(bool)
    low, high = bounds(spec)
    bounded = (np.abs(low) <= UNBOUNDED) & (np.abs(high) <= UNBOUNDED)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = np.maximum(low, max(limits.min, -100)), np.minimum(high, min(limits.max, 255))
        drawn = generator.integers(low.astype(int), high.astype(int) + 1, (count, size))
        return drawn.astype(dtype).reshape((count, *spec.shape))
    uniform = generator.uniform(
        np.where(bounded, low, -1.0), np.where(bounded, high, 1.0), (count, size)
    )
    normal = np.clip(generator.normal(0.0, 3.0, (count, size)), low, high)
    return np.where(bounded, uniform, normal).astype(dtype).reshape((count, *spec.shape))
