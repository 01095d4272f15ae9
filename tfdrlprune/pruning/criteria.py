"""Criteria: a score for every weight; the lowest scores are removed first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
# Values of all kernels -> scores of all, each shaped as its kernel. What needs more than weights
# is a function that holds it.
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


def criterion(name: str, seed: int) -> Criterion:
    """Returns the criterion of this name, one of ``recipe.selection.CRITERIA``."""
    criteria: dict[str, Criterion] = {
        "magnitude": magnitude,
        "random": functools.partial(random, seed=seed),
    }
    return criteria[name]
