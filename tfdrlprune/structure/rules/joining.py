"""Rules of layers that take several tensors: concatenation, sums and products."""

from __future__ import annotations

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, shape_of
from tfdrlprune.structure.identities import Identities
from tfdrlprune.structure.rules.base import Read, Rule, known


class Concatenate(Rule):
    """Concatenation: units lie side by side."""

    def why_not(self, call: Call) -> str:
        """Returns why, for the axis of the batch."""
        return "it joins batches" if axis_of(call) < 0 else ""

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the units of all inputs; off the last axis, they stand on top of each other."""
        return [book.square(np.concatenate(inputs, axis=axis_of(call)))]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns what comes in."""
        return [np.concatenate([known(each) for each in inputs], axis=axis_of(call))]


class Merge(Rule):
    """Sums, products, means and extremes: units at the same place go together."""

    def why_not(self, call: Call) -> str:
        """Returns why, for tensors of different ranks, which Keras aligns in its own way."""
        same = len({len(tensor.shape) for tensor in call.inputs}) == 1
        return "" if same else "its inputs have different ranks"

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the first input's units; one channel that meets many may not go."""
        channels = max(units.shape[-1] for units in inputs)
        shape = shape_of(call.outputs[0])
        wide = []
        for units in inputs:
            if units.shape[-1] < channels:
                book.fix(units, f"{call.layer.name} spreads it over all channels")
            else:
                wide.append(np.broadcast_to(units, shape))
        for units in wide[1:]:
            book.tie(wide[0], units)
        return [book.square(wide[0])]

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns where all inputs are constant."""
        shape = shape_of(call.outputs[0])
        return [np.all([np.broadcast_to(known(each), shape) for each in inputs], axis=0)]


class Multiply(Merge):
    """Products: a factor that is always zero is enough to know them."""

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns where all inputs are constant, or one is zero."""
        shape = shape_of(call.outputs[0])
        zero = np.any([np.broadcast_to(each == 0, shape) for each in inputs], axis=0)
        return [super().constant(call, inputs, reads)[0] | zero]


def axis_of(call: Call) -> int:
    """Returns the axis of one sample along which a layer joins its inputs."""
    axis = int(call.layer.axis)
    return (axis if axis >= 0 else axis + len(call.inputs[0].shape)) - 1
