"""Zeros and parameters, counted in the emitted file and held against the policy."""

from __future__ import annotations

from collections.abc import Collection

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.deployment.model_file import Operation
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import Array

_ROUNDS = 20


def dense_parameters(policy: Policy) -> int:
    """Returns how many trained numbers the policy's layers hold; normalisers count nothing."""
    return sum(
        int(layer.count_params())
        for layer in policy.model.layers
        if not isinstance(layer, ObservationNormalizer)
    )


def kernels_of(policy: Policy) -> dict[str, Array]:
    """Returns the kernels by layer name, laid out as TFLite stores them."""
    found = {}
    for layer in policy.model.layers:
        if isinstance(layer, tf.keras.layers.DepthwiseConv2D):
            kernel = layer.get_weights()[0]
            found[layer.name] = kernel.reshape((1, *kernel.shape[:2], -1))
        elif isinstance(layer, tf.keras.layers.Conv2DTranspose):
            found[layer.name] = layer.get_weights()[0].transpose(2, 0, 1, 3)
        elif isinstance(layer, (tf.keras.layers.Dense, tf.keras.layers.Conv2D)):
            found[layer.name] = np.moveaxis(layer.get_weights()[0], -1, 0)
        elif isinstance(layer, tf.keras.layers.Conv1D):
            found[layer.name] = layer.get_weights()[0].transpose(2, 0, 1)[:, None]
    return found


def zeros_kept(
    policy: Policy, operations: list[Operation], precision: str, prunable: Collection[str] | None
) -> tuple[int, int]:
    """Returns how many of the prunable kernels' weights are zero in the file, and how many exist.

    Each kernel of the policy is found in the file by its values. Rounding to a lower precision
    may make further zeros of small weights; it never unmakes one.

    Args:
        policy: that was converted.
        operations: of the file.
        precision: of the file.
        prunable: layers whose kernels count; None counts all.

    Raises:
        ValueError: a kernel is not in the file, or has lost zeros there; says which.
    """
    kernels = kernels_of(policy)
    unknown = sorted(set(prunable or ()) - set(kernels))
    if unknown:
        raise ValueError(f"No kernels of those names: {unknown}. The policy has {list(kernels)}.")
    stored = [op for op in operations if op.kernel is not None]
    zeros = total = 0
    for name, kernel in kernels.items():
        held = _stored_kernel(name, kernel, stored)
        kept = int(np.sum(held == 0))
        wanted = int(np.sum(kernel == 0))
        if kept < wanted or (precision == "float32" and kept != wanted):
            raise ValueError(
                f"The kernel of {name!r} has {wanted} zeros in the policy and {kept} in the "
                f"converted {precision} model, so it is not written."
            )
        if prunable is None or name in prunable:
            zeros, total = zeros + kept, total + kernel.size
    return zeros, total


def check_requested(zeros: int, total: int, requested: float, kernels: int) -> None:
    """Raises ValueError unless the requested fraction of weights is zero in the file.

    Each kernel's count may be rounded by one weight. More zeros are no loss: the policy may have
    had some of its own, and lower precisions round to further ones.
    """
    if requested * total - zeros > kernels:
        raise ValueError(
            f"Requested sparsity {requested:.4f}, but {zeros} of {total} weights in the converted "
            f"model are zero ({zeros / total:.4f}), so it is not written. Were masks stripped, or "
            "kernels trained on, after pruning?"
        )


def _stored_kernel(name: str, kernel: Array, stored: list[Operation]) -> Array:
    """Returns the stored kernel that stands for ``kernel``.

    Of the same size, with the same direction in every channel: what the converter folds into a
    kernel (BatchNormalization, a division by 255) scales channels, which keeps zeros. Factors of a
    normalisation before the layer scale its inputs, which is looked for where nothing else fits.
    """
    candidates = [
        op for op in stored if op.kernel_values is not None and op.kernel_values.size == kernel.size
    ]
    # The layer's own name decides between kernels that are alike.
    candidates.sort(key=lambda op: op.layer != name)
    for fits in (_alike, _alike_but_for_inputs):
        for op in candidates:
            if fits(kernel, np.asarray(op.kernel_values).reshape(kernel.shape)):
                return np.asarray(op.kernel)
    raise ValueError(
        f"The kernel of {name!r} {kernel.shape} is not in the converted model, so its zeros cannot "
        "be counted and it is not written."
    )


def _alike(first: Array, second: Array) -> bool:
    """Tells whether two kernels differ, channel by channel, in scale and rounding only."""
    rows = [_by_channel(kernel) for kernel in (first, second)]
    norms = [np.linalg.norm(matrix, axis=1) for matrix in rows]
    product = np.abs(np.sum(rows[0] * rows[1], axis=1))
    # int8 turns a row by less than a hundredth; another kernel's rows stand anyhow.
    return bool(np.all(product >= 0.99 * norms[0] * norms[1]))


def _alike_but_for_inputs(first: Array, second: Array) -> bool:
    """Tells whether two kernels differ in scales of channels and of inputs, and rounding, only."""
    given, found = _by_channel(first), _by_channel(second)
    channels = np.ones(len(given))
    for _ in range(_ROUNDS):  # least squares for one side's scales after the other's
        inputs = _scales(given * channels[:, None], found, axis=0)
        channels = _scales(given * inputs, found, axis=1)
    return _alike(given * inputs, found)


def _scales(given: Array, found: Array, axis: int) -> Array:
    weight = np.sum(given**2, axis=axis)
    return np.sum(given * found, axis=axis) / np.where(weight == 0, 1.0, weight)


def _by_channel(kernel: Array) -> Array:
    """Returns float64 [channels, inputs]."""
    # A depthwise kernel, and any with one output, has its channels last.
    moved = kernel if len(kernel) > 1 else np.moveaxis(kernel, -1, 0)
    return moved.astype(np.float64).reshape(len(moved), -1)
