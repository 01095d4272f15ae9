"""Policies that are exported, and what goes into them."""

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import ArraySpec, Head

BOX = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
SQUASHED = Head("tanh", (2.0, 2.0), (0.0, 1.0))
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


def observations(count=300, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def pruned(policy, sparsity=0.75):
    """Sets the smallest weights of every kernel to zero, exactly ``sparsity`` of each."""
    for layer in policy.model.layers:
        if isinstance(layer, (tf.keras.layers.Dense, tf.keras.layers.Conv2D)):
            kernel, *rest = layer.get_weights()
            flat = kernel.ravel()
            flat[np.argsort(np.abs(flat), kind="stable")[: int(sparsity * flat.size)]] = 0
            layer.set_weights([flat.reshape(kernel.shape), *rest])
    return policy
