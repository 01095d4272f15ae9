"""Acting in microseconds: networks of Dense layers run in NumPy, all others compiled.

What runs in NumPy was compared with the network first, on the observations at hand and on random
ones; where it differs, the network acts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import common

from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.dense_chain import Chained, DenseChain, probes, proved_chain
from tfdrlprune.choices import Choices
from tfdrlprune.policies.tensor_specs import array_spec
from tfdrlprune.specs import Array


def time_step(agent: Any, leaves: list[tf.Tensor], first: tf.Tensor | None = None) -> ts.TimeStep:
    """Returns a TF-Agents time step for a batch of observations.

    Args:
        agent: the TF-Agents agent.
        leaves: of the observations, [count, ...].
        first: bool, [count]: where an episode begins, as recurrent networks must know; by default
            all are amid an episode.
    """
    count = tf.shape(leaves[0])[0]
    middle = tf.fill((count,), ts.StepType.MID)
    return ts.TimeStep(
        middle if first is None else tf.where(first, ts.StepType.FIRST, middle),
        tf.zeros((count,)),
        tf.ones((count,)),
        tf.nest.pack_sequence_as(agent.time_step_spec.observation, leaves),
    )


def sample_all(distributions: Any, seed: tf.Tensor) -> Any:
    """Returns a sample of each distribution, nested as they are, from a seed, int32 [2]."""
    samples = [
        each.sample(seed=tf.random.experimental.stateless_fold_in(seed, index))
        for index, each in enumerate(tf.nest.flatten(distributions))
    ]
    return tf.nest.pack_sequence_as(distributions, samples)


def _unchanged(outputs: Array) -> Array:
    return outputs


class QValues(Chained):
    """Q-values of a batch of observations, in NumPy where the network is a chain of Dense layers.

    Args:
        agent: a DQN agent.
        network: its Q-network.
        support: of C51, the returns that the atoms of its distributions stand for.
    """

    def __init__(self, agent: Any, network: Any, support: Array | None = None):
        self._agent, self._network, self._support = agent, network, support
        self._run: Callable[[list[Array]], Any] | None = None

    def __call__(self, leaves: list[Array]) -> Array:
        """Returns [count, actions] for leaves [count, ...]."""
        if self._run is None:
            self._chain = proved_chain(
                self._network, None, self._q_values, probes(leaves), self._means
            )
            self._run = self._chain or compiled(self._q_values, "acting")
        outputs = np.asarray(self._run(leaves))
        return outputs if self._chain is None else self._means(outputs)

    def _q_values(self, leaves: list[tf.Tensor]) -> tf.Tensor:
        step = time_step(self._agent, leaves)
        outputs = self._network(step.observation, step_type=step.step_type)[0]
        if self._support is None:
            return outputs
        return common.convert_q_logits_to_values(outputs, self._support)

    def _means(self, outputs: Array) -> Array:
        """Returns Q-values for the chain's outputs: of C51, the means of distributions."""
        if self._support is None:
            return outputs
        logits = outputs.reshape((len(outputs), -1, len(self._support)))
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return (weights @ self._support) / weights.sum(axis=-1)


class Sampler:
    """Actions sampled from a PPO agent's collect policy, in NumPy where that is possible.

    It is for one action whose numbers are categorical, or normal with a deviation that is the same
    in all states, from a chain of Dense layers.

    Args:
        agent: a PPO agent.
        network: its actor.
        normalizer: its observation normaliser, or None.
    """

    def __init__(self, agent: Any, network: Any, normalizer: Any):
        self._agent, self._network, self._normalizer = agent, network, normalizer
        self._chosen = False
        self._chain: DenseChain | None = None
        self._transform: Callable[[Array], Array] = _unchanged
        self._deviation: Array | None = None
        self._choices = Choices((1,))  # of a discrete action, once it is known
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
            action = self._choices.best(outputs + generator.gumbel(size=outputs.shape))
            action = action.astype(spec.dtype.as_numpy_dtype).reshape((-1, *spec.shape))
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
        transforms: list[Callable[[Array], Array]] = [_unchanged]
        what_counts: Callable[[Array], Array] = _unchanged
        if not normal:
            self._choices = choices = array_spec(spec, "action").choices()
            mean = mean.reshape((len(mean), *choices.own.shape))[:, choices.own]
            what_counts = choices.centred  # logits may come normalised
        else:
            if not np.allclose(deviation, deviation[:1]):
                return
            self._deviation = deviation[0]
            half = (spec.maximum - spec.minimum) / 2
            middle = (spec.maximum + spec.minimum) / 2
            transforms.append(lambda outputs: np.float32(middle) + half * np.tanh(outputs))
        for transform in transforms:
            chain = proved_chain(
                self._network, self._normalizer, lambda _: mean, leaves, transform, what_counts
            )
            if chain is not None:
                self._chain, self._transform = chain, transform
                return
        self._deviation = None

    def _mean_and_deviation(self, leaves: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and deviation of a normal, [count, n]; of categoricals, logits twice."""
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
        return sample_all(distribution, seed)
