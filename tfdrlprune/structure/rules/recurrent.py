"""The rule of LSTM, GRU and SimpleRNN: a unit has columns in every gate, and reads all units."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, array_of, shape_of
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
        """Returns units without any weight or bias, which stay at zero if they begin there."""
        layer, cell = call.layer, call.layer.cell
        if float(layer.activation(np.zeros(1, np.float32))[0]) != 0:
            return [np.zeros(shape_of(tensor), bool) for tensor in call.outputs]
        columns = reads[0].strength.sum(axis=0) + reads[1].strength.sum(axis=0)
        if cell.bias is not None:
            columns = columns + np.abs(array_of(cell.bias)).reshape(-1, len(columns)).sum(axis=0)
        still = ~(columns.reshape(-1, layer.units) > 0).any(axis=0)
        for state in inputs[1:]:
            still = still & (state == 0)
        return [spread(still, tensor) for tensor in call.outputs]


def _gates(layer: Any) -> int:
    return int(layer.cell.kernel.shape[1]) // int(layer.units)


def _states(layer: Any) -> int:
    size = layer.cell.state_size
    return len(size) if isinstance(size, list | tuple) else 1
