"""Layers without weights that make Q-values of what other networks than QNetwork give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class ExpectedValue(tf.keras.layers.Layer):
    """Gives the mean of each action's categorical distribution of returns.

    Bellemare et al. 2017, "A Distributional Perspective on Reinforcement Learning" (C51). Takes
    logits, [batch, actions * atoms]; gives [batch, actions].

    Args:
        support: the return that each atom stands for.
    """

    def __init__(self, support: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.support = [float(value) for value in support]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the means."""
        atoms = len(self.support)
        logits = tf.reshape(inputs, (-1, inputs.shape[-1] // atoms, atoms))
        return tf.reduce_sum(tf.nn.softmax(logits) * np.asarray(self.support, np.float32), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return super().get_config() | {"support": self.support}


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class Duel(tf.keras.layers.Layer):
    """Gives Q-values: a state's value plus each action's advantage over the mean advantage.

    Wang et al. 2016, "Dueling Network Architectures for Deep Reinforcement Learning", eq. 9. Takes
    [batch, 1] and [batch, actions]; gives [batch, actions].
    """

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the Q-values."""
        value, advantage = inputs
        return value + advantage - tf.reduce_mean(advantage, axis=-1, keepdims=True)
