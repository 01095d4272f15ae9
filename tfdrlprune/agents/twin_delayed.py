"""What TD3 adds to learning from replay: actions with noise, and seeded target smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.actor_critic import ActorCriticLearner, ActorCriticSettings
from tfdrlprune.agents.deterministic_acting import Deterministic
from tfdrlprune.agents.internals import TwinDelayed, smoothed
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class Td3Settings(ActorCriticSettings):
    """How `AgentTrainer` collects for and trains a TD3 agent; see `ActorCriticSettings`.

    Example:
        >>> Td3Settings(capacity=100_000).batch_size
        256
    """


class TwinDelayedLearner(ActorCriticLearner):
    """A TD3 agent as a `Method`; its steps are those of the critics.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `Td3Settings`.
    """

    def __init__(self, agent: Any, parts: TwinDelayed, settings: Td3Settings):
        self._parts = parts
        super().__init__(agent, parts, settings, actors_followers=[parts.target_actor])

    def refresh(self, progress: float) -> dict[str, float]:
        """Takes over the weights as they are now; there is nothing to log."""
        self._acting.refresh()
        return {}

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns the actor's actions with normal noise, clipped to their bounds, [count, ...]."""
        action = self._acting(observation)
        noise = generator.standard_normal(action.shape, dtype=np.float32)
        return self._box.clip(action + noise * np.float32(self._parts.exploration))

    def _new_acting(self) -> Deterministic:
        return Deterministic(self._agent, self._parts.actor)

    def _seeded(self, seed: tf.Tensor) -> Any:
        return smoothed(self._agent, seed)
