"""The observation normaliser as a Keras layer, so that it is part of the policy and of its file."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array


@tf.keras.utils.register_keras_serializable(package="tfdrlprune")
class ObservationNormalizer(tf.keras.layers.Layer):
    """Gives ``clip((x - mean) / sqrt(variance + epsilon), -clip, clip)`` in float32.

    The statistics are fixed: weights, so that they travel with the model, but not trainable and
    never pruned. They must stay float when the network is quantized: a variance of 1e-6 beside one
    of 1e3 has no int8.

    Args:
        mean: shaped as one observation; None when the layer is rebuilt from its config and the
            weights are restored afterwards.
        variance: likewise.
        epsilon: added to the variance; TF-Agents' PPO uses 1e-3.
        clip: the largest absolute value that comes out, in standard deviations; 0 clips nothing.
            TF-Agents' PPO uses 5.
        keep_dtype: whether the output is cast back to the input's dtype. TF-Agents does so, which
            truncates integer observations; a policy that was trained so must go on so.
    """

    # For tfdrlprune.structure, which follows units and input features through such layers.
    elementwise = True

    def __init__(
        self,
        mean: Array | None = None,
        variance: Array | None = None,
        *,
        epsilon: float = 1e-3,
        clip: float = 5.0,
        keep_dtype: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.epsilon = float(epsilon)
        self.clip = float(clip)
        self.keep_dtype = bool(keep_dtype)
        self._initial = (mean, variance)

    def build(self, input_shape: Any) -> None:
        """Makes the weights ``mean`` and ``variance``, shaped as one observation."""
        shape = tuple(input_shape[1:])
        mean, variance = self._initial
        self.mean, self.variance = (
            self.add_weight(
                name=name,
                shape=shape,
                dtype="float32",
                initializer=tf.keras.initializers.Constant(
                    default if value is None else np.asarray(value, np.float32)
                ),
                trainable=False,
            )
            for name, value, default in (("mean", mean, 0.0), ("variance", variance, 1.0))
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Returns the normalised observations."""
        x = tf.nn.batch_normalization(
            tf.cast(inputs, tf.float32), self.mean, self.variance, None, None, self.epsilon
        )
        if self.clip > 0:
            x = tf.clip_by_value(x, -self.clip, self.clip)
        return tf.cast(x, inputs.dtype) if self.keep_dtype else x

    def statistics(self) -> tuple[Array, Array]:
        """Returns the mean and the variance, float64, shaped as one observation."""
        held = (self.mean, self.variance) if self.built else self._initial
        mean, variance = (np.asarray(value, np.float64) for value in held)
        return mean, variance

    def get_config(self) -> dict[str, Any]:
        """Returns the choices; mean and variance are weights."""
        config = super().get_config()
        config.pop("trainable", None)
        return config | {
            "epsilon": self.epsilon,
            "clip": self.clip,
            "keep_dtype": self.keep_dtype,
        }
