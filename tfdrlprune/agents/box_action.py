"""One bounded action of floats, as SAC and TD3 take it: its bounds, and uniform draws of it."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.internals import is_bounded
from tfdrlprune.specs import Array


class BoxAction:
    """An action's shape, dtype and bounds, in NumPy.

    Args:
        spec: nest with one ``BoundedTensorSpec``.

    Attributes:
        shape: of one action.
        dtype: NumPy dtype.
        low, high: bounds, of the action's shape.
        half, middle: half the distance between the bounds, and what lies between; float32.
    """

    def __init__(self, spec: Any):
        leaf = tf.nest.flatten(spec)[0]
        self.shape: tuple[int, ...] = tuple(leaf.shape)
        self.dtype = leaf.dtype.as_numpy_dtype
        self.low, self.high = (
            np.broadcast_to(bound, self.shape) for bound in (leaf.minimum, leaf.maximum)
        )
        self.half = ((self.high - self.low) / 2).astype(np.float32)
        self.middle = ((self.high + self.low) / 2).astype(np.float32)

    def uniform(self, count: int, generator: np.random.Generator) -> Array:
        """Returns actions drawn uniformly within their bounds, [count, ...]."""
        drawn = generator.uniform(self.low, self.high, size=(count, *self.shape))
        return drawn.astype(self.dtype)

    def stretch(self, outputs: Array) -> Array:
        """Returns actions, [count, ...], for numbers in [-1, 1], [count, n] or [count, ...]."""
        action: Array = self.middle + self.half * outputs.reshape((-1, *self.shape))
        return action.astype(self.dtype)

    def clip(self, action: Array) -> Array:
        """Returns actions within their bounds."""
        return np.clip(action, self.low, self.high).astype(self.dtype)


def is_one_bounded_vector(spec: Any) -> bool:
    """Tells whether an action spec is one bounded array of floats of shape [n]."""
    return (
        isinstance(spec, tf.TypeSpec)
        and spec.dtype.is_floating
        and spec.shape.rank == 1
        and is_bounded(spec)
    )
