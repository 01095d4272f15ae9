"""Closing gates: which of a model's gates go by a criterion, and how that is put into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tfdrlprune._tf import tf, write

import numpy as np

from tfdrlprune.pruning.activity import measure
from tfdrlprune.pruning.experience import Experience, check_takes_observations, visit_of
from tfdrlprune.pruning.gradients import GradientSums
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.specs import Array
from tfdrlprune.structure import scores
from tfdrlprune.structure.calls import is_functional
from tfdrlprune.structure.gated_recurrence import gates_of
from tfdrlprune.structure.gates import LearntGate, is_gate
from tfdrlprune.structure.graph import Graph, Group, groups_of
from tfdrlprune.structure.selection import select

CRITERIA = ("l1", "l2", "mean_magnitude", "taylor", "activation", "gate")
# Observations that activations are measured on.
_OBSERVATIONS = 1_000


@dataclass(frozen=True)
class Closing:
    """How the units that are closed are chosen.

    Attributes:
        criterion: one of `CRITERIA`: a score of `structure.scores`, or "gate", what a trained gate
            multiplies by; empty for that where all gates are trained, else "l1".
        aggregate: of a unit's slices; see `structure.scores`.
        share, of, multiple, least: see `structure.selection.select`.
        batches: that gradients are taken on.
    """

    criterion: str = ""
    aggregate: str = "mean"
    share: str = "layer"
    of: str = "units"
    multiple: int = 1
    least: int = 1
    batches: int = 8


class Gates:
    """The gates of one functional model.

    Args:
        model: functional, with gates as `gated` puts them in.
        network: that the model acts in; it is what experience calls.
        followers: models of the same build whose gates are set with these, such as a target's.
        experience: observations and gradients; None where there are none.

    Raises:
        ValueError: a group has no unit that may go, or the model is nested.

    Attributes:
        groups: those that have a gate, by name; with the gate.
    """

    def __init__(
        self,
        model: Any,
        network: Any = None,
        followers: Sequence[Any] = (),
        experience: Experience | None = None,
    ):
        self._graph = groups_of(model)
        self._network = model if network is None else network
        self._experience = experience
        self.groups: dict[str, tuple[Group, Any]] = {}
        for gate in gates_of(self._graph.model).values():
            group = _group_of(self._graph, gate)
            if group is not None:
                self.groups[group.name] = (group, gate)
        theirs = [gates_of(each) for each in followers]
        self._followers = [[each[gate.name] for each in theirs] for _, gate in self._pairs()]
        # Groups that have no gate keep all of their units.
        self._gated = replace(self._graph, groups=tuple(group for group, _ in self._pairs()))

    @property
    def trained(self) -> bool:
        """Whether all gates are trained."""
        return all(isinstance(gate, LearntGate) for _, gate in self._pairs())

    def close(self, sparsity: float, closing: Closing) -> None:
        """Sets the gates anew: closed are the units that go at a sparsity, and trained zeros."""
        if not closing.criterion:
            closing = replace(closing, criterion="gate" if self.trained else "l1")
        chosen = select(
            self._gated,
            self._scores(closing),
            sparsity,
            share=closing.share,
            of=closing.of,
            multiple=closing.multiple,
            least=closing.least,
        )
        for index, (group, gate) in enumerate(self._pairs()):
            keep = np.ones(len(group.units), bool)
            keep[chosen.get(group.name, [])] = False
            if isinstance(gate, LearntGate):
                keep &= _kept_zeros(group, gate, closing.least)
            for each in (gate, *self._followers[index]):
                each.set_open(keep)

    def shrink(self, factor: float) -> None:
        """Sets what trained gates lose at a step to a factor of what they were built with."""
        for _, gate in self._pairs():
            if isinstance(gate, LearntGate):
                write(gate.shrinkage, np.float32(factor * gate.get_config()["shrinkage"]))

    def open_units(self) -> dict[str, tuple[int, int]]:
        """Returns how many units of each group put out something, and how many there are."""
        return {
            group.name: (int(np.count_nonzero(gate.values())), len(group.units))
            for group, gate in self._pairs()
        }

    def closed(self) -> Array:
        """Returns the numbers, in the graph, of the units whose gate is 0."""
        found = [group.units[gate.values() == 0] for group, gate in self._pairs()]
        return np.concatenate([np.array([], int), *found])

    def parameters(self) -> tuple[int, int]:
        """Returns how many parameters are left without the closed units, and how many there are."""
        gates = [weight for _, gate in self._pairs() for weight in gate.weights]
        own = sum(int(tf.size(weight)) for weight in gates)
        of_closed = sum(
            int((gate.values() == 0).sum()) * sum(weight.shape.rank for weight in gate.weights)
            for _, gate in self._pairs()
        )
        left = self._graph.parameters(self.closed()) - (own - of_closed)
        return left, self._graph.parameters() - own

    def _pairs(self) -> list[tuple[Group, Any]]:
        return list(self.groups.values())

    def _scores(self, closing: Closing) -> Mapping[str, Array]:
        if closing.criterion == "gate":
            return {group.name: np.abs(gate.values()) for group, gate in self._pairs()}
        if closing.criterion == "taylor":
            return scores.taylor(self._gated, self._gradients(closing.batches), closing.aggregate)
        if closing.criterion == "activation":
            return scores.activation(self._gated, self._activations(), closing.aggregate)
        return _OF_WEIGHTS[closing.criterion](self._gated, closing.aggregate)

    def _gradients(self, batches: int) -> dict[str, list[Array | None]]:
        kernels = find_kernels(self._graph.model)
        sums = GradientSums(kernels)
        self._experienced("taylor").record_gradients(sums.record, batches)
        means = dict(zip([id(k.variable) for k in kernels], sums.means()[0], strict=True))
        return {
            layer.name: [means.get(id(variable)) for variable in layer.weights]
            for layer in self._graph.layers()
        }

    def _activations(self) -> dict[str, Array]:
        experience = self._experienced("activation")
        check_takes_observations(experience, [self._network])
        names = {name for group, _ in self._pairs() for name in group.layers}
        kernels = [
            kernel
            for kernel in find_kernels(self._graph.model)
            # Of a recurrent layer the kernel is the cell's, and the layer its owner.
            if kernel.owner.name in names and kernel.attribute in ("kernel", "pointwise_kernel")
        ]
        found = measure(kernels, visit_of(experience, self._network, _OBSERVATIONS))
        return {k.owner.name: each.mean[None] for k, each in zip(kernels, found, strict=True)}

    def _experienced(self, criterion: str) -> Experience:
        if self._experience is None or not self._experience.has_data():
            raise ValueError(
                f"criterion={criterion!r} needs data: give StructuralPruningCallback(..., "
                "data=(x, y)), or choose by criterion='l1'."
            )
        return self._experience


def functional_with_gates(module: Any) -> list[Any]:
    """Returns the functional models in a network that have gates, in a fixed order.

    Raises:
        ValueError: there are gates outside of one.
    """
    inside = [each for each in (module, *module.submodules) if _has_gates(each)]
    known = {id(gate) for model in inside for gate in gates_of(model).values()}
    for each in (module, *module.submodules):
        if is_gate(each) and id(each) not in known and each.built:
            raise ValueError(
                f"The gate {each.name} is in no functional Keras model, so what goes with its "
                "units is not known. Put gates in by structure.gating.gated, and make an agent of "
                "the policy by tp.agents.dqn(env, policy=policy), or c51, ppo, sac or td3."
            )
    return inside


def _has_gates(module: Any) -> bool:
    return is_functional(module) and bool(gates_of(module))


def _group_of(graph: Graph, gate: Any) -> Group | None:
    """Returns the group whose units a gate follows, one for one; None where none may go."""
    layers = {layer.name: layer for layer in graph.layers()}
    axis = next(a for a in graph.axes if layers[a.layer].weights[a.index] is gate.gate)
    for group in graph.groups:
        if np.array_equal(group.units, axis.units):
            return group if group.free.any() else None
    raise ValueError(
        f"The gate {gate.name} does not stand behind all units of one group, in their order. "
        "structure.gating.gated puts gates where they can close units."
    )


def _kept_zeros(group: Group, gate: LearntGate, least: int) -> Array:
    """Returns [units]: false for trained gates that are 0, which close for good, or not free."""
    values = gate.values()
    keep = (values != 0) | ~group.free
    missing = least - int(keep.sum())
    if missing > 0:
        keep[np.flatnonzero(~keep)[:missing]] = True
    return np.asarray(keep)


_OF_WEIGHTS: dict[str, Callable[[Graph, str], dict[str, Array]]] = {
    "l1": scores.l1,
    "l2": scores.l2,
    "mean_magnitude": scores.mean_magnitude,
}
