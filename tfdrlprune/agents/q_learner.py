"""What DQN and C51 add to learning from replay: epsilon-greedy actions on Q-values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import trajectory

from tfdrlprune.agents.acting import QValues
from tfdrlprune.agents.internals import QLearning
from tfdrlprune.agents.method import ReplaySettings
from tfdrlprune.pruning.models import Followed
from tfdrlprune.pruning.moments import build_optimizer
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class OffPolicySettings(ReplaySettings):
    """How `AgentTrainer` collects for and trains a DQN or C51 agent.

    Attributes:
        exploration: share of the run over which epsilon falls linearly from 1 to the agent's own.
        sequence_length: of recurrent networks only: steps in a sequence, of which ``batch_size``
            are in an optimizer step.

    The others are those of `ReplaySettings`.

    Example:
        >>> import tfdrlprune as tp
        >>> agent = tp.agents.dqn("CartPole-v1", hidden=(8,))
        >>> settings = OffPolicySettings(fused_steps=100)
        >>> tp.AgentTrainer(agent, "CartPole-v1", settings=settings).planned_steps(1000, None)
        1000
    """

    batch_size: int = 64
    capacity: int = 50_000
    warm_up: int = 1_000
    env_steps_per_step: float = 1.0
    fused_steps: int = 256  # 512 was too stale to learn CartPole
    final_learning_rate: float = 0.01
    exploration: float = 0.2
    sequence_length: int = 16


class QLearner:
    """A DQN or C51 agent as a `Method`.

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
        self._scores = QValues(self._agent, self._parts.network, self._parts.support)

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
        if self._parts.support is None:
            return self._agent.train(experience).loss
        with _quiet():
            return self._agent.train(as_trajectory(experience, self.n_step, self.gamma)).loss

    def _epsilon_at(self, progress: float) -> float:
        own = self._parts.epsilon
        if callable(own):
            return float(own())
        final = 0.0 if own is None else float(own)
        return max(final, 1.0 - (1.0 - final) * progress / max(self._exploration, 1e-9))


def as_trajectory(experience: trajectory.Transition, n_step: int, gamma: float) -> Any:
    """Returns n-step transitions as the whole trajectories that C51 of TF-Agents reads.

    C51 sums rewards and multiplies discounts over ``n_step`` steps itself. Here the first step has
    all of the reward and of the discount, and the others have none: their discount undoes the gamma
    that the agent multiplies by, so that both come out as they are in the transition, also where
    the episode ended within.

    Args:
        experience: [batch, ...]; its discount is ``gamma**(steps - 1)``, or 0.
        n_step: what the agent was built with.
        gamma: likewise.

    Returns:
        A Trajectory, [batch, n_step + 1, ...], of which only the first and the last observation are
        read.
    """
    before, after = experience.time_step, experience.next_time_step

    def in_time(first: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        return tf.stack([first] + [others] * n_step, axis=1)

    undone = tf.fill(tf.shape(after.discount), 1.0 / gamma if gamma > 0 else 1.0)
    return trajectory.Trajectory(
        in_time(before.step_type, after.step_type),
        tf.nest.map_structure(in_time, before.observation, after.observation),
        tf.nest.map_structure(
            lambda action: in_time(action, action), experience.action_step.action
        ),
        (),
        in_time(after.step_type, after.step_type),
        in_time(after.reward, tf.zeros_like(after.reward)),
        in_time(after.discount, undone),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TensorFlow from announcing the age of what C51 sums n-step returns with."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
