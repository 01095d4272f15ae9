"""Identities: a number for every unit, handed from tensor to tensor while a model is walked."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.specs import Array


class Identities:
    """Hands out numbers for units, and remembers which go together and which may not go.

    A tensor's identities are an array shaped as one sample of it: each number's unit. Along all
    axes but one they repeat, so that a unit can be cut out of the tensor; `square` sees to that.

    Attributes:
        made: numbers that each layer's outputs have, by its name; in the order of the model.
        axes: numbers along an axis of a weight, by (layer's name, index of the weight, axis), and
            what the weight is to these units: "makes", "follows" or "reads".
    """

    def __init__(self) -> None:
        self.made: dict[str, Array] = {}
        self.axes: dict[tuple[str, int, int], tuple[Array, str]] = {}
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._consumed: set[int] = set()

    def new(self, count: int) -> Array:
        """Returns as many numbers that stand for no unit yet."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def units_of(self, layer: Any, count: int) -> Array:
        """Returns the numbers of the units that a layer makes, the same at each of its calls."""
        if layer.name not in self.made:
            self.made[layer.name] = self.new(count)
        return self.made[layer.name]

    def tie(self, some: Array, others: Array) -> None:
        """Makes units go together, one of each at the same place."""
        pairs = np.stack([np.ravel(some), np.ravel(others)], axis=1)
        for one, other in np.unique(pairs, axis=0):
            a, b = self._root(int(one)), self._root(int(other))
            self._parents[max(a, b)] = min(a, b)

    def fix(self, units: Array, reason: str) -> None:
        """Forbids units to go; the first reason is remembered."""
        for unit in np.unique(units):
            self._reasons.setdefault(int(unit), reason)

    def consume(self, units: Array, reason: str) -> None:
        """Forbids units to go because something uses them whose weights are not known."""
        self.fix(units, reason)
        self._consumed.update(map(int, np.unique(units)))

    def weight(self, layer: Any, variable: Any, axis: int, units: Array, role: str) -> None:
        """Notes whose slices lie along an axis of a weight; a shared layer's inputs are tied."""
        index = next(i for i, each in enumerate(layer.weights) if each is variable)
        key = (layer.name, index, axis % len(variable.shape))
        if key in self.axes:
            self.tie(self.axes[key][0], units)
        else:
            self.axes[key] = (units, role)

    def along_last(self, units: Array, layer: Any) -> Array:
        """Returns the units along a tensor's last axis, [channels], for a layer that reads those.

        Where a channel holds several units, as pixels of an input do, they go together. Where that
        is because units lie along another axis, they may not go at all.
        """
        rows = units.reshape(-1, units.shape[-1])
        if (rows != rows[0]).any():
            self.fix(units, f"{layer.name} reads its units along another axis than the last")
            self.tie(rows, np.broadcast_to(rows[0], rows.shape))
        return rows[0]

    def square(self, units: Array) -> Array:
        """Returns the units; those that could not be cut out of the tensor alone go together."""
        if units.ndim < 2 or sum(_varies(units, axis) for axis in range(units.ndim)) < 2:
            return units
        rows = units.reshape(-1, units.shape[-1])
        self.tie(rows, np.broadcast_to(rows[0], rows.shape))
        return units

    def rooted(self, units: Array) -> Array:
        """Returns the units, each as the least of those that go together with it so far."""
        unique, places = np.unique(units, return_inverse=True)
        roots = np.array([self._root(int(unit)) for unit in unique], int)
        return roots[places].reshape(units.shape)

    def roots(self) -> Array:
        """Returns for every number the least of those that go together with it."""
        return np.array([self._root(unit) for unit in range(len(self._parents))], int)

    def reasons(self) -> dict[int, str]:
        """Returns why units may not go, by their root."""
        found: dict[int, str] = {}
        for unit, reason in self._reasons.items():
            found.setdefault(self._root(unit), reason)
        return found

    def consumed(self) -> frozenset[int]:
        """Returns the roots of units that `consume` was told of."""
        return frozenset(map(self._root, self._consumed))

    def _root(self, unit: int) -> int:
        while self._parents[unit] != unit:
            self._parents[unit] = self._parents[self._parents[unit]]
            unit = self._parents[unit]
        return unit


def _varies(units: Array, axis: int) -> bool:
    return bool((units != np.take(units, [0], axis=axis)).any())
