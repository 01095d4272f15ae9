"""Rounding as the int8 scheme of TFLite does, with gradients that go through it.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference". Gradients pass unchanged ("straight through", Bengio et al. 2013), but for numbers
outside of an activation's range, which get none.
"""

from __future__ import annotations

from tfdrlprune._tf import tf

_WEIGHT_STEPS = 127.0  # on either side of zero
_STEPS = 255.0
_SMALLEST = 1e-12


def round_weights(matrix: tf.Tensor) -> tf.Tensor:
    """Returns weights [inputs, outputs] in int8 steps of their own for each output; 0 stays 0."""
    largest = tf.reduce_max(tf.abs(matrix), axis=0, keepdims=True)
    step = tf.maximum(largest, _SMALLEST) / _WEIGHT_STEPS
    return matrix + tf.stop_gradient(tf.round(matrix / step) * step - matrix)


def round_activations(value: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Returns numbers in 256 steps from ``low`` to ``high``, moved so that 0 is one of them.

    Args:
        value: any shape.
        low: 0 or less.
        high: 0 or more.
    """
    step = tf.maximum(high - low, _SMALLEST) / _STEPS
    zero = tf.round(-low / step)
    within = tf.clip_by_value(value, -zero * step, (_STEPS - zero) * step)
    return within + tf.stop_gradient(tf.round(within / step) * step - within)
