"""What TD3 adds to learning from replay: actions with noise, and seeded target smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.deterministic_acting import Deterministic
from tfdrlprune.agents.internals import TwinDelayed, smoothed
from tfdrlprune.agents.method import ReplaySettings
from tfdrlprune.pruning.models import Followed
from tfdrlprune.pruning.moments import build_optimizer

Array = NDArray[Any]


@dataclass(frozen=True)
class Td3Settings(ReplaySettings):
    """How `AgentTrainer` collects for and trains a TD3 agent; see `ReplaySettings` for the rest.

    Attributes:
        batch_size: transitions in an optimizer step.
        capacity: environment steps that replay keeps.
        warm_up: environment steps by uniformly random actions before the first optimizer step.
        env_steps_per_step: environment steps for each optimizer step of the critics.
        fused_steps: optimizer steps in one compiled call, which is one Keras batch; the acting
            policy is refreshed as often.
        final_learning_rate: share of the learning rates that is left at the end of the run, falling
            linearly; 1 leaves them alone.
    """

    batch_size: int = 256
    capacity: int = 1_000_000
    warm_up: int = 1_000
    env_steps_per_step: float = 1.0
    fused_steps: int = 64
    final_learning_rate: float = 1.0


class TwinDelayedLearner:
    """A TD3 agent as a `Method`.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `Td3Settings`.
    """

    def __init__(self, agent: Any, parts: TwinDelayed, settings: Td3Settings):
        self.settings = settings
        self.networks: dict[str, list[Followed]] = {
            "actor": [(parts.actor, [parts.target_actor])],
            "critic": [(critic, [target]) for critic, target in parts.critics],
        }
        # The actor's first: `AgentTrainer.optimizer` is this one, which callbacks set.
        self.optimizers = [parts.actor_optimizer, parts.critic_optimizer]
        critics = [each for critic, _ in parts.critics for each in critic.trainable_variables]
        build_optimizer(parts.actor_optimizer, parts.actor.trainable_variables)
        build_optimizer(parts.critic_optimizer, critics)
        self.n_step, self.gamma = 1, parts.gamma
        self._agent, self._parts = agent, parts
        self._box = BoxAction(agent.action_spec)
        self.action = (self._box.shape, self._box.dtype)
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""
        self._actor = Deterministic(self._agent, self._parts.actor)

    def refresh(self, progress: float) -> dict[str, float]:
        """Takes over the weights as they are now; there is nothing to log."""
        self._actor.refresh()
        return {}

    @property
    def acts_on_copies(self) -> bool:
        """Whether actions depend on weights as of the last `refresh`."""
        return self._actor.in_numpy

    def random_action(self, count: int, generator: np.random.Generator) -> Array:
        """Returns actions drawn uniformly within their bounds, [count, ...]."""
        return self._box.uniform(count, generator)

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns the actor's actions with normal noise, clipped to their bounds, [count, ...]."""
        action = self._actor(observation)
        noise = generator.standard_normal(action.shape, dtype=np.float32)
        return self._box.clip(action + noise * np.float32(self._parts.exploration))

    def noise(self, steps: int, generator: np.random.Generator) -> dict[str, Array]:
        """Returns seeds of the noise on the target actions, [steps, 2]."""
        return {"seed": generator.integers(2**31, size=(steps, 2), dtype=np.int32)}

    def train(self, experience: Any, noise: dict[str, tf.Tensor]) -> tf.Tensor:
        """Makes one step of the critics, and the actor's if it is due; returns summed losses."""
        with smoothed(self._agent, noise["seed"]):
            return self._agent.train(experience).loss
