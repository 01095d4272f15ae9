"""A model of one step, run over a sequence of them, which may hold several episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf


def over_time(
    model: Any,
    leaves: Sequence[tf.Tensor],
    first: tf.Tensor,
    state: Sequence[tf.Tensor],
    training: bool = False,
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Returns what a recurrent policy's model puts out at every step, and the state after the last.

    Args:
        model: functional, from observation and state to outputs and the next state.
        leaves: of the observation, [batch, time, ...].
        first: bool, [batch, time]: where an episode begins, and nothing is remembered.
        state: leaves, [batch, ...], before the first step.
        training: as Keras takes it.

    Returns:
        [batch, time, n], and leaves [batch, ...].
    """
    by_time = [_swapped(each) for each in (*leaves, first)]
    size = state[0].shape[0] or tf.shape(state[0])[0]
    nothing = tf.zeros((size, model.outputs[0].shape[-1]), model.outputs[0].dtype)

    def step(before: tuple[tf.Tensor, ...], given: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        *now, begins = given
        outputs, after = one_step(model, now, begins, before[1:], training)
        return (outputs, *after)

    outputs, *states = tf.scan(step, tuple(by_time), (nothing, *state))
    return _swapped(outputs), tuple(each[-1] for each in states)


def one_step(
    model: Any,
    leaves: Sequence[tf.Tensor],
    first: tf.Tensor,
    state: Sequence[tf.Tensor],
    training: bool = False,
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Returns outputs, [batch, n], and the state after them; arguments as of `over_time`."""
    # Selected, and not multiplied: what another episode has left may be infinite.
    remembered = [tf.where(first[:, None], tf.zeros_like(each), each) for each in state]
    outputs, *after = model([*leaves, *remembered], training=training)
    return outputs, tuple(after)


def _swapped(tensor: tf.Tensor) -> tf.Tensor:
    """Returns [time, batch, ...] of [batch, time, ...], and the other way round."""
    return tf.transpose(tensor, (1, 0, *range(2, tensor.shape.rank)))
