"""What the agents' networks share: scaling of images, and initial weights from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.pruning.kernels import find_kernels


def image_scaling(observation_spec: Any) -> Any:
    """Returns preprocessing layers that scale uint8 leaves to [0, 1]; None if there are none."""
    leaves = tf.nest.flatten(observation_spec)
    if not any(leaf.dtype == tf.uint8 for leaf in leaves):
        return None
    layers = [
        tf.keras.layers.Rescaling(1.0 / 255.0)
        if leaf.dtype == tf.uint8
        else tf.keras.layers.Activation("linear")
        for leaf in leaves
    ]
    return tf.nest.pack_sequence_as(observation_spec, layers)


def initialize_he(network: Any, seed: int) -> None:
    """Sets kernels to He's normal initialisation, biases to zero; for ReLU networks.

    He et al. 2015, "Delving Deep into Rectifiers".
    """
    _initialize(
        network,
        [
            tf.keras.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal", seed=each)
            for each in _seeds(seed, len(find_kernels(network)))
        ],
    )


def initialize_orthogonal(network: Any, seed: int, last_gain: float) -> None:
    """Sets kernels to orthogonal ones of gain sqrt(2), the last of ``last_gain``.

    A small last gain makes a policy start near uniform (Andrychowicz et al. 2021, "What Matters in
    On-Policy Reinforcement Learning", recommends 0.01).
    """
    seeds = _seeds(seed, len(find_kernels(network)))
    gains = [2.0**0.5] * (len(seeds) - 1) + [last_gain]
    _initialize(
        network,
        [
            tf.keras.initializers.Orthogonal(gain, seed=each)
            for gain, each in zip(gains, seeds, strict=True)
        ],
    )


def _initialize(network: Any, initializers: Sequence[Any]) -> None:
    for kernel, initializer in zip(find_kernels(network), initializers, strict=True):
        kernel.variable.assign(initializer(kernel.shape))


def _seeds(seed: int, count: int) -> list[int]:
    # Keras wants them to fit a signed 32-bit integer.
    return [int(each) for each in np.random.SeedSequence(seed).generate_state(count) >> 1]
