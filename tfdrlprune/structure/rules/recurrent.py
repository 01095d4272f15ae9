"""The rule of LSTM, GRU and SimpleRNN: a unit has columns in every gate, and reads all units."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, array_of, shape_of
from tfdrlprune.structure.gated_recurrence import candidate, why_no_zero
from tfdrlprune.structure.identities import Identities
from tfdrlprune.structure.rules.base import Read, Rule, mixing_activation, spread


class Recurrent(Rule):
    """Recurrent layers with a kernel, a recurrent kernel and gates side by side."""

    width = "units"

    def why_not(self, call: Call) -> str:
        """Returns why, for a state kept between batches, masks and unknown activations."""
        layer = call.layer
        if layer.stateful:
            return "it keeps its state between batches"
        if layer.time_major:
            return "its batch is not the first axis"
        if len(call.inputs) not in (1, 1 + _states(layer)):
            return "it takes other inputs than a sequence and a state"
        return mixing_activation(layer)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns new units, for the output and each state."""
        layer, cell = call.layer, call.layer.cell
        rows = book.along_last(inputs[0], layer)
        columns = book.units_of(layer, layer.units)
        for state in inputs[1:]:
            book.tie(state, columns)
        gated = np.tile(columns, _gates(layer))
        book.weight(layer, cell.kernel, 0, rows, "reads")
        book.weight(layer, cell.kernel, 1, gated, "makes")
        book.weight(layer, cell.recurrent_kernel, 0, columns, "reads")
        book.weight(layer, cell.recurrent_kernel, 1, gated, "makes")
        if cell.bias is not None:
            book.weight(layer, cell.bias, -1, gated, "makes")
        return [spread(columns, tensor) for tensor in call.outputs]

    def reads(self, call: Call, inputs: list[Array], outputs: list[Array]) -> list[Read]:
        """Returns the reads of the kernel, and of the recurrent one, whose units are its own."""
        layer, cell = call.layer, call.layer.cell
        rows = inputs[0].reshape(-1, inputs[0].shape[-1])[0]
        own = np.ravel(outputs[0])[: layer.units]
        gated = np.tile(own, _gates(layer))
        kernel, recurrent = array_of(cell.kernel), array_of(cell.recurrent_kernel)
        return [
            Read(layer, call.inputs[0], rows, gated, kernel, np.abs(kernel), True),
            # The state begins at zero, so that only a unit that stays there adds nothing.
            Read(layer, call.outputs[0], own, gated, recurrent, np.abs(recurrent), False),
        ]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns units to which no candidate adds anything; they stay at zero if they begin there.

        What keeps and what lets through, the other columns of a unit, is of no matter then.
        """
        layer = call.layer
        if why_no_zero(layer):
            return [np.zeros(shape_of(tensor), bool) for tensor in call.outputs]
        still = self.adds_nothing(layer, reads)
        for state in inputs[1:]:
            still = still & (state == 0)
        return [spread(still, tensor) for tensor in call.outputs]

    def adds_nothing(self, layer: Any, reads: list[Read]) -> Array:
        """Returns bool, [units], whose candidate's weights and biases are all zero."""
        columns = reads[0].strength.sum(axis=0) + reads[1].strength.sum(axis=0)
        if layer.cell.bias is not None:
            bias = np.abs(array_of(layer.cell.bias))
            columns = columns + bias.reshape(-1, len(columns)).sum(axis=0)
        return np.asarray(columns[candidate(layer)] == 0)


class GatedRecurrent(Recurrent):
    """The same layers with a gate for each unit in their cell."""

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns new units, whose gates go with them."""
        outputs = super().follow(call, inputs, book)
        columns = book.units_of(call.layer, call.layer.units)
        for variable in call.layer.gate.weights:
            if variable.shape.rank:
                book.weight(call.layer, variable, 0, columns, "follows")
        return outputs

    def adds_nothing(self, layer: Any, reads: list[Read]) -> Array:
        """Returns those, and those that are closed."""
        return super().adds_nothing(layer, reads) | (layer.gate.values() == 0)


def _gates(layer: Any) -> int:
    return int(layer.cell.kernel.shape[1]) // int(layer.units)


def _states(layer: Any) -> int:
    size = layer.cell.state_size
    return len(size) if isinstance(size, list | tuple) else 1
