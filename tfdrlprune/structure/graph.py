"""The dependency graph of a functional Keras model: what has to go when a unit goes.

A unit is an output channel of a Dense, convolutional or recurrent layer. Units are followed through
the model by giving each a number and handing the numbers from tensor to tensor; units whose outputs
are added or multiplied go together. The idea of grouping coupled channels is that of Fang et al.
2023, "DepGraph: Towards Any Structural Pruning".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.recipe.checks import did_you_mean
from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, calls_of, shape_of
from tfdrlprune.structure.identities import Identities
from tfdrlprune.structure.inlining import inlined
from tfdrlprune.structure.rules import rule_of
from tfdrlprune.structure.states import states_of, tie_states


@dataclass(frozen=True, eq=False)
class Axis:
    """Whose slices lie along one axis of a weight.

    Attributes:
        layer: its name.
        index: of the weight in ``layer.weights``.
        weight: its name, such as "kernel".
        axis: of the weight.
        role: "makes" the units; "follows" them, as a normalisation does; or "reads" them.
        units: [size of the axis], the unit of each slice.
    """

    layer: str
    index: int
    weight: str
    axis: int
    role: str
    units: Array


@dataclass(frozen=True, eq=False)
class Group:
    """Layers whose units go together, one unit of each at a time.

    Attributes:
        name: of its first layer.
        layers: whose units they are; several where units are added, multiplied or shared.
        units: [units], their numbers in the graph, ascending. An index into this array is what
            scores, selections and `shrink` mean by a unit.
        axes: everything that goes when units go; slices of other groups' units among them.
        reasons: [units], why a unit may not go; empty where it may.
    """

    name: str
    layers: tuple[str, ...]
    units: Array
    axes: tuple[Axis, ...]
    reasons: tuple[str, ...]

    @property
    def free(self) -> Array:
        """[units], whether each may go."""
        return np.array([not reason for reason in self.reasons], bool)

    def __str__(self) -> str:
        """One line for each weight: which axis, and what it is to the units."""
        lines = [f"{' + '.join(self.layers)}: {len(self.units)} units"]
        reasons = sorted({reason for reason in self.reasons if reason})
        lines += [f"  stay: {reason}" for reason in reasons]
        lines += [f"  {a.role} {a.layer}/{a.weight}, axis {a.axis}" for a in self.axes]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Graph:
    """What goes together in a model.

    Attributes:
        model: that the graph is of.
        groups: in the order of the model's layers.
        axes: of all weights that hold slices of units.
        reasons: why a unit may not go, by its number.
        made: the numbers of each layer's units, by the layer's name.
        calls: of the model's layers.
        states: for each input that is a recurrent state, the output that is its next value.
    """

    model: Any
    groups: tuple[Group, ...]
    axes: tuple[Axis, ...]
    reasons: dict[int, str]
    made: dict[str, Array]
    calls: tuple[Call, ...]
    states: dict[str, str]
    _tensors: dict[int, Array]
    _consumed: frozenset[int]
    _count: int

    def group(self, name: str) -> Group:
        """Returns the group that a layer belongs to.

        Raises:
            ValueError: no group has such a layer; says which have, and the nearest.
        """
        for group in self.groups:
            if name in group.layers:
                return group
        known = [layer for group in self.groups for layer in group.layers]
        raise ValueError(
            f"A group is named by a layer that makes its units. Received: {name!r}."
            f"{did_you_mean(name, known)} Layers: {', '.join(known) or 'none'}."
        )

    @property
    def count(self) -> int:
        """How many numbers there are; those of units that go together stand unused but one."""
        return self._count

    def units_in(self, tensor: Any) -> Array:
        """Returns the units in a symbolic tensor of the model, shaped as one sample of it."""
        return self._tensors[id(tensor)]

    def consumed(self, units: Array) -> Array:
        """Returns which units are outputs, or are read by a layer that is not known."""
        return np.isin(units, list(self._consumed))

    def shapes(self, removed: Array) -> dict[str, list[tuple[int, ...]]]:
        """Returns the shapes of each layer's weights, by its name, once units have gone.

        Args:
            removed: numbers of units.
        """
        found = {
            layer.name: [list(map(int, weight.shape)) for weight in layer.weights]
            for layer in self.layers()
        }
        for axis in self.axes:
            size = int((~np.isin(axis.units, removed)).sum())
            found[axis.layer][axis.index][axis.axis] = size
        return {name: [tuple(shape) for shape in shapes] for name, shapes in found.items()}

    def parameters(self, removed: Array | tuple[int, ...] = ()) -> int:
        """Returns how many numbers the weights hold once units have gone, fixed ones too."""
        shapes = self.shapes(np.asarray(removed, int))
        return sum(math.prod(shape) for each in shapes.values() for shape in each)

    def layers(self) -> Iterator[Any]:
        """Returns the model's layers, each once, in the order in which they are called."""
        return iter({id(call.layer): call.layer for call in self.calls}.values())

    def messages(self) -> tuple[str, ...]:
        """Returns a sentence for each group of which units may not go, and why."""
        found = []
        for group in self.groups:
            for reason in dict.fromkeys(reason for reason in group.reasons if reason):
                count = group.reasons.count(reason)
                found.append(f"{group.name}: {count} of {len(group.units)} units stay: {reason}.")
        return tuple(found)


