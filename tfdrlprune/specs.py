"""What a policy takes and gives: array specs, their nesting, and the head that makes the action.

NumPy only, so that the runtime on a robot and the training side share one description; it is also
what ``policy.json`` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.choices import Choices

Array = NDArray[Any]
Bound: TypeAlias = float | int | tuple[float, ...] | None


@dataclass(frozen=True)
class ArraySpec:
    """One array: its name, shape without the batch axis, dtype and inclusive bounds.

    Attributes:
        name: unique within its nest; for nested observations the path, joined by ``/``.
        shape: sizes of the axes, without batch.
        dtype: NumPy name of the dtype, such as ``"float32"``.
        low: lower bound, one number for all elements or one for each in C order; None if unbounded.
        high: upper bound, likewise.

    Example:
        >>> ArraySpec("action", (2,), "float32", low=-1.0, high=(1.0, 2.0)).to_json()["high"]
        [1.0, 2.0]
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: Bound = None
    high: Bound = None

    def choices(self) -> Choices:
        """Returns how many values each number has: what an argmax head chooses from.

        Raises:
            ValueError: they are no integers between bounds.
        """
        if np.dtype(self.dtype).kind not in "iu" or self.low is None or self.high is None:
            raise ValueError(
                "An argmax head gives integers between bounds, each the best of its own scores. "
                f"Received the action: {self}."
            )
        size = int(np.prod(self.shape, dtype=int))
        counts = np.broadcast_to(np.subtract(self.high, self.low) + 1, size)
        if not size or counts.min() < 1:
            raise ValueError(
                "An argmax head chooses from at least one value for each number. Received the "
                f"action: {self}."
            )
        return Choices(tuple(int(count) for count in counts))

    def to_json(self) -> dict[str, Any]:
        """Returns the spec as JSON values."""

        def bound(value: Bound) -> Any:
            return list(value) if isinstance(value, tuple) else value

        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": bound(self.low),
            "high": bound(self.high),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ArraySpec:
        """Returns the spec that `to_json` wrote; raises KeyError or TypeError on anything else."""

        def bound(item: Any) -> Bound:
            return tuple(item) if isinstance(item, list) else item

        return ArraySpec(
            name=str(value["name"]),
            shape=tuple(int(size) for size in value["shape"]),
            dtype=np.dtype(value["dtype"]).name,
            low=bound(value["low"]),
            high=bound(value["high"]),
        )


# A nest is an ArraySpec, a dict of nests by key, or a tuple of nests.
Nest: TypeAlias = "ArraySpec | dict[str, Nest] | tuple[Nest, ...]"


def flatten(nest: Nest) -> list[ArraySpec]:
    """Returns the leaves of a nest, in its own order."""
    if isinstance(nest, ArraySpec):
        return [nest]
    children = nest.values() if isinstance(nest, dict) else nest
    return [leaf for child in children for leaf in flatten(child)]


def flatten_like(nest: Nest, value: Any) -> list[Any]:
    """Returns the leaves of ``value`` in the order of ``flatten(nest)``.

    Raises:
        ValueError: ``value`` is not nested as ``nest`` is; says where.
    """

    def walk(node: Nest, item: Any, path: str) -> list[Any]:
        where = f" at {path!r}" if path else ""
        if isinstance(node, ArraySpec):
            return [item]
        if isinstance(node, dict):
            if not isinstance(item, Mapping) or set(item) != set(node):
                got = sorted(item) if isinstance(item, Mapping) else type(item).__name__
                raise ValueError(
                    f"The observation{where} is a dict with the keys {sorted(node)}. "
                    f"Received: {got}."
                )
            return [leaf for key in node for leaf in walk(node[key], item[key], f"{path}/{key}")]
        if not isinstance(item, (tuple, list)) or len(item) != len(node):
            raise ValueError(
                f"The observation{where} is a tuple of {len(node)} parts. "
                f"Received: {type(item).__name__}."
            )
        return [
            leaf
            for index, (child, part) in enumerate(zip(node, item, strict=True))
            for leaf in walk(child, part, f"{path}/{index}")
        ]

    return walk(nest, value, "")


def pack_like(nest: Nest, leaves: list[Any]) -> Any:
    """Returns ``leaves``, ordered as ``flatten(nest)``, nested as ``nest``."""
    remaining = iter(leaves)

    def build(node: Nest) -> Any:
        if isinstance(node, ArraySpec):
            return next(remaining)
        if isinstance(node, dict):
            return {key: build(child) for key, child in node.items()}
        return tuple(build(child) for child in node)

    return build(nest)


