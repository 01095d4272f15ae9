"""Kernels: which variables of a model or a TF-Agents network can be pruned, and their names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import stable_name, tf

# Biases, normalisation and embeddings are left alone: few weights, large effect.
_ATTRIBUTES = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel")


@dataclass(frozen=True)
class Kernel:
    """One prunable weight matrix: a name, unique in its model, and the variable."""

    name: str
    variable: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes, as Keras has them: [in, out], [height, width, in, out], ..."""
        return tuple(self.variable.shape)


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
            found.append(Kernel(base + suffix, variable))
    return found


def without(kernels: Sequence[Kernel], spare: Iterable[str]) -> list[Kernel]:
    """Returns the kernels whose names are not in ``spare``.

    Raises:
        ValueError: a name in ``spare`` is no kernel's; says which are, and the nearest.
    """
    names = [kernel.name for kernel in kernels]
    spare = [spare] if isinstance(spare, str) else list(spare)
    for name in spare:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"No kernel to spare is named {name!r}.{hint} Kernels: {', '.join(names)}."
            )
    return [kernel for kernel in kernels if kernel.name not in spare]


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
        isinstance(variable, tf.Variable) and variable.shape.rank >= 2 and id(variable) not in seen
    )
