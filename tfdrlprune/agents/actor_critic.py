"""What SAC and TD3 share: settings, an actor and two critics, seeded steps on a bounded action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.internals import SoftActorCritic, TwinDelayed
from tfdrlprune.agents.method import ReplaySettings
from tfdrlprune.pruning.models import Followed
from tfdrlprune.pruning.moments import build_optimizer
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class ActorCriticSettings(ReplaySettings):
    """How `AgentTrainer` collects for and trains SAC and TD3; `ReplaySettings` says what each is.

    An optimizer step is one of the critics, where the actor has fewer.
    """

    batch_size: int = 256
    capacity: int = 1_000_000
    warm_up: int = 1_000
    env_steps_per_step: float = 1.0
    fused_steps: int = 64
    final_learning_rate: float = 1.0


class ActorCriticLearner:
    """Networks, optimizers and warm-up of an agent as a `Method`; subclasses act and train.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `ActorCriticSettings`.
        actors_followers: networks that follow the actor.
        more: further optimizers, each with the variables that it trains.
    """

    def __init__(
        self,
        agent: Any,
        parts: SoftActorCritic | TwinDelayed,
        settings: ActorCriticSettings,
        actors_followers: Sequence[Any] = (),
        more: Sequence[tuple[Any, Sequence[Any]]] = (),
    ):
        self.settings = settings
        self.networks: dict[str, list[Followed]] = {
            "actor": [(parts.actor, list(actors_followers))],
            "critic": [(critic, [target]) for critic, target in parts.critics],
        }
        critics = [each for critic, _ in parts.critics for each in critic.trainable_variables]
        trained = [
            # The actor's first: `AgentTrainer.optimizer` is this one, which callbacks set.
            (parts.actor_optimizer, parts.actor.trainable_variables),
            (parts.critic_optimizer, critics),
            *more,
        ]
        self.optimizers = [optimizer for optimizer, _ in trained]
        for optimizer, variables in trained:
            build_optimizer(optimizer, variables)
        self.n_step, self.gamma = 1, parts.gamma
        self._agent = agent
        self._box = BoxAction(agent.action_spec)
        self.action = (self._box.shape, self._box.dtype)
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""
        self._acting = self._new_acting()

    @property
    def acts_on_copies(self) -> bool:
        """Whether actions depend on weights as of the last `refresh`."""
        return bool(self._acting.in_numpy)

    def random_action(self, count: int, generator: np.random.Generator) -> Array:
        """Returns actions drawn uniformly within their bounds, [count, ...]."""
        return self._box.uniform(count, generator)

    def noise(self, steps: int, generator: np.random.Generator) -> dict[str, Array]:
        """Returns seeds of what is drawn inside the losses, [steps, 2]."""
        return {"seed": generator.integers(2**31, size=(steps, 2), dtype=np.int32)}

    def train(self, experience: Any, noise: dict[str, tf.Tensor]) -> tf.Tensor:
        """Makes one step of all that is due; returns the sum of the losses."""
        with self._seeded(noise["seed"]):
            return self._agent.train(experience).loss

    def _new_acting(self) -> Any:
        """Returns what acts by the weights as they are now."""
        raise NotImplementedError

    def _seeded(self, seed: tf.Tensor) -> Any:
        """Returns a context in which the agent's losses draw by a seed."""
        raise NotImplementedError