def map_nest(function: Callable[[ArraySpec], Any], nest: Nest) -> Any:
    """Returns the nest with every leaf replaced by ``function(leaf)``."""
    return pack_like(nest, [function(leaf) for leaf in flatten(nest)])


def nest_to_json(nest: Nest) -> Any:
    """Returns a nest as JSON: a leaf is an object, a dict ``{"dict": ...}``, a tuple a list."""
    if isinstance(nest, ArraySpec):
        return nest.to_json()
    if isinstance(nest, dict):
        return {"dict": {key: nest_to_json(child) for key, child in nest.items()}}
    return [nest_to_json(child) for child in nest]


def nest_from_json(value: Any) -> Nest:
    """Returns the nest that `nest_to_json` wrote."""
    if isinstance(value, list):
        return tuple(nest_from_json(child) for child in value)
    if "dict" in value:
        return {str(key): nest_from_json(child) for key, child in value["dict"].items()}
    return ArraySpec.from_json(value)


def compact(values: Any) -> float | tuple[float, ...]:
    """Returns numbers as floats in C order: as one where all are the same."""
    items = [float(value) for value in np.ravel(values)]
    return items[0] if all(item == items[0] for item in items) else tuple(items)


@dataclass(frozen=True)
class Head:
    """How the last layer's outputs become the action.

    ``argmax``: the outputs are scores (Q-values or logits); the action is the index of the largest
    plus ``offset``. The scores for an action of several numbers stand behind each other in C order,
    as many for each as it has values, and each number is the best of its own. ``affine``: the
    outputs are a mean; the action is ``mean * scale + offset``, then clipped to the action's bounds
    where it has any. ``tanh``: the same with ``tanh(mean)``.

    Attributes:
        kind: ``"argmax"``, ``"affine"`` or ``"tanh"``.
        scale: one number, or one for each action dimension.
        offset: likewise; for argmax the smallest value of each number.

    Example:
        >>> scores = np.array([[0.5, 2.0, 1.0]])
        >>> Head("argmax").action(scores, ArraySpec("action", (), "int64", 0, 2))
        array([1])
    """

    kind: str
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("argmax", "affine", "tanh"):
            raise ValueError(
                f"A head's kind is 'argmax', 'affine' or 'tanh'. Received: kind={self.kind!r}."
            )

    @staticmethod
    def choosing(action: ArraySpec) -> Head:
        """Returns the argmax head of an action, which counts from the action's lower bound."""
        return Head("argmax", offset=compact(0.0 if action.low is None else action.low))

    def to_json(self) -> dict[str, Any]:
        """Returns the head as JSON values."""

        def plain(value: float | tuple[float, ...]) -> Any:
            return list(value) if isinstance(value, tuple) else value

        return {"kind": self.kind, "scale": plain(self.scale), "offset": plain(self.offset)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Head:
        """Returns the head that `to_json` wrote."""

        def plain(item: Any) -> float | tuple[float, ...]:
            return tuple(float(x) for x in item) if isinstance(item, list) else float(item)

        return Head(str(value["kind"]), plain(value["scale"]), plain(value["offset"]))

    def action(self, outputs: Array, spec: ArraySpec) -> Array:
        """Returns the actions for a batch of outputs, in NumPy: the reference for every other form.

        Args:
            outputs: float, [batch, outputs]: scores, or means in C order of the action's shape.
            spec: the action's spec.

        Returns:
            [batch, *spec.shape] in ``spec.dtype``.
        """
        dtype = np.dtype(spec.dtype)
        if self.kind == "argmax":
            chosen = spec.choices().best(outputs) + np.asarray(self.offset).astype(np.int64)
            return np.asarray(chosen, dtype).reshape((-1, *spec.shape))
        mean = np.tanh(outputs) if self.kind == "tanh" else outputs
        action: Array = mean * np.asarray(self.scale, np.float32) + np.asarray(
            self.offset, np.float32
        )
        if spec.low is not None or spec.high is not None:
            action = np.clip(action, spec.low, spec.high)
        return np.asarray(action, dtype).reshape((-1, *spec.shape))


def output_count(head: Head, action: ArraySpec) -> int:
    """Returns how many outputs a network needs for this head and action.

    Raises:
        ValueError: an argmax head on an action that is no integers between bounds, or with offsets
            that are not one for each number.
    """
    if head.kind == "argmax":
        choices = action.choices()
        if np.size(head.offset) not in (1, len(choices.counts)):
            raise ValueError(
                "An argmax head has one offset, or one for each number of its action. Received: "
                f"offset={head.offset} for {len(choices.counts)}. Use Head.choosing(action)."
            )
        return choices.total
    return int(np.prod(action.shape, dtype=int))
