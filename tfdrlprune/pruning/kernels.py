"""Kernels: which variables of a model or a TF-Agents network can be pruned."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import stable_name, tf

import numpy as np

from tfdrlprune.pruning.output_layers import output_layers
from tfdrlprune.specs import Array

# Biases, normalisation and embeddings are left alone: few weights, large effect.
_ATTRIBUTES = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel")
_TRANSPOSED = (
    tf.keras.layers.Conv1DTranspose,
    tf.keras.layers.Conv2DTranspose,
    tf.keras.layers.Conv3DTranspose,
)


@dataclass(frozen=True)
class Kernel:
    """One prunable weight tensor: a name, unique in its model, and the variable.

    Attributes:
        name: the layer's; with ``/attribute`` for others than ``kernel``.
        variable: the weights.
        layer: name of the layer; by default that of the kernel.
        attribute: of the layer, that holds the variable.
        gates: how often each unit has a column: 4 in an LSTM, 3 in a GRU, else 1.
        network: index of the network, where several are pruned together.
        owner: the layer whose output is the units': for a recurrent cell, the layer around it.
        bias: of the units, last axis as many as the kernel has outputs; None where there is none.
        is_output: whether the units are the network's outputs.
        output_axes: of the outputs, negative: the last, but for depthwise and transposed
            convolutions and ``EinsumDense``.
    """

    name: str
    variable: Any
    layer: str = ""
    attribute: str = "kernel"
    gates: int = 1
    network: int = 0
    owner: Any = None
    bias: Any = None
    is_output: bool = False
    output_axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", self.layer or self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes, as Keras has them: [in, out], [height, width, in, out], ..."""
        return tuple(self.variable.shape)

    @property
    def outputs(self) -> int:
        """Columns of the kernel as a matrix [inputs, outputs].

        A convolution's window and input channels, in this order, are its inputs. A depthwise one
        has a filter for each input channel and multiplier.
        """
        return math.prod(self.shape[axis] for axis in self.output_axes)

    def matrix(self, array: Array) -> Array:
        """Returns an array that is shaped as the kernel as [inputs, outputs]."""
        return array.transpose(self.inputs_first).reshape(-1, self.outputs)

    def from_matrix(self, matrix: Array) -> Array:
        """Returns [inputs, outputs], or all its numbers in this order, shaped as the kernel."""
        order = self.inputs_first
        turned = matrix.reshape([self.shape[axis] for axis in order])
        return turned.transpose(np.argsort(order))

    @property
    def inputs_first(self) -> list[int]:
        """The axes in the order in which the kernel is a matrix [inputs, outputs]."""
        ends = [axis % len(self.shape) for axis in self.output_axes]
        return [axis for axis in range(len(self.shape)) if axis not in ends] + ends


def find_kernels(module: tf.Module) -> list[Kernel]:
    """Returns the kernels of all layers in ``module``, in the order in which they were made.

    In a Keras model a kernel has its layer's name. In a TF-Agents network, where names that Keras
    made up depend on what else the process has built, those are numbered within the network:
    ``dense``, ``dense_1``. Kernels other than ``kernel`` add their attribute:
    ``lstm_cell/recurrent_kernel``.
    """
    keep_names = isinstance(module, tf.keras.Model)
    found: list[Kernel] = []
    seen: set[int] = set()
    used: dict[str, int] = {}
    # Keras's RNN, and TF-Agents' DynamicUnroll.
    around = {id(layer.cell): layer for layer in module.submodules if hasattr(layer, "cell")}
    ends = {id(layer) for layer in output_layers(module)}
    for layer in layers_in_order(module):
        attributes = [name for name in _ATTRIBUTES if _is_new_matrix(layer, name, seen)]
        if not attributes:
            continue
        stem = layer.name if keep_names else stable_name(layer)
        count = used[stem] = used.get(stem, 0) + 1
        base = stem if count == 1 else f"{stem}_{count - 1}"
        for attribute in attributes:
            variable = getattr(layer, attribute)
            seen.add(id(variable))
            axes = _output_axes(layer, attribute)
            outputs = math.prod(variable.shape[axis] for axis in axes)
            suffix = "" if attribute == "kernel" else f"/{attribute}"
            found.append(
                Kernel(
                    base + suffix,
                    variable,
                    base,
                    attribute,
                    _gates(layer),
                    owner=around.get(id(layer), layer),
                    bias=_bias(layer, attribute, outputs),
                    is_output=bool(ends & {id(layer), id(around.get(id(layer)))}),
                    output_axes=axes,
                )
            )
    return found


def unprunable(module: tf.Module, kernels: Sequence[Kernel]) -> list[str]:
    """Returns the names of the trained weight tensors of rank 2 and more that are no kernels.

    Such as embeddings, or what a layer of the user's own calls otherwise than Keras does.
    """
    known = {id(kernel.variable) for kernel in kernels}
    others = {
        variable.name: None
        for variable in module.trainable_variables
        if variable.shape.rank >= 2 and id(variable) not in known and "bias" not in variable.name
    }
    return list(others)


def layers_in_order(module: tf.Module) -> list[tf.keras.layers.Layer]:
    """Returns the layers that own weights, ordered by their first weight in ``module.variables``.

    ``submodules`` walks attributes by name, which puts a network's last layer before its first.
    """
    layers = [
        each
        for each in (module, *module.submodules)
        # TF-Agents keeps the layers that it was given, and uses copies of them: those are unbuilt.
        if isinstance(each, tf.keras.layers.Layer) and each.built
    ]
    rank = {id(variable): index for index, variable in enumerate(module.variables)}

    def first_weight(layer: Any) -> int:
        return min((rank.get(id(v), len(rank)) for v in layer.variables), default=len(rank))

    def depth(layer: Any) -> int:
        return len(layer.variables)

    return sorted(layers, key=lambda layer: (first_weight(layer), depth(layer)))


def _is_new_matrix(layer: Any, attribute: str, seen: set[int]) -> bool:
    variable = getattr(layer, attribute, None)
    return (
        isinstance(variable, tf.Variable)
        and variable.shape.rank >= 2
        and 0 not in tuple(variable.shape)
        and id(variable) not in seen
    )


def _bias(layer: Any, attribute: str, outputs: int) -> Any:
    """Returns the bias that goes with a unit's column of a kernel; one kernel of a layer has it."""
    bias = getattr(layer, "bias", None)
    last = "pointwise_kernel" if hasattr(layer, "pointwise_kernel") else attribute
    if not isinstance(bias, tf.Variable) or not attribute == last != "recurrent_kernel":
        return None
    # That of an EinsumDense need not have one number for each unit; a GRU's has two rows of them.
    return bias if bias.shape[-1] == outputs else None


def _gates(layer: Any) -> int:
    recurrent = getattr(layer, "recurrent_kernel", None)
    return 1 if recurrent is None else int(recurrent.shape[-1] // recurrent.shape[-2])


def _output_axes(layer: Any, attribute: str) -> tuple[int, ...]:
    if isinstance(layer, _TRANSPOSED):
        return (-2,)
    if isinstance(layer, tf.keras.layers.EinsumDense):
        _, weights, outputs = re.split(",|->", layer.equation.replace(" ", ""))
        return tuple(i - len(weights) for i, axis in enumerate(weights) if axis in outputs)
    return (-2, -1) if attribute == "depthwise_kernel" else (-1,)
