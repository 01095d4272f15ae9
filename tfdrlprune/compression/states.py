"""States that a policy visits, collected in vectorised environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfdrlprune import observations
from tfdrlprune.agents import spaces
from tfdrlprune.compression.actor import Actor
from tfdrlprune.simulation import Environment, make_vector
from tfdrlprune.specs import Array, ArraySpec


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
        self._first = np.ones(num_envs, bool)
        self._done = np.zeros(num_envs, bool)

    def restart(self) -> None:
        """Begins new episodes at the next step."""
        self._observation = None
        self._first, self._done = np.ones_like(self._first), np.zeros_like(self._done)

    def visit(self, actors: Sequence[Actor], steps: int, epsilon: float) -> list[Array]:
        """Returns the observations of ``steps`` vector steps, each leaf [steps * num_envs, ...].

        Episodes go on from one call to the next.

        Args:
            actors: who act, each in its own environments.
            steps: of every environment.
            epsilon: probability of a random action instead, in [0, 1].
        """
        seen = [leaves for leaves, _ in self.walk(actors, steps, epsilon)]
        return [np.concatenate(each) for each in zip(*seen, strict=True)]

    def walk(
        self, actors: Sequence[Actor], steps: int, epsilon: float
    ) -> Iterator[tuple[list[Array], Array]]:
        """Yields what is seen at each vector step, and in which environments an episode begins.

        Args:
            actors: as for `visit`.
            steps: likewise.
            epsilon: likewise.
        """
        if self._observation is None:
            seed = int(self._generator.integers(2**31))
            self._observation = self._encode(self._envs.reset(seed=seed)[0])
        spec = actors[0].policy.action_spec
        for _ in range(steps):
            leaves = actors[0].leaves(self._observation)
            yield leaves, self._first
            action = self._act(actors, leaves)
            if epsilon > 0.0:
                action = self._disturb(spec, action, epsilon)
            observation, _, terminated, truncated, _ = self._envs.step(action)
            self._observation = self._encode(observation)
            # The step after the last of an episode gives the first observation of the next.
            self._first, self._done = self._done, terminated | truncated

    def _act(self, actors: Sequence[Actor], leaves: list[Array]) -> Array:
        """Returns the actions in all environments, of which each actor has its share."""
        shares = np.array_split(np.arange(len(leaves[0])), len(actors))
        return np.concatenate(
            [
                actor.act([leaf[share] for leaf in leaves], self._first[share])
                for actor, share in zip(actors, shares, strict=True)
                if len(share)
            ]
        )

    def close(self) -> None:
        """Closes the environments."""
        self._envs.close()

    def _encode(self, observation: Any) -> Any:
        return spaces.encode_observation(self._envs.single_observation_space, observation)

    def _disturb(self, spec: ArraySpec, action: Array, epsilon: float) -> Array:
        """Replaces some actions by random ones within the bounds; unbounded ones are kept."""
        low, high = observations.bounds(spec)
        if max(np.abs(low).max(), np.abs(high).max()) > observations.UNBOUNDED:
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
