"""TF-Agents' specs as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfdrlprune.specs import ArraySpec, Bound, Nest

# TF-Agents has no unbounded spec inside a bounded one: it writes infinity as the largest float32.
_LARGEST = float(np.finfo(np.float32).max)


def array_spec(spec: Any, name: str) -> ArraySpec:
    """Returns a TF-Agents tensor or array spec as an `ArraySpec` of the given name."""
    dtype = np.dtype(getattr(spec.dtype, "as_numpy_dtype", spec.dtype))
    shape = tuple(int(size) for size in spec.shape)
    return ArraySpec(
        name,
        shape,
        dtype.name,
        _bound(getattr(spec, "minimum", None), shape),
        _bound(getattr(spec, "maximum", None), shape),
    )


def observation_nest(spec: Any) -> Nest:
    """Returns a nest of TF-Agents specs as ours, its leaves named by their paths.

    Dicts are sorted by key, as ``tf.nest`` flattens them. A bare leaf is called ``observation``.
    """

    def walk(node: Any, path: tuple[str, ...]) -> Nest:
        if isinstance(node, Mapping):
            return {str(key): walk(node[key], (*path, str(key))) for key in sorted(node)}
        if isinstance(node, (tuple, list)):
            return tuple(walk(child, (*path, str(i))) for i, child in enumerate(node))
        return array_spec(node, "/".join(path) or "observation")

    return walk(spec, ())


def _bound(value: Any, shape: tuple[int, ...]) -> Bound:
    if value is None:
        return None
    array = np.asarray(value)
    wide = np.abs(array.astype(np.float64))
    if array.dtype.kind == "f" and (wide >= _LARGEST).all():
        return None
    # 0.4 and not 0.4000000059604645: the shortest number that is the same in the spec's dtype.
    items = [
        item.item() if array.dtype.kind != "f" else float(str(item))
        for item in np.broadcast_to(array, shape).ravel()
    ]
    if not items:
        return None
    return items[0] if all(item == items[0] for item in items) else tuple(items)
