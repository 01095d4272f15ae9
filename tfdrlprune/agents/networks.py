"""What the agents' networks share: what comes before their layers, and initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.pruning.kernels import find_kernels


def front(observation_spec: Any, conv: Sequence[tuple[int, int, int]] | None) -> dict[str, Any]:
    """Returns the arguments of a TF-Agents network that say what becomes of the observation.

    uint8 leaves are scaled to [0, 1], other integers become floats. Several leaves are flattened
    and joined.

    Args:
        observation_spec: nest of specs.
        conv: (filters, kernel size, stride) of each convolution, or None.

    Raises:
        ValueError: convolutions are to see several leaves.
    """
    leaves = tf.nest.flatten(observation_spec)
    if len(leaves) > 1 and conv is not None:
        names = ", ".join(f"{leaf.name} {tuple(leaf.shape)}" for leaf in leaves)
        raise ValueError(
            f"conv needs an observation that is one image. Received {len(leaves)} parts: {names}. "
            "Leave conv out, or give a TF-Agents agent whose networks have preprocessing layers."
        )
    scales = [1.0 / 255.0 if leaf.dtype == tf.uint8 else 1.0 for leaf in leaves]
    if len(leaves) > 1:
        # Rescaling also makes floats of integers.
        layers = [
            tf.keras.Sequential([tf.keras.layers.Rescaling(scale), tf.keras.layers.Flatten()])
            for scale in scales
        ]
    else:
        layers = [tf.keras.layers.Rescaling(scale) for scale in scales]
    # A dense layer makes floats of integers by itself, a convolution refuses them.
    whole = conv is not None and not leaves[0].dtype.is_floating
    needed = len(leaves) > 1 or scales != [1.0] or whole
    return {
        "conv_layer_params": None if conv is None else [tuple(layer) for layer in conv],
        "preprocessing_layers": (
            tf.nest.pack_sequence_as(observation_spec, layers) if needed else None
        ),
        "preprocessing_combiner": tf.keras.layers.Concatenate() if len(leaves) > 1 else None,
    }


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
