"""A head as TensorFlow operations: for exported files, and for networks that act within a graph."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.score_rows import score_rows
from tfdrlprune.specs import ArraySpec, Head


def head_in_graph(head: Head, outputs: Any, spec: ArraySpec) -> Any:
    """Returns what ``head.action(outputs, spec)`` returns, as TensorFlow operations."""
    shape = [-1, *spec.shape]
    if head.kind == "argmax":
        # In 32 bits where that is the action's own: tflite-micro has no other.
        index = tf.int32 if spec.dtype == "int32" else tf.int64
        rows = score_rows(outputs, spec.choices())
        offset = np.asarray(head.offset).astype(index.as_numpy_dtype)
        chosen = tf.argmax(rows, axis=-1, output_type=index) + offset
        return tf.reshape(tf.cast(chosen, spec.dtype), shape)
    mean = tf.tanh(outputs) if head.kind == "tanh" else outputs
    action = mean * np.asarray(head.scale, np.float32) + np.asarray(head.offset, np.float32)
    if spec.low is not None:
        action = tf.maximum(action, np.asarray(spec.low, np.float32))
    if spec.high is not None:
        action = tf.minimum(action, np.asarray(spec.high, np.float32))
    return tf.reshape(tf.cast(action, spec.dtype), shape)
