"""Forwarding: a factor and a shift for each channel move on into the weights that read them.

What a gate or a batch normalisation does to a channel can be left to the layer that reads it, if
nothing between the two minds. The numbers are carried from tensor to tensor, and what cannot take
them names those that they are of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, array_of, calls_of, shape_of
from tfdrlprune.structure.rules import channelwise, joining, makers, recurrent, rule_of
from tfdrlprune.structure.rules.base import Rule

# Layers that do nothing when a model acts.
IDLE = (
    *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"),
    *("SpatialDropout1D", "SpatialDropout2D", "Identity"),
)


@dataclass(frozen=True, eq=False)
class Pending:
    """What a tensor lacks: ``scale * tensor + shift`` is what it was.

    Attributes:
        scale: shaped as one sample.
        shift: likewise.
        origins: names of the layers that it is of.
    """

    scale: Array
    shift: Array
    origins: frozenset[str] = field(default=frozenset())

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is lacking."""
        return bool((self.scale == 1).all() and (self.shift == 0).all())


class _Stuck(Exception):
    """What is pending cannot move on; its origins are the message's only argument."""


def forwarded(model: Any, affine: dict[str, tuple[Array, Array]]) -> dict[str, list[Array]]:
    """Returns the weights of the layers that take over what some layers do, by name.

    Args:
        model: functional.
        affine: factor and shift of each layer that is to go, [channels], by its name. Those that
            cannot go are taken out of it.

    Returns:
        Weights in the order of ``layer.weights``, with those that went left out of the model.
    """
    while affine:
        try:
            return _Walk(model, affine).weights
        except _Stuck as stuck:
            for name in stuck.args[0]:
                affine.pop(name)
    return {}


class _Walk:
    """One walk through a model; raises _Stuck with the names that cannot go.

    Attributes:
        weights: see `forwarded`.
    """

    def __init__(self, model: Any, affine: Mapping[str, tuple[Array, Array]]):
        self.weights: dict[str, list[Array]] = {}
        calls = calls_of(model)
        self._times = Counter(id(call.layer) for call in calls)
        self._affine = affine
        tensors: dict[int, Pending] = {}
        for call in calls:
            before = [tensors[id(tensor)] for tensor in call.inputs]
            for tensor, pending in zip(call.outputs, self._after(call, before), strict=True):
                tensors[id(tensor)] = pending
        for tensor in tf.nest.flatten(model.outputs):
            _need_nothing([tensors[id(tensor)]])

    def _after(self, call: Call, before: list[Pending]) -> list[Pending]:
        if call.layer.name in self._affine:
            scale, shift = self._affine[call.layer.name]
            (old,) = before
            names = old.origins | {call.layer.name}
            return [Pending(old.scale * scale, old.shift * scale + shift, names)]
        if all(pending.is_nothing for pending in before):
            return [_nothing(shape_of(tensor)) for tensor in call.outputs]
        rule = rule_of(call.layer)
        for kind, move in _MOVES.items():
            if isinstance(rule, kind) and not rule.why_not(call):
                return [move(call, before)]
        if isinstance(rule, _READERS) and not rule.why_not(call):
            self._absorb(call, before, rule)
        else:
            _need_nothing(before)
        return [_nothing(shape_of(tensor)) for tensor in call.outputs]

    def _absorb(self, call: Call, before: list[Pending], rule: Rule) -> None:
        """Puts what is pending into the weights of a layer that reads it."""
        pending, *states = before
        _need_nothing(states)
        channels = _by_channel(pending)
        layer = getattr(call.layer, "cell", call.layer)
        if self._times[id(call.layer)] > 1:
            raise _Stuck(pending.origins)
        weights = [np.asarray(each, np.float64) for each in call.layer.get_weights()]
        index = {id(variable): number for number, variable in enumerate(call.layer.weights)}
        if channels.shift.any():
            self._shift(call, channels, rule, weights, index)
        first = getattr(layer, "depthwise_kernel", None)
        kernel = layer.kernel if first is None else first
        axis = 0 if isinstance(rule, recurrent.Recurrent) else getattr(rule, "reads_axis", -2)
        shape = [1] * kernel.shape.rank
        shape[axis] = -1
        weights[index[id(kernel)]] *= channels.scale.reshape(shape)
        self.weights[call.layer.name] = [
            each.astype(variable.dtype.as_numpy_dtype)
            for each, variable in zip(weights, call.layer.weights, strict=True)
        ]

    def _shift(
        self,
        call: Call,
        channels: Pending,
        rule: Rule,
        weights: list[Array],
        index: dict[int, int],
    ) -> None:
        """Puts the shift into the bias, before the kernel is scaled."""
        units = [np.zeros(shape_of(tensor), int) for tensor in (*call.inputs, *call.outputs)]
        size = len(call.inputs)
        read = next(iter(rule.reads(call, units[:size], units[size:])), None)
        bias = getattr(call.layer, "cell", call.layer).bias
        if bias is None or read is None or not read.folds:
            raise _Stuck(channels.origins)
        own = weights[index[id(bias)]]
        # A GRU may have a second bias, of the recurrent kernel: the first is the input's.
        (own if own.ndim == 1 else own[0])[:] += channels.shift @ read.weights


