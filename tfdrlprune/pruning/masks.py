"""Masks: variables beside the kernels that keep removed weights at exactly zero.

A mask acts as its kernel's constraint, which every Keras and TF 1 optimizer applies after each
update, inside the same compiled step. So zeros are exact at rest, in PPO's inner epochs and in
whatever is copied from the kernel, and a mask can change without a retrace. tfmot multiplies in the
forward pass instead, which leaves the kernel dense between an update and the next call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.specs import Array


class Masks:
    """The masks of some kernels, in force until `remove`.

    Args:
        kernels: what is masked.
        followers: for each kernel the kernels that follow it, such as the target network's. They
            are masked when the masks change; a copy or a Polyak average of masked kernels then
            stays masked by itself.
        with_biases: whether a unit that has no weight left loses its bias too.

    Attributes:
        kernels: what is masked.
        followers: for each kernel those that are masked with it.
        new: whether a kernel had no mask before; a step that was traced without it must be traced
            anew.
        checkpointable: a ``tf.train.Checkpoint`` of the masks; attach it to what is saved.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        followers: Sequence[Sequence[Kernel]] = (),
        *,
        with_biases: bool = False,
    ):
        self.kernels = list(kernels)
        self.followers = [list(each) for each in followers] or [[] for _ in self.kernels]
        if len(self.followers) != len(self.kernels):
            raise ValueError(
                f"followers has one list for each of the {len(self.kernels)} kernels. "
                f"Received: {len(self.followers)}."
            )
        # Of the kernels that have one.
        self._biases = [k for k in self.kernels if with_biases and k.bias is not None]
        self._constrained = [k.variable for k in self.kernels] + [k.bias for k in self._biases]
        self.new = not all(
            isinstance(each.constraint, _MaskConstraint) for each in self._constrained
        )
        self._masks = [_put_in_force(k.variable, k.shape, k.name) for k in self.kernels]
        self._bias_masks = {
            k.name: _put_in_force(k.bias, (k.outputs,), f"{k.name}/bias") for k in self._biases
        }
        self.checkpointable = tf.train.Checkpoint(masks=self._masks, biases=self._bias_masks)

    @property
    def variables(self) -> list[tf.Variable]:
        """The masks, those of biases too."""
        return [*self._masks, *self._bias_masks.values()]

    def numpy(self) -> list[Array]:
        """Returns the masks, float32, each shaped as its kernel."""
        return [read(mask) for mask in self._masks]

    def assign(self, masks: Sequence[Array]) -> None:
        """Replaces the masks and zeroes what they remove, in kernels and followers."""
        for kernel, mask, followers, new in zip(
            self.kernels, self._masks, self.followers, masks, strict=True
        ):
            write(mask, new)
            for each in (kernel, *followers):
                _mask(each.variable, new)
            if kernel.name in self._bias_masks:
                alive = np.asarray(kernel.matrix(new).any(axis=0), np.float32)
                write(self._bias_masks[kernel.name], alive)
                for each in (kernel, *followers):
                    _mask(each.bias, alive)

    def counts(self) -> tuple[list[int], list[int]]:
        """Returns how many weights each kernel has lost, and how many it has altogether."""
        masks = self.numpy()
        return [m.size - int(np.count_nonzero(m)) for m in masks], [m.size for m in masks]

    def sparsity(self) -> dict[str, float]:
        """Returns ``sparsity``, over all kernels, and ``sparsity/<kernel>`` for each."""
        zeros, sizes = self.counts()
        return {"sparsity": sum(zeros) / sum(sizes)} | {
            f"sparsity/{kernel.name}": zero / size
            for kernel, zero, size in zip(self.kernels, zeros, sizes, strict=True)
        }

    def remove(self) -> None:
        """Gives every kernel its own constraint back; zeros stay until something trains them."""
        for variable in self._constrained:
            constraint = variable.constraint
            if isinstance(constraint, _MaskConstraint):
                _set_constraint(variable, constraint.inner)


def zeros_kept(kernels: Sequence[Kernel], *, with_biases: bool = False) -> Masks:
    """Returns masks in force on some kernels, closed where these are zero; arguments as `Masks`."""
    masks = Masks(kernels, with_biases=with_biases)
    masks.assign([np.asarray(read(each.variable) != 0.0, np.float32) for each in kernels])
    return masks


def masks_of(kernels: Sequence[Kernel]) -> list[tf.Variable]:
    """Returns the masks that are in force on some kernels; those without one are left out."""
    return _masks_on([kernel.variable for kernel in kernels])


def bias_masks_of(kernels: Sequence[Kernel]) -> list[tf.Variable]:
    """Returns the masks that are in force on the biases of some kernels."""
    return _masks_on([kernel.bias for kernel in kernels if kernel.bias is not None])


def _masks_on(variables: Sequence[Any]) -> list[tf.Variable]:
    constraints = [variable.constraint for variable in variables]
    return [each.mask for each in constraints if isinstance(each, _MaskConstraint)]


class _MaskConstraint:
    """Multiplies by a mask, after the constraint that the kernel had before."""

    def __init__(self, mask: tf.Variable, inner: Any):
        self.mask, self.inner = mask, inner

    def __call__(self, value: tf.Tensor) -> tf.Tensor:
        value = value if self.inner is None else self.inner(value)
        return value * tf.cast(self.mask, value.dtype)


def _mask(variable: Any, mask: Array) -> None:
    value = read(variable)
    write(variable, value * mask.astype(value.dtype))


def _put_in_force(variable: Any, shape: tuple[int, ...], name: str) -> tf.Variable:
    """Returns the mask in force, so that a second `Masks` goes on with it, or else a new one."""
    inner = variable.constraint
    if isinstance(inner, _MaskConstraint):
        return inner.mask
    mask = tf.Variable(tf.ones(shape), trainable=False, name=f"{name}/mask")
    _set_constraint(variable, _MaskConstraint(mask, inner))
    return mask


def _set_constraint(variable: Any, constraint: Any) -> None:
    """Sets a constraint on a variable that exists already.

    TensorFlow takes a constraint at construction only; ``_constraint`` is its private name in 2.16
    to 2.21. Mixed precision wraps the variable in another, whose inner one the optimizer asks.
    """
    getattr(variable, "_variable", variable)._constraint = constraint
    if variable.constraint is not constraint:
        raise RuntimeError(
            f"This TensorFlow ({tf.__version__}) does not let the constraint of "
            f"{variable.name!r} be set; please report it."
        )
