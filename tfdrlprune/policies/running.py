"""A policy's model as compiled functions of NumPy batches: rows by themselves, or one episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.specs import Array, ArraySpec

Run = Callable[..., Any]


def rows(model: Any, specs: list[ArraySpec]) -> Run:
    """Returns a compiled function of leaves [batch, *shape] to all outputs of the model.

    Args:
        model: functional; its inputs are in the order of ``specs``.
        specs: of the inputs.
    """
    return _compiled(lambda *leaves: _call(model, list(leaves)), specs)


def episode(model: Any, specs: list[ArraySpec], states: list[ArraySpec]) -> Run:
    """Returns a compiled function of consecutive observations to what the model makes of them.

    The function takes leaves [steps, *shape] and then states [1, *shape]; it returns outputs
    [steps, n] and, for each leaf of the state, what it is after each step, [steps, *shape].

    Args:
        model: functional; takes observations and states, gives outputs and next states.
        specs: of the observations.
        states: of the states.
    """

    def run(*given: Any) -> Any:
        leaves, first = given[: len(specs)], given[len(specs) :]

        def step(carried: Any, row: Any) -> Any:
            outputs, *following = _call(
                model, [*(leaf[None] for leaf in row), *(each[None] for each in carried[1:])]
            )
            return outputs[0], *(each[0] for each in following)

        width = model.outputs[0].shape[1]
        return tf.scan(step, leaves, (tf.zeros([width]), *(each[0] for each in first)))

    return _compiled(run, [*specs, *states])


def _compiled(function: Callable[..., Any], specs: list[ArraySpec]) -> Run:
    # One graph for every batch size: a vector environment's last batch is often a small one.
    signature = [tf.TensorSpec([None, *spec.shape], spec.dtype) for spec in specs]
    compiled: Run = tf.function(
        function, input_signature=signature, autograph=False
    ).get_concrete_function()
    return compiled


def _call(model: Any, leaves: list[Any]) -> Any:
    return model(leaves if len(leaves) > 1 else leaves[0], training=False)


def arrays(value: Any) -> list[Array]:
    """Returns the tensors of a nest as arrays."""
    return [each.numpy() for each in tf.nest.flatten(value)]
