"""Gradients of the kernels, recorded where the optimizer would apply them.

Every Keras, legacy and TF 1 optimizer is given its gradients by ``apply_gradients``. What stands in
its place records them without a step; what stands before it records them on the way, inside the
compiled training step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.specs import Array

# Gradients with their variables, as optimizers take them.
Record = Callable[[Iterable[tuple[Any, Any]]], None]


class GradientSums:
    """Sums over batches of a kernel's gradients g, and of the squares of w * g.

    Args:
        kernels: whose gradients are summed; w are their weights.
    """

    def __init__(self, kernels: Sequence[Kernel]):
        self._kernels = list(kernels)
        self._gradients, self._squares = (
            [tf.Variable(tf.zeros(kernel.shape), trainable=False) for kernel in self._kernels]
            for _ in range(2)
        )
        self._batches = [tf.Variable(0.0, trainable=False) for _ in self._kernels]

    def reset(self) -> None:
        """Begins anew."""
        for variable in (*self._gradients, *self._squares, *self._batches):
            write(variable, np.zeros(variable.shape, np.float32))

    def record(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Adds one batch's gradients; works inside a compiled step."""
        for index, gradient, weights in _of_kernels(self._kernels, pairs):
            self._gradients[index].assign_add(gradient)
            self._squares[index].assign_add(tf.square(weights * gradient))
            self._batches[index].assign_add(1.0)

    def means(self) -> tuple[list[Array], list[Array]]:
        """Returns the mean over batches of g, and that of (w * g) ** 2, shaped as the kernels.

        Raises:
            ValueError: no batch gave a kernel a gradient; says which.
        """
        counts = [float(read(batches)) for batches in self._batches]
        missing = [k.name for k, n in zip(self._kernels, counts, strict=True) if n == 0.0]
        if missing:
            raise ValueError(
                f"The loss has no gradient for {', '.join(missing)}. Spare it, or prune by "
                "criterion='magnitude'."
            )
        gradients, squares = (
            [read(each) / count for each, count in zip(sums, counts, strict=True)]
            for sums in (self._gradients, self._squares)
        )
        return gradients, squares


class Movement:
    """The sum over all optimizer steps of -w * g, and so how far a weight moves away from zero.

    Sanh et al. 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning".

    Args:
        kernels: whose movement is summed.

    Attributes:
        checkpointable: the sums, as a ``tf.train.Checkpoint``.
    """

    def __init__(self, kernels: Sequence[Kernel]):
        self._kernels = list(kernels)
        self._sums = [tf.Variable(tf.zeros(k.shape), trainable=False) for k in self._kernels]
        self.checkpointable = tf.train.Checkpoint(sums=self._sums)

    def record(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """Adds one step's -w * g; works inside a compiled step, before the update.

        A step with an infinite gradient is left out, as loss scaling leaves it out.
        """
        own = list(_of_kernels(self._kernels, pairs))
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for _, each, _ in own])
        for index, gradient, weights in own:
            moved = tf.where(finite, weights * gradient, tf.zeros_like(weights))
            self._sums[index].assign_sub(moved)

    def numpy(self) -> list[Array]:
        """Returns the sums so far, shaped as the kernels."""
        return [read(each) for each in self._sums]


def _of_kernels(
    kernels: Sequence[Kernel], pairs: Iterable[tuple[Any, Any]]
) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
    """Returns index, gradient and weights, float32, of the kernels among the pairs."""
    known = {_identity(kernel.variable): index for index, kernel in enumerate(kernels)}
    for gradient, variable in pairs:
        index = known.get(_identity(variable))
        if index is not None and gradient is not None:
            weights = tf.convert_to_tensor(getattr(variable, "_variable", variable))
            dense = tf.convert_to_tensor(gradient)
            yield index, tf.cast(dense, tf.float32), tf.cast(weights, tf.float32)


def _identity(variable: Any) -> int:
    # Mixed precision wraps a variable in one that casts.
    return id(getattr(variable, "_variable", variable))


@contextlib.contextmanager
def instead_of_steps(optimizers: Sequence[Any], record: Record) -> Iterator[None]:
    """Makes optimizers hand their gradients to ``record`` and change nothing."""

    def apply_gradients(grads_and_vars: Any, *args: Any, **kwargs: Any) -> tf.Operation:
        record(list(grads_and_vars))
        return tf.no_op()

    with contextlib.ExitStack() as stack:
        for optimizer in optimizers:
            stack.callback(_put(optimizer, apply_gradients))
        yield


class BesideSteps:
    """Hands optimizers' gradients to ``record`` before every step, until `remove`.

    Several may stand before one optimizer. Training steps that were traced before must be traced
    anew.
    """

    def __init__(self, optimizers: Sequence[Any], record: Record):
        self._optimizers, self._record = list(optimizers), record
        for optimizer in self._optimizers:
            _records_before(optimizer).append(record)

    def remove(self) -> None:
        """Leaves the optimizers as they were."""
        for optimizer in self._optimizers:
            records = _records_before(optimizer)
            records.remove(self._record)
            if not records:
                optimizer.apply_gradients.undo()
        self._optimizers = []


def _records_before(optimizer: Any) -> list[Record]:
    """Returns what is handed an optimizer's gradients before every step; may be appended to."""
    own = optimizer.apply_gradients
    if hasattr(own, "records"):
        return own.records
    records: list[Record] = []

    def apply_gradients(grads_and_vars: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = list(grads_and_vars)
        for record in records:
            record(pairs)
        return own(pairs, *args, **kwargs)

    hook: Any = apply_gradients
    hook.records, hook.undo = records, _put(optimizer, apply_gradients)
    return records


def _put(optimizer: Any, apply_gradients: Callable[..., Any]) -> Callable[[], None]:
    """Gives an optimizer a method of its own; returns what undoes that."""
    before = vars(optimizer).get("apply_gradients")
    optimizer.apply_gradients = apply_gradients

    def undo() -> None:
        if before is None:
            del optimizer.apply_gradients
        else:
            optimizer.apply_gradients = before

    return undo
