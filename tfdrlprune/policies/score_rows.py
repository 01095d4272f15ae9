"""Scores of several choices as rows, in TensorFlow: for arg-max, softmax and distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.choices import Choices

# So unlikely that no sample ever takes it, and finite: infinities make NaN of an entropy's terms.
_NEVER = -1e9


def score_rows(scores: Any, choices: Choices) -> Any:
    """Returns scores [..., total] as [..., numbers, widest], for an arg-max along the last axis.

    Short rows end in their first score again, which therefore never wins. Scores of one number stay
    as they are, [..., total].
    """
    if len(choices.counts) == 1:
        return scores
    if choices.equal:
        shape = [len(choices.counts), choices.counts[0]]
        return tf.reshape(scores, tf.concat([tf.shape(scores)[:-1], shape], axis=0))
    # In 32 bits: tflite-micro has no other.
    return tf.gather(scores, choices.positions.astype(np.int32), axis=-1)


def logit_rows(scores: Any, choices: Choices) -> Any:
    """Returns what `score_rows` does, as logits: what fills up short rows has no probability."""
    rows = score_rows(scores, choices)
    if choices.equal:
        return rows
    return rows + np.where(choices.own, 0.0, _NEVER).astype(np.float32)


def shaped_logits(scores: Any, choices: Choices, shape: Sequence[int]) -> Any:
    """Returns scores [..., total] as the logits of an action, [..., *shape, widest]."""
    outer = tf.shape(scores)[:-1]
    logits = tf.reshape(
        logit_rows(scores, choices), tf.concat([outer, [*shape, max(choices.counts)]], axis=0)
    )
    return tf.ensure_shape(logits, [*scores.shape[:-1], *shape, max(choices.counts)])


def centred(scores: Any, choices: Choices) -> Any:
    """Returns scores [..., total] of which all for one number have lost their mean."""
    parts = tf.split(scores, choices.counts, axis=-1)
    return tf.concat([own - tf.reduce_mean(own, axis=-1, keepdims=True) for own in parts], axis=-1)
