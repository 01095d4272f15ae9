"""What DQN adds to learning from replay: epsilon-greedy actions on Q-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.agents.acting import QValues
from tfdrlprune.agents.internals import QLearning
from tfdrlprune.agents.learner import build_optimizer
from tfdrlprune.agents.method import ReplaySettings
from tfdrlprune.pruning.callbacks import Followed

Array = NDArray[Any]


@dataclass(frozen=True)
class OffPolicySettings(ReplaySettings):
    """How `AgentTrainer` collects for and trains a DQN agent; see `ReplaySettings` for the rest.

    Attributes:
        batch_size: transitions in an optimizer step.
        capacity: environment steps that replay keeps.
        warm_up: environment steps by random actions before the first optimizer step; more where
            n-step transitions of so many environments take more.
        env_steps_per_step: environment steps for each optimizer step.
        fused_steps: optimizer steps in one compiled call, which is one Keras batch; the acting
            policy is refreshed as often, and 512 was too stale to learn CartPole.
        final_learning_rate: share of the learning rate that is left at the end of the run, falling
            linearly; 1 leaves it alone.
        exploration: share of the run over which epsilon falls linearly from 1 to the agent's own.
    """

    batch_size: int = 64
    capacity: int = 50_000
    warm_up: int = 1_000
    env_steps_per_step: float = 1.0
    fused_steps: int = 256
    final_learning_rate: float = 0.01
    exploration: float = 0.2


class QLearner:
    """A DQN agent as a `Method`.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `OffPolicySettings`.
    """

    def __init__(self, agent: Any, parts: QLearning, settings: OffPolicySettings):
        self.settings = settings
        self.networks: dict[str, list[Followed]] = {"actor": [(parts.network, [parts.target])]}
        self.optimizers = [parts.optimizer]
        self.n_step, self.gamma = parts.n_step, parts.gamma
        dtype = tf.nest.flatten(agent.action_spec)[0].dtype.as_numpy_dtype
        self.action: tuple[tuple[int, ...], Any] = ((), dtype)
        build_optimizer(parts.optimizer, parts.network.trainable_variables)
        self._agent, self._parts, self._exploration = agent, parts, settings.exploration
        self._epsilon = 1.0
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""
        self._scores = QValues(self._agent, self._parts.network)

    def refresh(self, progress: float) -> dict[str, float]:
        """Takes over the weights and sets epsilon; returns it for the logs."""
        self._scores.refresh()
        self._epsilon = self._epsilon_at(progress)
        return {"epsilon": self._epsilon}

    @property
    def acts_on_copies(self) -> bool:
        """Whether actions depend on weights as of the last `refresh`."""
        return self._scores.in_numpy

    def random_action(self, count: int, generator: np.random.Generator) -> Array:
        """Returns actions drawn uniformly, [count]."""
        return generator.integers(self._parts.num_actions, size=count).astype(self.action[1])

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns epsilon-greedy actions, [count]."""
        action = self.random_action(len(observation[0]), generator)
        greedy = generator.random(len(action)) >= self._epsilon
        if greedy.any():
            action = np.where(greedy, np.argmax(self._scores(observation), axis=-1), action)
        return action.astype(self.action[1])

    def noise(self, steps: int, generator: np.random.Generator) -> dict[str, Array]:
        """Returns nothing: a step of DQN has no randomness."""
        return {}

    def train(self, experience: Any, noise: dict[str, tf.Tensor]) -> tf.Tensor:
        """Makes one optimizer step; returns the loss."""
        return self._agent.train(experience).loss

    def _epsilon_at(self, progress: float) -> float:
        own = self._parts.epsilon
        if callable(own):
            return float(own())
        final = 0.0 if own is None else float(own)
        return max(final, 1.0 - (1.0 - final) * progress / max(self._exploration, 1e-9))
