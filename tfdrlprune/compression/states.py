"""States that a policy visits, collected in vectorised environments."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np
from numpy.typing import NDArray

from tfdrlprune import observations
from tfdrlprune.agents import spaces
from tfdrlprune.policies.form import Policy
from tfdrlprune.simulation import Environment, make_vector
from tfdrlprune.specs import ArraySpec

Array = NDArray[Any]

# Bounds beyond this say "unbounded" in practice; no random action is drawn from so wide a range.
_UNBOUNDED = 1e6


class States:
    """Environments that a policy walks through, and what it sees.

    Args:
        env: registered id, factory or environment.
        num_envs: environments stepped at once.
        generator: of episodes and of random actions.
    """

    def __init__(self, env: Environment, num_envs: int, generator: np.random.Generator):
        self._envs = make_vector(env, num_envs)
        self._generator = generator
        self._observation: Any = None

    def visit(self, policy: Policy, steps: int, epsilon: float) -> list[Array]:
        """Returns the observations of ``steps`` vector steps, each leaf [steps * num_envs, ...].

        Episodes go on from one call to the next.

        Args:
            policy: who acts.
            steps: of every environment.
            epsilon: probability of a random action instead, in [0, 1].
        """
        if self._observation is None:
            seed = int(self._generator.integers(2**31))
            self._observation = self._encode(self._envs.reset(seed=seed)[0])
        seen = []
        for _ in range(steps):
            leaves, _ = observations.as_batch(policy.observation_spec, self._observation)
            seen.append(leaves)
            action = policy.action(self._observation)
            if epsilon > 0.0:
                action = self._disturb(policy.action_spec, action, epsilon)
            self._observation = self._encode(self._envs.step(action)[0])
        return [np.concatenate(each) for each in zip(*seen, strict=True)]

    def close(self) -> None:
        """Closes the environments."""
        self._envs.close()

    def _encode(self, observation: Any) -> Any:
        return spaces.encode_observation(self._envs.single_observation_space, observation)

    def _disturb(self, spec: ArraySpec, action: Array, epsilon: float) -> Array:
        """Replaces some actions by random ones within the bounds; unbounded ones are kept."""
        low, high = observations.bounds(spec)
        if max(np.abs(low).max(), np.abs(high).max()) > _UNBOUNDED:
            return action
        flat = action.reshape(len(action), -1)
        if np.issubdtype(flat.dtype, np.integer):
            integers = low.astype(flat.dtype), high.astype(flat.dtype)
            random = self._generator.integers(
                *integers, size=flat.shape, dtype=flat.dtype, endpoint=True
            )
        else:
            random = self._generator.uniform(low, high, size=flat.shape).astype(flat.dtype)
        chosen = self._generator.random(len(action)) < epsilon
        return np.where(chosen[:, None], random, flat).reshape(action.shape)


def mean_return(policy: Policy, envs: list[Any], seeds: list[int]) -> float:
    """Returns the policy's mean return over one episode for each seed, stepped together."""
    from tfdrlprune.agents.evaluation import greedy_returns

    return float(np.mean(greedy_returns(policy.action, envs, seeds)))


def nest_like(policy: Policy, leaves: list[Array]) -> Any:
    """Returns leaves, in the order of the policy's inputs, nested as its observation."""
    from tfdrlprune.specs import pack_like

    return tf.nest.map_structure(np.asarray, pack_like(policy.observation_spec, leaves))
