"""What SAC adds to learning from replay: actions of a squashed normal, and seeded steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.actor_critic import ActorCriticLearner, ActorCriticSettings
from tfdrlprune.agents.internals import SoftActorCritic, seeded
from tfdrlprune.agents.squashed_acting import SquashedSampler
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class SacSettings(ActorCriticSettings):
    """How `AgentTrainer` collects for and trains a SAC agent; see `ActorCriticSettings`.

    Example:
        >>> SacSettings(batch_size=128).fused_steps
        64
    """


class SoftActorCriticLearner(ActorCriticLearner):
    """A SAC agent as a `Method`.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `SacSettings`.
    """

    def __init__(self, agent: Any, parts: SoftActorCritic, settings: SacSettings):
        self._parts = parts
        temperature = (parts.alpha_optimizer, [parts.log_alpha])
        super().__init__(agent, parts, settings, more=[temperature])

    def refresh(self, progress: float) -> dict[str, float]:
        """Takes over the weights as they are now; returns the temperature for the logs."""
        self._acting.refresh()
        return {"alpha": float(np.exp(self._parts.log_alpha.numpy()))}

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns actions sampled from the policy, [count, ...]."""
        return self._acting(observation, generator)

    def _new_acting(self) -> SquashedSampler:
        return SquashedSampler(self._agent, self._parts)

    def _seeded(self, seed: tf.Tensor) -> Any:
        return seeded(self._agent, seed)