def groups_of(model: Any, states: Mapping[str, str] | None = None) -> Graph:
    """Returns the dependency graph of a functional Keras model.

    Models inside it are laid open: their layers stand in `Graph.model` under both names, joined by
    ``_``, and with weights of their own.

    Args:
        model: functional.
        states: for each input that is a recurrent state, the name of the output that is its next
            value. Its units go together with that output's, and with the layer's; others of the
            model's inputs and outputs stay as they are. None for a policy's: inputs that have an
            output called ``next_`` and their name.

    Raises:
        TypeError: the model is not functional.
        ValueError: a state is no input or no output, or they have different shapes.

    Example:
        >>> inputs = tf.keras.Input((3,))
        >>> hidden = tf.keras.layers.Dense(4, name="hidden")(inputs)
        >>> graph = groups_of(tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="out")(hidden)))
        >>> print(graph.group("hidden"))
        hidden: 4 units
          makes hidden/kernel, axis 1
          makes hidden/bias, axis 0
          reads out/kernel, axis 0
        >>> graph.parameters(), graph.parameters(removed=graph.group("hidden").units[:1])
        (26, 20)
    """
    model = inlined(model)
    handed = states_of(model, states)
    calls = calls_of(model)
    book = Identities()
    tensors: dict[int, Array] = {}
    for call in calls:
        if call.is_input:
            traced = [_input(call, book, handed)]
        else:
            inputs = [book.rooted(tensors[id(tensor)]) for tensor in call.inputs]
            traced = rule_of(call.layer).trace(call, inputs, book)
        for tensor, units in zip(call.outputs, traced, strict=True):
            tensors[id(tensor)] = units
    for name, tensor in zip(model.output_names, tf.nest.flatten(model.outputs), strict=True):
        if name not in handed.values():
            book.consume(tensors[id(tensor)], "they are outputs of the model")
    tie_states(model, handed, tensors, book)
    roots, reasons = book.roots(), book.reasons()
    layers = {call.layer.name: call.layer for call in calls}
    axes = tuple(
        Axis(name, index, _name(layers[name].weights[index]), axis, role, roots[units])
        for (name, index, axis), (units, role) in book.axes.items()
    )
    made = {name: roots[units] for name, units in book.made.items()}
    return Graph(
        model,
        _groups(made, axes, reasons),
        axes,
        reasons,
        made,
        tuple(calls),
        handed,
        {key: roots[units] for key, units in tensors.items()},
        book.consumed(),
        len(roots),
    )


def _input(call: Call, book: Identities, states: Mapping[str, str]) -> Array:
    shape = shape_of(call.outputs[0])
    units = book.new(math.prod(shape)).reshape(shape)
    if call.layer.name not in states:
        book.fix(units, f"the model's input {call.layer.name} holds them")
    return units


def _groups(
    made: dict[str, Array], axes: tuple[Axis, ...], reasons: dict[int, str]
) -> tuple[Group, ...]:
    groups = []
    for names in _connected(made):
        units = np.unique(np.concatenate([made[name] for name in names]))
        own = tuple(axis for axis in axes if np.isin(axis.units, units).any())
        why = tuple(reasons.get(int(unit), "") for unit in units)
        groups.append(Group(names[0], tuple(names), units, own, why))
    return tuple(groups)


def _connected(made: dict[str, Array]) -> list[list[str]]:
    """Returns the names of layers that have units in common, directly or through others."""
    found: list[tuple[list[str], set[int]]] = []
    for name, array in made.items():
        names, units = [name], set(map(int, array))
        for other in [each for each in found if each[1] & units]:
            names, units = [*other[0], *names], units | other[1]
            found.remove(other)
        found.append((names, units))
    order = list(made)
    groups = [sorted(names, key=order.index) for names, _ in found]
    return sorted(groups, key=lambda names: order.index(names[0]))


def _name(variable: Any) -> str:
    return str(variable.name).split("/")[-1].split(":")[0]
