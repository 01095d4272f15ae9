"""Criteria: a score for every weight; the lowest scores are removed first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Criterion = Callable[[Array], Array]


def magnitude(kernel: Array) -> Array:
    """Returns |w| for every weight (Han et al. 2015, "Learning both Weights and Connections").

    Example:
        >>> magnitude(np.array([[-3.0, 0.5]]))
        array([[3. , 0.5]])
    """
    return np.abs(kernel)


CRITERIA: dict[str, Criterion] = {"magnitude": magnitude}
