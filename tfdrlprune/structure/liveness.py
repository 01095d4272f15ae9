"""Liveness: which units a model's outputs depend on, and which constants biases can stand for.

A unit is needed where a needed unit reads it through a weight that is not zero, unless what is read
there never changes and the reader's bias can take it over.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import shape_of
from tfdrlprune.structure.graph import Graph
from tfdrlprune.structure.probe import constant_between, random_inputs, unchanging, values_of
from tfdrlprune.structure.rules import Read, rule_of


@dataclass(frozen=True, eq=False)
class Use:
    """A read, and what is known of what it reads.

    Attributes:
        read: of a layer.
        constants: [inputs], what each input always is; NaN where it changes.
        folded: [inputs], those of the constants that the reader's bias can stand for; else NaN.
    """

    read: Read
    constants: Array
    folded: Array

    def needs(self, live: Array) -> Array:
        """Returns [inputs], which of them live units need, given which units are live."""
        strength: Array = self.read.strength[:, live[self.read.columns]]
        return (strength > 0).any(axis=1) & np.isnan(self.folded)


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a model's tensors.

    Attributes:
        uses: all reads of the model.
        constants: what a tensor always is, NaN where it changes, shaped as one sample of it; by
            the symbolic tensor's id.
    """

    uses: list[Use]
    constants: dict[int, Array]


def facts_of(graph: Graph, seed: int) -> Facts:
    """Returns all reads of a model, and the constants among its tensors.

    A constant has to follow from the weights, and to show on random inputs. States begin at zero,
    and those stay there that come out as zero as long as they go in as zero.

    Args:
        graph: of the model.
        seed: of the random inputs.
    """
    outputs = dict(zip(graph.model.output_names, graph.model.outputs, strict=True))
    inputs = dict(zip(graph.model.input_names, graph.model.inputs, strict=True))
    zero = {name: np.ones(shape_of(inputs[name]), bool) for name in graph.states}
    while True:
        facts = _facts_of(graph, seed, zero)
        after = {name: facts.constants[id(outputs[end])] for name, end in graph.states.items()}
        still = {name: zero[name] & (after[name] == 0) for name in zero}
        if all(np.array_equal(still[name], zero[name]) for name in zero):
            return facts
        zero = still


def _facts_of(graph: Graph, seed: int, zero: dict[str, Array]) -> Facts:
    """Returns the facts where some units of states are always zero."""
    tensors = {id(t): t for call in graph.calls for t in call.outputs}
    inputs = random_inputs(graph.model, 4, seed)
    for name, array in zip(graph.model.input_names, inputs, strict=True):
        if name in zero:
            array[:, zero[name]] = 0
    values = dict(zip(tensors, values_of(graph.model, list(tensors.values()), inputs), strict=True))
    known: dict[int, Array] = {}
    uses: list[Use] = []
    times = Counter(id(call.layer) for call in graph.calls)
    for call in graph.calls:
        if call.is_input:
            none = np.zeros(shape_of(call.outputs[0]), bool)
            known[id(call.outputs[0])] = np.where(zero.get(call.layer.name, none), 0.0, np.nan)
            continue
        rule = rule_of(call.layer)
        before = [known[id(tensor)] for tensor in call.inputs]
        if rule.why_not(call):
            reads, still = [], [np.zeros(shape_of(tensor), bool) for tensor in call.outputs]
        else:
            reads = rule.reads(
                call, *([graph.units_in(t) for t in each] for each in (call.inputs, call.outputs))
            )
            still = rule.constant(call, before, reads)
        for tensor, each in zip(call.outputs, still, strict=True):
            seen = unchanging(values[id(tensor)], each.shape)
            known[id(tensor)] = np.where(each, seen, np.nan)
        uses += [_use(read, known[id(read.tensor)], times[id(call.layer)] == 1) for read in reads]
    return Facts(uses, known)


def live_units(uses: list[Use], live: Array) -> Array:
    """Returns [units], which units are needed by those that are live from the beginning.

    Args:
        uses: of the model.
        live: [units], true for those that are needed anyhow.
    """
    live = live.copy()
    while True:
        needed = [use.read.rows[use.needs(live)] for use in uses]
        new = np.unique(np.concatenate([np.array([], int), *needed]))
        if live[new].all():
            return live
        live[new] = True


def _use(read: Read, values: Array, once: bool) -> Use:
    """Returns a read's use of a tensor with the given constants, shaped as one sample of it."""
    rows = values.reshape(-1, values.shape[-1])
    constants = constant_between(rows.min(axis=0), rows.max(axis=0))
    zero = (rows == 0).all(axis=0)
    # A shared layer reads other constants at its other calls, and has one bias.
    folded = np.where(zero | (read.folds and once), constants, np.nan)
    return Use(read, constants, folded)
