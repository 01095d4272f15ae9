"""Which rule a layer follows."""

from __future__ import annotations

from typing import Any

from tfdrlprune.structure.gated_recurrence import is_gated_recurrence
from tfdrlprune.structure.gates import is_gate
from tfdrlprune.structure.rules import channelwise, joining, makers, recurrent
from tfdrlprune.structure.rules.base import OverUnits, Read, Rule

__all__ = ["Read", "Rule", "follows_units", "rule_of"]

_ELEMENTWISE = (
    *("Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Identity", "Rescaling"),
    *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"),
    *("SpatialDropout1D", "SpatialDropout2D", "Normalization"),
)
_PLACES = tuple(
    f"{kind}{rank}D"
    for kind in (
        *("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"),
        *("ZeroPadding", "Cropping", "UpSampling"),
    )
    for rank in (1, 2)
)
_OVER_UNITS = ("LayerNormalization", "GroupNormalization", "UnitNormalization", "Softmax")
# By name and module: a class of a user's own may be called Dense, or be made of Keras's.
_RULES: dict[str, Rule] = {
    "Dense": makers.Dense(),
    "Conv1D": makers.Maker(),
    "Conv2D": makers.Maker(),
    "SeparableConv1D": makers.Separable(),
    "SeparableConv2D": makers.Separable(),
    "Conv1DTranspose": makers.Transposed(),
    "Conv2DTranspose": makers.Transposed(),
    "DepthwiseConv1D": channelwise.Depthwise(),
    "DepthwiseConv2D": channelwise.Depthwise(),
    "LSTM": recurrent.Recurrent(),
    "GRU": recurrent.Recurrent(),
    "SimpleRNN": recurrent.Recurrent(),
    "BatchNormalization": channelwise.BatchNormalization(),
    "PReLU": channelwise.PRelu(),
    "Flatten": channelwise.Rearranged(),
    "Reshape": channelwise.Rearranged(),
    "Permute": channelwise.Rearranged(),
    "RepeatVector": channelwise.Rearranged(),
    "Concatenate": joining.Concatenate(),
    "Multiply": joining.Multiply(),
    **dict.fromkeys(("Add", "Subtract", "Average", "Maximum", "Minimum"), joining.Merge()),
    **dict.fromkeys(_OVER_UNITS, OverUnits()),
    **dict.fromkeys(_ELEMENTWISE, channelwise.Elementwise()),
    **dict.fromkeys(_PLACES, channelwise.Places()),
}

_GATED = channelwise.Gated()
_GATED_CELL = recurrent.GatedRecurrent()


def rule_of(layer: Any) -> Rule:
    """Returns the rule of a layer's kind.

    Of TimeDistributed only pooling is known here; `inlined` makes the others plain layers. A layer
    of a user's own whose class says ``elementwise = True`` takes each number on its own.
    """
    if is_gate(layer):
        return _GATED
    if is_gated_recurrence(layer):
        return _GATED_CELL
    if type(layer).__name__ == "TimeDistributed" and type(layer.layer).__name__ in _PLACES:
        return channelwise.PlacesOverTime()
    kind = type(layer)
    if kind.__module__.split(".")[0] in ("tf_keras", "keras"):
        return _RULES.get(kind.__name__, Rule())
    return channelwise.Elementwise() if getattr(kind, "elementwise", False) is True else Rule()


def follows_units(layer: Any) -> bool:
    """Tells whether a layer normalises or activates each channel by itself, at its place."""
    own = (channelwise.Elementwise, channelwise.BatchNormalization, channelwise.PRelu)
    return isinstance(rule_of(layer), own)
