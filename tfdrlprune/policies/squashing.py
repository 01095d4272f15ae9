"""Actions squashed to their bounds by tanh: found at the end of a network, and as a head."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.policies.wrappers import inner
from tfdrlprune.specs import ArraySpec, Head, compact


def squash_head(own: ArraySpec) -> Head:
    """Returns the head of TF-Agents' tanh_squash_to_spec.

    Raises:
        ValueError: the action has no bounds.
    """
    low, high = _observations.bounds(own)
    if not np.isfinite(high - low).all():
        raise ValueError(f"An action is squashed to its bounds, and {own} has none.")
    return Head("tanh", scale=compact((high - low) / 2), offset=compact((high + low) / 2))


def unsquashed(steps: list[Any]) -> tuple[list[Any], Head | None]:
    """Returns steps without a tanh and a stretch at their end, and the head that does both.

    So end the networks of deterministic actors: a Dense layer with tanh, then Rescaling to the
    bounds. Without that end the steps come back as they are, and None.
    """
    if len(steps) < 2 or not isinstance(steps[-1], tf.keras.layers.Rescaling):
        return steps, None
    layer, weights = inner(steps[-2])
    if not isinstance(layer, tf.keras.layers.Dense) or layer.activation.__name__ != "tanh":
        return steps, None
    linear = tf.keras.layers.Dense(layer.units, use_bias=layer.use_bias, name=layer.name)
    linear.build(layer.kernel.shape[:1])
    linear.set_weights(weights)
    head = Head("tanh", *(compact(np.ravel(v)) for v in (steps[-1].scale, steps[-1].offset)))
    return [*steps[:-2], linear], head
