"""Policies for CartPole-v1 whose numbers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

# The observation is position, velocity, angle, angular velocity.
BALANCES = [0.1, 0.2, 1.0, 1.0]
FALLS = [0.0, 0.0, -1.0, 0.0]


def linear(weights: Sequence[float]) -> Policy:
    """Pushes the cart to the right where ``weights @ observation`` is above zero."""
    observation = ArraySpec("observation", (4,), "float32")
    given = tf.keras.Input((4,), name="observation")
    layer = tf.keras.layers.Dense(2, name="outputs")
    model = tf.keras.Model(given, layer(given))
    kernel = np.stack([-np.array(weights), np.array(weights)], axis=1)
    layer.set_weights([kernel.astype(np.float32), np.float32([0.25, 0.25])])
    action = ArraySpec("action", (), "int64", 0, 1)
    return Policy(model, Head("argmax"), observation, action, "by hand")
