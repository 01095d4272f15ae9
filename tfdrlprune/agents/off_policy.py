"""Learning from replay: DQN, with collection and fused training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray
from tf_agents.trajectories import policy_step, trajectory
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.acting import QValues
from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.agents.internals import QLearning
from tfdrlprune.agents.learner import LearnerState, build_optimizer
from tfdrlprune.agents.replay import Replay
from tfdrlprune.agents.vector import Vector

Array = NDArray[Any]


@dataclass(frozen=True)
class OffPolicySettings:
    """How `AgentTrainer` collects for and trains a DQN agent.

    Attributes:
        batch_size: transitions in an optimizer step.
        capacity: environment steps that replay keeps.
        warm_up: environment steps by random actions before the first optimizer step; more where
            n-step transitions of so many environments take more.
        env_steps_per_step: environment steps for each optimizer step.
        fused_steps: optimizer steps in one compiled call, which is one Keras batch; the acting
            policy is refreshed as often, and 512 was too stale to learn CartPole.
        exploration: share of the run over which epsilon falls linearly from 1 to the agent's own.
        final_learning_rate: share of the learning rate that is left at the end of the run, falling
            linearly; 1 leaves it alone.
    """

    batch_size: int = 64
    capacity: int = 50_000
    warm_up: int = 1_000
    env_steps_per_step: float = 1.0
    fused_steps: int = 256
    exploration: float = 0.2
    final_learning_rate: float = 0.01


class OffPolicyLearner:
    """Collects with an epsilon-greedy policy and trains a DQN agent, one Keras batch at a time.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        vector: the environments.
        settings: see `OffPolicySettings`.
        seed: of exploration, replay sampling and episodes.
    """

    def __init__(
        self, agent: Any, parts: QLearning, vector: Vector, settings: OffPolicySettings, seed: int
    ):
        self.settings = settings
        self.optimizer = parts.optimizer
        self.steps_per_batch = settings.fused_steps
        self.networks = {"actor": (parts.network, [parts.target])}
        build_optimizer(parts.optimizer, parts.network)
        self.vector = vector
        self.state = LearnerState(seed)
        self._agent, self._parts = agent, parts
        # The first transition is whole when n further rows have followed it.
        self._warm_up = max(settings.warm_up, (parts.n_step + 1) * vector.num_envs)
        spec = agent.action_spec
        self._action_dtype = tf.nest.flatten(spec)[0].dtype.as_numpy_dtype
        self._replay = Replay(
            settings.capacity,
            vector.num_envs,
            [
                (tuple(leaf.shape), leaf.dtype.as_numpy_dtype)
                for leaf in tf.nest.flatten(agent.time_step_spec.observation)
            ],
            ((), self._action_dtype),
            parts.n_step,
            parts.gamma,
        )
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch, as needed after masks were put in force."""
        self._scores = QValues(self._agent, self._parts.network)
        self._train = CompiledLoop(self._train_once, "training")

    def steps_for(self, env_steps: int) -> int:
        """Returns the optimizer steps that go with this many more environment steps."""
        if self.state.env_step == 0:
            env_steps -= self._warm_up
        return max(1, round(env_steps / self.settings.env_steps_per_step))

    def whole_steps(self, steps: int) -> int:
        """Returns ``steps``: a batch may make fewer steps than it has room for."""
        return steps

    def train_batch(self, steps: int, progress: float) -> dict[str, float]:
        """Collects, then makes ``steps`` optimizer steps; returns logs.

        Args:
            steps: in [1, ``steps_per_batch``].
            progress: share of the run that is done, in [0, 1].
        """
        self.state.begin_episodes(self.vector)
        while self.state.env_step < self._warm_up:
            self._collect_once(epsilon=1.0)
        epsilon = self._epsilon(progress)
        self.state.debt += steps * self.settings.env_steps_per_step
        self._scores.refresh()
        while self.state.debt >= self.vector.num_envs:
            self.state.debt -= self.vector.num_envs
            self._collect_once(epsilon)
        batch = self._replay.sample(
            (self.steps_per_batch, self.settings.batch_size), self.state.generator
        )
        loss = self._train(steps, self._as_tensors(batch))
        return {"loss": loss, "epsilon": epsilon}

    def observations(self, count: int) -> Any:
        """Returns up to ``count`` of the latest observations, nested as the agent's spec."""
        return tf.nest.pack_sequence_as(
            self._agent.time_step_spec.observation, self._replay.recent(count)
        )

    def to_bytes(self) -> bytes:
        """Returns everything that is not a TensorFlow variable; ends the running episodes."""
        if self.state.running:
            self._replay.end_episodes(self.vector.observation)
        return self.state.to_bytes(self.vector, {"replay": self._replay.to_bytes()})

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave."""
        self._replay.from_bytes(self.state.from_bytes(self.vector, data)["replay"])

    def _epsilon(self, progress: float) -> float:
        own = self._parts.epsilon
        if callable(own):
            return float(own())
        final = 0.0 if own is None else float(own)
        return max(final, 1.0 - (1.0 - final) * progress / max(self.settings.exploration, 1e-9))

    def _collect_once(self, epsilon: float) -> None:
        observation = self.vector.observation
        action = self._act(observation, epsilon)
        step = self.vector.step(action)
        self._replay.add(
            observation, action, step.reward, step.terminated, step.truncated, step.resets
        )
        self.state.env_step += self.vector.num_envs

    def _act(self, observation: list[Array], epsilon: float) -> Array:
        generator, count = self.state.generator, self.vector.num_envs
        action = generator.integers(self._parts.num_actions, size=count)
        greedy = generator.random(count) >= epsilon
        if greedy.any():
            action = np.where(greedy, np.argmax(self._scores(observation), axis=-1), action)
        return action.astype(self._action_dtype)

    def _as_tensors(self, batch: Any) -> dict[str, Any]:
        return {
            "observation": batch.observation,
            "action": batch.action,
            "reward": batch.reward,
            "discount": batch.discount,
            "next_observation": batch.next_observation,
        }

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        batch = tf.nest.map_structure(lambda array: array[index], inputs)
        pack: Callable[[Any], Any] = lambda leaves: tf.nest.pack_sequence_as(  # noqa: E731
            self._agent.time_step_spec.observation, leaves
        )
        middle = tf.fill((self.settings.batch_size,), ts.StepType.MID)
        ones = tf.ones((self.settings.batch_size,))
        # A Transition carries its own n-step reward and discount; a Trajectory would need rows of
        # one episode in a row.
        experience = trajectory.Transition(
            ts.TimeStep(middle, tf.zeros_like(ones), ones, pack(batch["observation"])),
            policy_step.PolicyStep(batch["action"]),
            ts.TimeStep(
                middle, batch["reward"], batch["discount"], pack(batch["next_observation"])
            ),
        )
        return self._agent.train(experience).loss
