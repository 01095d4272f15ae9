"""Observations nested in dicts and tuples: stacked into a batch, and taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def map_leaves(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Returns ``function`` of the corresponding leaves, nested as ``first`` is."""
    if isinstance(first, Mapping):
        return {
            key: map_leaves(function, value, *(other[key] for other in others))
            for key, value in first.items()
        }
    if isinstance(first, tuple):
        return tuple(map_leaves(function, *parts) for parts in zip(first, *others, strict=True))
    return function(first, *others)


def leaves(value: Any) -> list[Any]:
    """Returns the leaves of a nested value."""
    found: list[Any] = []
    map_leaves(found.append, value)
    return found


def finite(value: Any) -> bool:
    """Tells whether a nested value holds neither NaN nor infinity."""
    return all(
        np.asarray(leaf).dtype.kind != "f" or bool(np.isfinite(leaf).all())
        for leaf in leaves(value)
    )


def stack(observations: Sequence[Any]) -> Any:
    """Returns single observations as one batch: a leading axis on every leaf."""
    return map_leaves(lambda *parts: np.stack(parts), *observations)


def rows(batch: Any) -> list[Any]:
    """Returns the single observations of a batch."""
    count = len(leaves(batch)[0])
    return [map_leaves(lambda leaf, index=index: leaf[index], batch) for index in range(count)]
