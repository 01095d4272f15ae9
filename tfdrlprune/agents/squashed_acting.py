"""Actions of a SAC policy: a normal with a deviation of its own in each state, squashed by tanh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.dense_chain import Chained, probes, proved_chain
from tfdrlprune.agents.internals import SoftActorCritic, squashed_deviation
from tfdrlprune.specs import Array

# Of the raw second half of TanhNormalProjectionNetwork's outputs; names as `squashed_deviation`'s.
_DEVIATIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "clipped_exp": lambda raw: np.exp(np.clip(raw, -20.0, 2.0)),
    "identity": lambda raw: raw,
}


class SquashedSampler(Chained):
    """Actions sampled from a SAC agent's collect policy, in NumPy where that is possible.

    That is where Dense layers in a row end in a TanhNormalProjectionNetwork with one of its usual
    deviations. Anything else acts compiled, clipped to the bounds as TF-Agents' own driver does.

    Args:
        agent: a SAC agent.
        parts: its parts.
    """

    def __init__(self, agent: Any, parts: SoftActorCritic):
        self._agent, self._actor = agent, parts.actor
        self._spec = tf.nest.flatten(agent.action_spec)[0]
        self._box = BoxAction(agent.action_spec)
        self._chosen = False
        name = squashed_deviation(parts.actor)
        self._deviation = None if name is None else _DEVIATIONS[name]
        self._sample = compiled(self._sampled, "acting")

    def __call__(self, leaves: list[Array], generator: np.random.Generator) -> Array:
        """Returns actions, [count, ...], within their bounds."""
        if not self._chosen:
            self._chosen = True
            if self._deviation is not None:
                seen = probes(leaves)
                self._chain = proved_chain(
                    self._actor, None, self._parameters, seen, self._mean_and_deviation
                )
        if self._chain is None:
            seed = generator.integers(2**31, size=2, dtype=np.int32)
            return np.asarray(self._sample(leaves, seed))
        mean, deviation = np.split(self._mean_and_deviation(self._chain(leaves)), 2, axis=-1)
        noise = generator.standard_normal(mean.shape, dtype=np.float32)
        return self._box.stretch(np.tanh(mean + deviation * noise))

    def _mean_and_deviation(self, outputs: Array) -> Array:
        """Returns [mean, deviation] before the squashing, [count, 2 n], of the raw outputs."""
        assert self._deviation is not None
        mean, raw = np.split(outputs, 2, axis=-1)
        return np.concatenate([mean, self._deviation(raw)], axis=-1)

    def _parameters(self, leaves: list[tf.Tensor]) -> tf.Tensor:
        """Returns what `_mean_and_deviation` does, by the agent's own policy."""
        normal = self._distribution(leaves).input_distribution
        shape = (tf.shape(leaves[0])[0], -1)
        return tf.concat(
            [tf.reshape(each, shape) for each in (normal.mean(), normal.stddev())], axis=-1
        )

    def _sampled(self, leaves: list[tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
        action = self._distribution(leaves).sample(seed=seed)
        return tf.clip_by_value(action, self._spec.minimum, self._spec.maximum)

    def _distribution(self, leaves: list[tf.Tensor]) -> Any:
        policy = self._agent.collect_policy
        state = policy.get_initial_state(tf.shape(leaves[0])[0])
        distribution = policy.distribution(time_step(self._agent, leaves), state).action
        return tf.nest.flatten(distribution)[0]
