"""What SAC adds to learning from replay: actions of a squashed normal, and seeded steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.internals import SoftActorCritic, seeded
from tfdrlprune.agents.method import ReplaySettings
from tfdrlprune.agents.squashed_acting import SquashedSampler
from tfdrlprune.pruning.models import Followed
from tfdrlprune.pruning.moments import build_optimizer

Array = NDArray[Any]


@dataclass(frozen=True)
class SacSettings(ReplaySettings):
    """How `AgentTrainer` collects for and trains a SAC agent; see `ReplaySettings` for the rest.

    Attributes:
        batch_size: transitions in an optimizer step.
        capacity: environment steps that replay keeps.
        warm_up: environment steps by uniformly random actions before the first optimizer step.
        env_steps_per_step: environment steps for each optimizer step.
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


class SoftActorCriticLearner:
    """A SAC agent as a `Method`.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `SacSettings`.
    """

    def __init__(self, agent: Any, parts: SoftActorCritic, settings: SacSettings):
        self.settings = settings
        self.networks: dict[str, list[Followed]] = {
            "actor": [(parts.actor, [])],
            "critic": [(critic, [target]) for critic, target in parts.critics],
        }
        # The actor's first: `AgentTrainer.optimizer` is this one, which callbacks set.
        self.optimizers = [parts.actor_optimizer, parts.critic_optimizer, parts.alpha_optimizer]
        variables = [
            parts.actor.trainable_variables,
            [each for critic, _ in parts.critics for each in critic.trainable_variables],
            [parts.log_alpha],
        ]
        for optimizer, trained in zip(self.optimizers, variables, strict=True):
            build_optimizer(optimizer, trained)
        self.n_step, self.gamma = 1, parts.gamma
        self._agent, self._parts = agent, parts
        self._box = BoxAction(agent.action_spec)
        self.action = (self._box.shape, self._box.dtype)
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""
        self._sampler = SquashedSampler(self._agent, self._parts)

    def refresh(self, progress: float) -> dict[str, float]:
        """Takes over the weights as they are now; returns the temperature for the logs."""
        self._sampler.refresh()
        return {"alpha": float(np.exp(self._parts.log_alpha.numpy()))}

    @property
    def acts_on_copies(self) -> bool:
        """Whether actions depend on weights as of the last `refresh`."""
        return self._sampler.in_numpy

    def random_action(self, count: int, generator: np.random.Generator) -> Array:
        """Returns actions drawn uniformly within their bounds, [count, ...]."""
        return self._box.uniform(count, generator)

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns actions sampled from the policy, [count, ...]."""
        return self._sampler(observation, generator)

    def noise(self, steps: int, generator: np.random.Generator) -> dict[str, Array]:
        """Returns seeds of the actions that are sampled inside the losses, [steps, 2]."""
        return {"seed": generator.integers(2**31, size=(steps, 2), dtype=np.int32)}

    def train(self, experience: Any, noise: dict[str, tf.Tensor]) -> tf.Tensor:
        """Makes one step of critics, actor and temperature; returns the sum of their losses."""
        with seeded(self._agent, noise["seed"]):
            return self._agent.train(experience).loss
