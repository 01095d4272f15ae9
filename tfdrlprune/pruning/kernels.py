"""Kernels: which variables of a model or a TF-Agents network can be pruned, and their names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import stable_name, tf

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.pruning.output_layers import output_layers
from tfdrlprune.recipe import Selection
from tfdrlprune.recipe.checks import did_you_mean

Array = NDArray[Any]

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
        transposed: whether the outputs are the last axis but one, as in Conv2DTranspose.
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
    transposed: bool = False

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
        if self.transposed:
            return int(self.shape[-2])
        axes = 2 if self.attribute == "depthwise_kernel" else 1
        return math.prod(self.shape[-axes:])

    def matrix(self, array: Array) -> Array:
        """Returns an array that is shaped as the kernel as [inputs, outputs]."""
        array = np.swapaxes(array, -1, -2) if self.transposed else array
        return array.reshape(-1, self.outputs)

    def from_matrix(self, matrix: Array) -> Array:
        """Returns [inputs, outputs], or all its numbers in this order, shaped as the kernel."""
        if not self.transposed:
            return matrix.reshape(self.shape)
        swapped = (*self.shape[:-2], self.shape[-1], self.shape[-2])
        return np.swapaxes(matrix.reshape(swapped), -1, -2)


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
            suffix = "" if attribute == "kernel" else f"/{attribute}"
            found.append(
                Kernel(
                    base + suffix,
                    variable,
                    base,
                    attribute,
                    _gates(layer),
                    owner=around.get(id(layer), layer),
                    bias=_bias(layer, attribute),
                    is_output=bool(ends & {id(layer), id(around.get(id(layer)))}),
                    transposed=isinstance(layer, _TRANSPOSED),
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


def prunable(kernels: Sequence[Kernel], selection: Selection) -> list[Kernel]:
    """Returns the kernels that a selection may prune: those that it does not spare.

    With granularity "unit" or "layer" each network's last layer and its other output layers are
    left out too: their units are the network's outputs, such as one action's value each.

    Raises:
        ValueError: a name to spare is no kernel's.
    """
    chosen = without(kernels, selection.spare)
    if selection.granularity in ("unit", "layer"):
        last = {kernel.name for kernel in _end(kernels, "last")}
        chosen = [kernel for kernel in chosen if kernel.name not in last]
    return chosen


def without(kernels: Sequence[Kernel], spare: Iterable[str]) -> list[Kernel]:
    """Returns the kernels that ``spare`` does not name.

    Args:
        kernels: of one network or several.
        spare: names as `named` takes them.

    Raises:
        ValueError: a name in ``spare`` is no kernel's; says which are, and the nearest.
    """
    names = [spare] if isinstance(spare, str) else spare
    spared = {kernel.name for name in names for kernel in named(kernels, name, "to spare")}
    return [kernel for kernel in kernels if kernel.name not in spared]


def names_in(
    names: Iterable[str], kernels: Sequence[Kernel], everything: Sequence[Kernel], purpose: str
) -> list[str]:
    """Returns the names that stand for any of some kernels.

    Args:
        names: as `named` takes them.
        kernels: some of ``everything``.
        everything: among which every name must stand for some.
        purpose: what the names are for, for the message.

    Raises:
        ValueError: a name stands for none; says which names there are, and the nearest.
    """
    own = {kernel.name for kernel in kernels}
    return [
        name for name in names if own & {each.name for each in named(everything, name, purpose)}
    ]


def named(kernels: Sequence[Kernel], name: str, purpose: str) -> list[Kernel]:
    """Returns the kernels that a name stands for.

    Args:
        kernels: of one network or several.
        name: of a layer, for all its kernels; ``layer/attribute`` for one of them; ``"first"`` or
            ``"last"`` for the first or last layer of each network, unless a layer is called so.
        purpose: what the name is for, for the message.

    Raises:
        ValueError: it stands for none; says which names there are, and the nearest.
    """
    found = [k for k in kernels if name in (k.layer, k.name, f"{k.layer}/{k.attribute}")]
    if not found and name in ("first", "last"):
        found = _end(kernels, name)
    if not found:
        names = [kernel.name for kernel in kernels]
        raise ValueError(
            f"No kernel {purpose} is named {name!r}.{did_you_mean(name, names)} "
            f"Kernels: {', '.join(names)}."
        )
    return found


def _end(kernels: Sequence[Kernel], which: str) -> list[Kernel]:
    """Returns the kernels of each network's first layer, or of its last and all other outputs."""
    ordered = kernels if which == "last" else list(reversed(kernels))
    layers = {kernel.network: kernel.layer for kernel in ordered}
    return [
        kernel
        for kernel in kernels
        if kernel.layer == layers[kernel.network] or (which == "last" and kernel.is_output)
    ]


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


def _bias(layer: Any, attribute: str) -> Any:
    """Returns the bias that goes with a unit's column of a kernel; one kernel of a layer has it."""
    bias = getattr(layer, "bias", None)
    last = "pointwise_kernel" if hasattr(layer, "pointwise_kernel") else attribute
    has_it = isinstance(bias, tf.Variable) and attribute == last != "recurrent_kernel"
    return bias if has_it else None


def _gates(layer: Any) -> int:
    recurrent = getattr(layer, "recurrent_kernel", None)
    return 1 if recurrent is None else int(recurrent.shape[-1] // recurrent.shape[-2])
