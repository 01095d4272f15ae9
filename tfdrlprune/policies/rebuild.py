"""A chain of layers, from `steps.steps_of`, as a functional model with weights of its own."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import stable_name, tf

from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.policies.refusal import refusal
from tfdrlprune.policies.steps import Fork, Front, Recurrence
from tfdrlprune.policies.unrolling import Unrolled
from tfdrlprune.policies.wrappers import inner
from tfdrlprune.specs import Nest, flatten, pack_like

# How a layer starts and what holds it while it trains is no part of a trained policy, and some of
# it (TF1 initialisers, constraints that are masks) cannot be written to a file.
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")


def functional(
    steps: list[Any], observation: Nest, normalizers: list[ObservationNormalizer] | None = None
) -> Any:
    """Returns the steps as a functional model with its own copies of all weights.

    Args:
        steps: from `steps_of`; the last layer's output is the model's.
        observation: its leaves name the inputs.
        normalizers: one for each leaf, applied first.
    """
    inputs = [
        tf.keras.Input(spec.shape, name=spec.name, dtype=spec.dtype)
        for spec in flatten(observation)
    ]
    names = {spec.name for spec in flatten(observation)} | {"outputs"}

    def unique(name: str) -> str:
        candidates = (name if i == 0 else f"{name}_{i}" for i in range(sys.maxsize))
        chosen = next(candidate for candidate in candidates if candidate not in names)
        names.add(chosen)
        return chosen

    recurrence = Unrolled([step.cell for step in steps if isinstance(step, Recurrence)])
    names |= recurrence.names
    leaves = inputs
    if normalizers is not None:
        leaves = [layer(leaf) for layer, leaf in zip(normalizers, inputs, strict=True)]
    layers = [step for step in steps if isinstance(step, tf.keras.layers.Layer)]
    if not layers:
        raise ValueError("The network has no layer that could be rebuilt.")
    tensor = pack_like(observation, leaves)
    for step in steps:
        name = "outputs" if step is layers[-1] else None
        if isinstance(step, Recurrence):
            tensor = recurrence.step(step.cell, tensor, unique)
        else:
            tensor = _apply(step, tensor, unique, name)
    inputs, outputs = [*inputs, *recurrence.inputs], [tensor, *recurrence.outputs]
    return tf.keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name="policy",
    )


def _apply(step: Any, value: Any, unique: Callable[[str], str], name: str | None = None) -> Any:
    if isinstance(step, Front):
        return _apply_front(step, value, unique)
    if isinstance(step, Fork):
        return _apply_fork(step, value, unique)
    if isinstance(step, tf.keras.layers.Flatten) and name is None and value.shape.rank == 2:
        return value  # EncodingNetwork always has one; here it would only be a RESHAPE to run
    layer, weights = inner(step)
    copy = _fresh(layer, name or unique(stable_name(layer)))
    try:
        result = copy(value)
    except (TypeError, ValueError) as error:
        raise refusal(step, _first_line(error)) from error
    copy.set_weights(weights)
    return result


def _apply_fork(fork: Fork, value: Any, unique: Callable[[str], str]) -> list[Any]:
    """Returns the outputs of all branches; layers are made row by row, as their kernels come."""
    tensors = [value] * len(fork.branches)
    for row in zip(*fork.branches, strict=True):
        tensors = [_apply(s, tensor, unique) for s, tensor in zip(row, tensors, strict=True)]
    return tensors


def _apply_front(front: Front, value: Any, unique: Callable[[str], str]) -> Any:
    if front.branches:
        parts = []
        for part, chain in zip(_flatten_up_to(front.nest, value), front.branches, strict=True):
            tensor = part
            for step in chain:
                tensor = _apply(step, tensor, unique)
            parts.append(tensor)
        value = parts[0] if len(parts) == 1 and front.combiner is None else parts
    return value if front.combiner is None else _apply(front.combiner, value, unique)


def _flatten_up_to(shallow: Any, value: Any) -> list[Any]:
    """Returns the parts of ``value`` that stand at the leaves (None) of ``shallow``."""
    if shallow is None:
        return [value]
    if hasattr(shallow, "keys"):
        return [
            part for key in sorted(shallow) for part in _flatten_up_to(shallow[key], value[key])
        ]
    # A list of one layer may stand over a bare observation.
    items = value if isinstance(value, (tuple, list)) else [value]
    return [
        part
        for child, item in zip(shallow, items, strict=True)
        for part in _flatten_up_to(child, item)
    ]


def _fresh(layer: Any, name: str) -> Any:
    if isinstance(layer, tf.keras.layers.Lambda):
        raise refusal(layer, "a Lambda holds code, which no policy file may hold")
    if isinstance(layer, tf.keras.layers.RNN):
        raise refusal(layer, "it is recurrent")
    if getattr(layer, "_permanent", False):
        raise refusal(layer, "its dropout acts at random also when the policy is greedy")
    try:
        with warnings.catch_warnings():  # about initialisers, which are dropped
            warnings.simplefilter("ignore")
            config = layer.get_config()
        kept = {key: value for key, value in config.items() if not key.endswith(_TRAINING_ONLY)}
        return type(layer).from_config(kept | {"name": name})
    except Exception as error:  # layers of users raise what they like
        raise refusal(layer, _first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
