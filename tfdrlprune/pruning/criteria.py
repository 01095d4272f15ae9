"""Criteria: a score for every weight; the lowest scores are removed first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from tfdrlprune.specs import Array

# Values of all kernels -> scores of all, each shaped as its kernel. What needs more than weights
# is a function that holds it; see `scorer`.
Criterion = Callable[[Sequence[Array]], list[Array]]


def magnitude(kernels: Sequence[Array]) -> list[Array]:
    """Returns |w| for every weight (Han et al. 2015, "Learning both Weights and Connections").

    Example:
        >>> magnitude([np.array([[-3.0, 0.5]])])
        [array([[3. , 0.5]])]
    """
    return [np.abs(kernel) for kernel in kernels]


def random(kernels: Sequence[Array], seed: int) -> list[Array]:
    """Returns uniform random scores in [0, 1), the same ones for the same shapes and seed.

    So what a growing schedule has removed stays removed.
    """
    generator = np.random.default_rng(seed)
    return [generator.random(kernel.shape) for kernel in kernels]


def saliency(kernels: Sequence[Array], gradients: Sequence[Array]) -> list[Array]:
    """Returns |w * g|, where g is the mean gradient over batches.

    What removing a weight changes in the loss, to first order (Mozer & Smolensky 1989,
    "Skeletonization"). At initialisation it is SNIP's connection sensitivity up to a factor (Lee et
    al. 2019, "SNIP: Single-shot Network Pruning").

    Example:
        >>> saliency([np.array([2.0, -3.0])], [np.array([0.5, 1.0])])
        [array([1., 3.])]
    """
    return [np.abs(kernel * each) for kernel, each in zip(kernels, gradients, strict=True)]


def of_units(shape: tuple[int, ...], units: Array) -> Array:
    """Returns scores of a kernel's units as scores of its weights, each that of its unit.

    Args:
        shape: of the kernel as a matrix, [inputs, outputs]; outputs are the units, or several
            times the units side by side, as in recurrent kernels.
        units: [units].

    Example:
        >>> of_units((2, 4), np.array([0.5, 2.0]))
        array([[0.5, 2. , 0.5, 2. ],
               [0.5, 2. , 0.5, 2. ]])
    """
    return np.tile(units, (shape[0], shape[1] // len(units)))


def criterion(name: str, seed: int) -> Criterion:
    """Returns a criterion that needs weights only: "magnitude" or "random"."""
    criteria: dict[str, Criterion] = {
        "magnitude": magnitude,
        "random": functools.partial(random, seed=seed),
    }
    return criteria[name]
