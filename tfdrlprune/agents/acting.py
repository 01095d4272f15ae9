"""Acting in microseconds: networks of Dense layers run in NumPy, all others compiled.

A vector step of a small network is a few thousand multiplications, which NumPy does in 10 us; one
call of a compiled TensorFlow function takes 150 to 500. What runs in NumPy was compared with the
network first, on the observations at hand and on random ones; where it differs, the network acts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import read, tf
from tfdrlprune._tf_agents import NORMALIZER_CLIP, NORMALIZER_EPSILON, normalizer_statistics

import numpy as np
from numpy.typing import NDArray
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.compiled import compiled
from tfdrlprune.pruning.kernels import layers_in_order

Array = NDArray[Any]
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
        ValueError: the network has other layers than Dense, or an unknown activation.
    """

    def __init__(self, network: Any, normalizer: Any = None):
        self._normalizer = normalizer
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


def time_step(agent: Any, leaves: list[tf.Tensor]) -> ts.TimeStep:
    """Returns a TF-Agents time step amid an episode, for a batch of observations."""
    count = tf.shape(leaves[0])[0]
    return ts.TimeStep(
        tf.fill((count,), ts.StepType.MID),
        tf.zeros((count,)),
        tf.ones((count,)),
        tf.nest.pack_sequence_as(agent.time_step_spec.observation, leaves),
    )


class QValues:
    """Q-values of a batch of observations, in NumPy where the network is a chain of Dense layers.

    Args:
        agent: a DQN agent.
        network: its Q-network.
    """

    def __init__(self, agent: Any, network: Any):
        self._agent, self._network = agent, network
        self._run: Callable[[list[Array]], Any] | None = None
        self._chain: DenseChain | None = None

    @property
    def in_numpy(self) -> bool:
        """Whether it runs on copies of the weights; not known before the first call."""
        return self._chain is not None

    def refresh(self) -> None:
        """Takes over the network's weights as they are now."""
        if self._chain is not None:
            self._chain.refresh()

    def __call__(self, leaves: list[Array]) -> Array:
        """Returns [count, actions] for leaves [count, ...]."""
        if self._run is None:
            self._chain = proved_chain(self._network, None, self._q_values, probes(leaves))
            self._run = self._chain or compiled(self._q_values, "acting")
        return np.asarray(self._run(leaves))

    def _q_values(self, leaves: list[tf.Tensor]) -> tf.Tensor:
        step = time_step(self._agent, leaves)
        return self._network(step.observation, step_type=step.step_type)[0]


class Sampler:
    """Actions sampled from a PPO agent's collect policy, in NumPy where that is possible.

    It is for one action that is categorical, or normal with a deviation that is the same in all
    states, from a chain of Dense layers.

    Args:
        agent: a PPO agent.
        network: its actor.
        normalizer: its observation normaliser, or None.
    """

    def __init__(self, agent: Any, network: Any, normalizer: Any):
        self._agent, self._network, self._normalizer = agent, network, normalizer
        self._chosen = False
        self._chain: DenseChain | None = None
        self._transform: Callable[[Array], Array] = lambda outputs: outputs
        self._deviation: Array | None = None
        self._parameters = compiled(self._mean_and_deviation, "acting")
        self._sample = compiled(self._sampled, "acting")

    def refresh(self, leaves: list[Array]) -> None:
        """Takes over the weights as they are now; ``leaves`` are observations of any state."""
        if not self._chosen:
            self._chosen = True
            self._choose(probes(leaves))
        elif self._chain is not None:
            self._chain.refresh()
        if self._deviation is not None:
            self._deviation = np.asarray(self._parameters(leaves)[1])[0]

    def __call__(self, leaves: list[Array], generator: np.random.Generator) -> Any:
        """Returns actions, nested as the agent's, [count, ...]."""
        if self._chain is None:
            seed = generator.integers(2**31, size=2, dtype=np.int32)
            return tf.nest.map_structure(np.asarray, self._sample(leaves, seed))
        outputs = self._transform(self._chain(leaves))
        spec = tf.nest.flatten(self._agent.action_spec)[0]
        if self._deviation is None:
            # The Gumbel-max trick: argmax(logits + noise) is a sample of the categorical.
            action = np.argmax(outputs + generator.gumbel(size=outputs.shape), axis=-1)
            action = action.astype(spec.dtype.as_numpy_dtype)
        else:
            noise = generator.standard_normal(outputs.shape, dtype=np.float32)
            action = (outputs + self._deviation * noise).reshape((-1, *spec.shape))
        return tf.nest.pack_sequence_as(self._agent.action_spec, [action])

    def _choose(self, leaves: list[Array]) -> None:
        if len(tf.nest.flatten(self._agent.action_spec)) != 1:
            return
        spec = tf.nest.flatten(self._agent.action_spec)[0]
        normal = spec.dtype.is_floating
        try:
            mean, deviation = (np.asarray(each) for each in self._mean_and_deviation(leaves))
        except NotImplementedError:  # a distribution without mean or deviation
            return
        transforms: list[Callable[[Array], Array]] = [lambda outputs: outputs]
        if normal:
            if not np.allclose(deviation, deviation[:1]):
                return
            self._deviation = deviation[0]
            half = (spec.maximum - spec.minimum) / 2
            middle = (spec.maximum + spec.minimum) / 2
            transforms.append(lambda outputs: np.float32(middle) + half * np.tanh(outputs))
        for transform in transforms:
            chain = proved_chain(
                self._network, self._normalizer, lambda _: mean, leaves, transform, not normal
            )
            if chain is not None:
                self._chain, self._transform = chain, transform
                return
        self._deviation = None

    def _mean_and_deviation(self, leaves: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and deviation of a normal, [count, n]; of a categorical, logits twice."""
        policy = self._agent.collect_policy
        state = policy.get_initial_state(tf.shape(leaves[0])[0])
        distribution = tf.nest.flatten(
            policy.distribution(time_step(self._agent, leaves), state).action
        )[0]
        if hasattr(distribution, "logits_parameter"):
            logits = distribution.logits_parameter()
            return logits, logits
        count = tf.shape(leaves[0])[0]
        mean, deviation = distribution.mean(), distribution.stddev()
        return tf.reshape(mean, (count, -1)), tf.reshape(deviation, (count, -1))

    def _sampled(self, leaves: list[tf.Tensor], seed: tf.Tensor) -> Any:
        policy = self._agent.collect_policy
        state = policy.get_initial_state(tf.shape(leaves[0])[0])
        distribution = policy.distribution(time_step(self._agent, leaves), state).action
        actions = [
            each.sample(seed=tf.random.experimental.stateless_fold_in(seed, index))
            for index, each in enumerate(tf.nest.flatten(distribution))
        ]
        return tf.nest.pack_sequence_as(self._agent.action_spec, actions)


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
    up_to_a_constant: bool = False,
) -> DenseChain | None:
    """Returns the network as a chain if it gives what ``reference`` gives; else None."""
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
    if up_to_a_constant:  # logits may come normalised
        ours, theirs = (x - x.max(axis=-1, keepdims=True) for x in (ours, theirs))
    if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(theirs).max())):
        return None
    _log.info("acting runs in NumPy")
    return chain