def _need_nothing(pending: list[Pending]) -> None:
    for each in pending:
        if not each.is_nothing:
            raise _Stuck(each.origins)


def _nothing(shape: tuple[int, ...]) -> Pending:
    return Pending(np.ones(shape), np.zeros(shape))


def _origins(pending: list[Pending]) -> frozenset[str]:
    return frozenset().union(*(each.origins for each in pending))


def _by_channel(pending: Pending) -> Pending:
    """Returns [channels] of what is the same at all places; stuck where it is not."""
    scale, shift = (each.reshape(-1, each.shape[-1]) for each in (pending.scale, pending.shift))
    if (scale != scale[0]).any() or (shift != shift[0]).any():
        raise _Stuck(pending.origins)
    return Pending(scale[0], shift[0], pending.origins)


def _elementwise(call: Call, before: list[Pending]) -> Pending:
    (pending,) = before
    layer = call.layer
    if type(layer).__name__ in IDLE or is_linear(layer):
        return pending
    if not is_homogeneous(layer) or pending.shift.any() or (pending.scale < 0).any():
        raise _Stuck(pending.origins)
    return pending


def _places(call: Call, before: list[Pending]) -> Pending:
    channels = _by_channel(before[0])
    kind = type(getattr(call.layer, "layer", call.layer)).__name__
    shape = shape_of(call.outputs[0])
    if (kind.startswith("ZeroPadding") and channels.shift.any()) or (
        "MaxPooling" in kind and (channels.scale < 0).any()
    ):
        raise _Stuck(channels.origins)
    scale, shift = (np.broadcast_to(each, shape) for each in (channels.scale, channels.shift))
    return Pending(scale, shift, channels.origins)


def _rearranged(call: Call, before: list[Pending]) -> Pending:
    (pending,) = before
    places = channelwise.moved(
        call.layer, np.arange(pending.scale.size).reshape(pending.scale.shape)
    )
    return Pending(pending.scale.ravel()[places], pending.shift.ravel()[places], pending.origins)


def _concatenated(call: Call, before: list[Pending]) -> Pending:
    axis = joining.axis_of(call)
    scale, shift = (
        np.concatenate([getattr(each, name) for each in before], axis=axis)
        for name in ("scale", "shift")
    )
    return Pending(scale, shift, _origins(before))


def _multiplied(call: Call, before: list[Pending]) -> Pending:
    if any(each.shift.any() for each in before):
        raise _Stuck(_origins(before))
    shape = shape_of(call.outputs[0])
    scale = np.prod([np.broadcast_to(each.scale, shape) for each in before], axis=0)
    return Pending(scale, np.zeros(shape), _origins(before))


def _merged(call: Call, before: list[Pending]) -> Pending:
    shape, origins = shape_of(call.outputs[0]), _origins(before)
    scales, shifts = (
        [np.broadcast_to(getattr(each, name), shape) for each in before]
        for name in ("scale", "shift")
    )
    kind = type(call.layer).__name__
    if any((scale != scales[0]).any() for scale in scales):
        raise _Stuck(origins)
    if kind == "Add":
        shift = np.sum(shifts, axis=0)
    elif kind == "Subtract":
        shift = shifts[0] - shifts[1]
    elif kind == "Average":
        shift = np.mean(shifts, axis=0)
    else:  # Maximum, Minimum
        shift = shifts[0]
        if (scales[0] < 0).any() or any((each != shift).any() for each in shifts):
            raise _Stuck(origins)
    return Pending(scales[0], shift, origins)


_READERS = (makers.Maker, recurrent.Recurrent, channelwise.Depthwise)
_MOVES: dict[type[Rule], Callable[[Call, list[Pending]], Pending]] = {
    channelwise.Elementwise: _elementwise,
    channelwise.PRelu: _elementwise,
    channelwise.Places: _places,
    channelwise.Rearranged: _rearranged,
    joining.Concatenate: _concatenated,
    joining.Multiply: _multiplied,
    joining.Merge: _merged,
}


def is_linear(layer: Any) -> bool:
    """Tells whether a layer's activation, or the layer itself, is the identity."""
    own = getattr(layer, "activation", None)
    return own is tf.keras.activations.linear


def is_homogeneous(layer: Any) -> bool:
    """Tells whether a factor of 0 or more may as well stand before as behind an activation."""
    kind = type(layer).__name__
    if kind in ("LeakyReLU", "PReLU"):
        return True
    if kind == "ReLU":
        return layer.max_value is None and not layer.threshold
    known = (tf.keras.activations.linear, tf.keras.activations.relu)
    return any(getattr(layer, "activation", None) is each for each in known)


def normalisation(layer: Any) -> tuple[Array, Array]:
    """Returns factor and shift, [channels], of a batch normalisation that acts."""
    scale = 1 / np.sqrt(array_of(layer.moving_variance) + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * array_of(layer.gamma)
    shift = -array_of(layer.moving_mean) * scale
    return scale, shift if layer.beta is None else shift + array_of(layer.beta)
