"""Dense layers in a row, run in NumPy, and the proof that they give what the network gives.

A vector step of a small network is a few thousand multiplications, which NumPy does in 10 us; one
call of a compiled TensorFlow function takes 150 to 500.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import read, tf
from tfdrlprune._tf_agents import NORMALIZER_CLIP, NORMALIZER_EPSILON, normalizer_statistics

import numpy as np

from tfdrlprune.pruning.kernels import layers_in_order
from tfdrlprune.specs import Array

_log = logging.getLogger("tfdrlprune")
_PROBES = 64


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0, out=x)


def _sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "linear": lambda x: x,
}


class DenseChain:
    """Dense layers in a row, run in NumPy on copies of a network's weights.

    Args:
        network: whose weights are read by `refresh`.
        normalizer: TF-Agents' observation normaliser in front of it, or None.

    Raises:
        ValueError: the network has other layers than Dense, gates, or an unknown activation.
    """

    def __init__(self, network: Any, normalizer: Any = None):
        self._normalizer = normalizer
        if any(getattr(each, "unit_gate", False) for each in network.submodules):
            # All open, they could not be told from none, and later they close.
            raise ValueError("Its units have gates.")
        owners = [layer for layer in layers_in_order(network) if hasattr(layer, "kernel")]
        self._layers = list({id(layer): layer for layer in owners}.values())
        for layer in self._layers:
            if not isinstance(layer, tf.keras.layers.Dense):
                raise ValueError(f"{type(layer).__name__} is no Dense layer.")
        names = [getattr(layer.activation, "__name__", "?") for layer in self._layers]
        if not names or any(name not in _ACTIVATIONS for name in names):
            raise ValueError(f"Activations run in NumPy are {list(_ACTIVATIONS)}: {names}.")
        self._activations = [_ACTIVATIONS[name] for name in names]
        self.refresh()

    def refresh(self) -> None:
        """Reads the network's weights, and the normaliser's statistics, as they are now."""
        self._weights = [
            (read(layer.kernel), read(layer.bias) if layer.use_bias else np.float32(0.0))
            for layer in self._layers
        ]
        if self._normalizer is not None:
            ((mean, variance),) = normalizer_statistics(self._normalizer)
            self._mean = mean
            self._scale = 1.0 / np.sqrt(variance + np.float32(NORMALIZER_EPSILON))

    def __call__(self, leaves: list[Array]) -> Array:
        """Returns the last layer's outputs, [count, n], for one leaf [count, ...] of float32."""
        x = leaves[0].reshape(len(leaves[0]), -1)
        if self._normalizer is not None:
            x = (x - self._mean) * self._scale
            # As np.clip, which takes five times as long on so few numbers.
            x = np.minimum(np.maximum(x, -NORMALIZER_CLIP, out=x), NORMALIZER_CLIP, out=x)
        for (kernel, bias), activation in zip(self._weights, self._activations, strict=True):
            x = x @ kernel
            x += bias
            x = activation(x)
        return x


class Chained:
    """What acts by a chain once one is proved, and else by the network."""

    _chain: DenseChain | None = None

    @property
    def in_numpy(self) -> bool:
        """Whether it runs on copies of the weights; not known before the first call."""
        return self._chain is not None

    def refresh(self) -> None:
        """Takes over the network's weights as they are now."""
        if self._chain is not None:
            self._chain.refresh()


def probes(leaves: list[Array]) -> list[Array]:
    """Returns the observations and random ones around zero, as far out as they lie.

    One environment, or several that all begin alike, would prove nothing about the other side of a
    ReLU.
    """
    if len(leaves) != 1 or leaves[0].dtype != np.float32:
        return leaves  # no chain takes them
    far = 1.0 + np.abs(leaves[0]).max(axis=0)
    drawn = np.random.default_rng(0).normal(size=(_PROBES, *far.shape)) * far
    return [np.concatenate([leaves[0], drawn.astype(np.float32)])]


def proved_chain(
    network: Any,
    normalizer: Any,
    reference: Callable[[list[Array]], Any],
    leaves: list[Array],
    transform: Callable[[Array], Array] = lambda outputs: outputs,
    what_counts: Callable[[Array], Array] = lambda outputs: outputs,
) -> DenseChain | None:
    """Returns the network as a chain if it gives what ``reference`` gives; else None.

    Args:
        network: as `DenseChain` takes it.
        normalizer: likewise.
        reference: what the network gives, for leaves.
        leaves: to compare on.
        transform: what follows the chain.
        what_counts: of what both give.
    """
    if len(leaves) != 1 or leaves[0].dtype != np.float32:
        return None
    try:
        chain = DenseChain(network, normalizer)
        ours = transform(chain(leaves))
    except ValueError as error:
        _log.info("acting is compiled: %s", error)
        return None
    theirs = np.asarray(reference(leaves))
    if ours.shape != theirs.shape:
        return None
    ours, theirs = what_counts(ours), what_counts(theirs)
    if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(theirs).max())):
        return None
    _log.info("acting runs in NumPy")
    return chain
