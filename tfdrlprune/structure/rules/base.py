"""The rule of a layer: whose units come out of it, and which of its outputs never change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, shape_of
from tfdrlprune.structure.identities import Identities

# Of one number at a time, so that a unit's output does not depend on the others'.
_ALONE = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "mish", "exponential"),
    *("tanh", "sigmoid", "hard_sigmoid", "softplus", "softsign", "swish", "silu"),
}


@dataclass(frozen=True, eq=False)
class Read:
    """How a layer takes up the units that come into it.

    Attributes:
        layer: that reads.
        tensor: what it reads, the units along its last axis.
        rows: [inputs], the unit of each.
        columns: [outputs], the unit that each output is for; with gates, several for one.
        weights: [inputs, outputs], what a constant input adds to the outputs, before activation.
        strength: [inputs, outputs], sums of absolute weights: 0 where nothing is read.
        folds: whether a constant input adds the same everywhere, so that a bias can stand for it.
    """

    layer: Any
    tensor: Any
    rows: Array
    columns: Array
    weights: Array
    strength: Array
    folds: bool


class Rule:
    """What is known of a kind of layer; this one knows nothing, and lets none of its units go."""

    # Name of the number of units in the layer's config; None where it has none.
    width: str | None = None

    def why_not(self, call: Call) -> str:
        """Returns why units are not followed through this layer, or nothing where they are."""
        return f"a {type(call.layer).__name__} is not known here"

    def trace(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns the identities of the outputs; notes ties, and whose the layer's weights are."""
        reason = self.why_not(call)
        if reason:
            return mixed(call, inputs, book, reason)
        return self.follow(call, inputs, book)

    def follow(self, call: Call, inputs: list[Array], book: Identities) -> list[Array]:
        """Returns what `trace` does, for a layer that is not refused."""
        raise NotImplementedError

    def reads(self, call: Call, inputs: list[Array], outputs: list[Array]) -> list[Read]:
        """Returns how the layer takes up units; empty where it only passes them on."""
        return []

    def constant(self, call: Call, inputs: list[Array], reads: list[Read]) -> list[Array]:
        """Returns which outputs are the same for every observation, as far as weights tell.

        Args:
            call: of the layer.
            inputs: shaped as the inputs' identities, what they always are; NaN where they change.
            reads: from `reads`.

        Returns:
            Booleans shaped as the outputs' identities.
        """
        return [np.zeros(shape_of(tensor), bool) for tensor in call.outputs]


class OverUnits(Rule):
    """A layer that takes sums over its units, such as LayerNormalization or Softmax.

    A unit that is closed still counts in the mean and the variance; one that is removed does not.
    """

    def why_not(self, call: Call) -> str:
        """Returns that."""
        return f"a {type(call.layer).__name__} takes sums over all of them, closed ones too"


def mixed(call: Call, inputs: list[Array], book: Identities, reason: str) -> list[Array]:
    """Returns fresh identities that may not go, and forbids the inputs' to go."""
    for units in inputs:
        book.consume(units, f"{call.layer.name} reads them, and {reason}")
    outputs = [book.new(int(np.prod(shape_of(t)))).reshape(shape_of(t)) for t in call.outputs]
    for units in outputs:
        book.fix(units, f"{call.layer.name} makes them, and {reason}")
    return outputs


def mixing_activation(layer: Any) -> str:
    """Returns why a layer's activation is more than a function of one number, or nothing."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return ""
    name = getattr(activation, "__name__", type(activation).__name__)
    own = getattr(tf.keras.activations, name, None)
    if name in _ALONE and activation is own:
        return ""
    return f"its activation {name} is not known to take each unit on its own"


def channels_first(layer: Any) -> str:
    """Returns why a layer's channels are out of place, or nothing."""
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return "its channels are not the last axis" if first else ""


def spread(units: Array, tensor: Any) -> Array:
    """Returns [channels] repeated at every place of a tensor."""
    return np.broadcast_to(units, shape_of(tensor))


def known(values: Array) -> Array:
    """Returns where values do not change: NaN stands for those that do."""
    return ~np.isnan(values)


def steady(values: Array) -> Array:
    """Returns [channels]: which channels do not change at any place."""
    return np.asarray(known(values).reshape(-1, values.shape[-1]).all(axis=0))
