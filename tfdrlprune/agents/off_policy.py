"""Learning from replay: what DQN and SAC share, collection and fused training steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray
from tf_agents.trajectories import policy_step, trajectory
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.replay import Replay
from tfdrlprune.agents.vector import Vector
from tfdrlprune.pruning.callbacks import Followed

Array = NDArray[Any]


@dataclass(frozen=True)
class ReplaySettings:
    """What `OffPolicySettings` and `SacSettings` share.

    Attributes:
        batch_size: transitions in an optimizer step.
        capacity: environment steps that replay keeps.
        warm_up: environment steps by random actions before the first optimizer step; more where
            n-step transitions of so many environments take more.
        env_steps_per_step: environment steps for each optimizer step.
        fused_steps: optimizer steps in one compiled call, which is one Keras batch; the acting
            policy is refreshed as often.
        final_learning_rate: share of the learning rate that is left at the end of the run, falling
            linearly; 1 leaves it alone.
        stacked_frames: store single frames of observations that are stacks of this many: a quarter
            of the memory for stacks of four, and the same training to the bit; one number means
            uint8 images, or one number for each part of the observation. See `Replay`.
        stack_axis: along which they are stacked, where their number does not tell.
    """

    batch_size: int
    capacity: int
    warm_up: int
    env_steps_per_step: float
    fused_steps: int
    final_learning_rate: float
    stacked_frames: int | tuple[int, ...] = 1
    stack_axis: int | None = None


class Method(Protocol):
    """What an algorithm adds to learning from replay: how to act, and what a step is.

    Attributes:
        networks: role -> the networks in it, each with those that follow it.
        optimizers: see `Learner`.
        n_step: steps in a transition that the agent expects.
        gamma: discount factor.
        action: shape and NumPy dtype of an action.
    """

    networks: dict[str, list[Followed]]
    optimizers: list[Any]
    n_step: int
    gamma: float
    action: tuple[tuple[int, ...], Any]

    @property
    def settings(self) -> ReplaySettings:
        """How it collects and trains."""

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""

    def refresh(self, progress: float) -> dict[str, float]:
        """Takes over the weights as they are now, at a point of the run; returns logs."""

    def random_action(self, count: int, generator: np.random.Generator) -> Array:
        """Returns actions for warm-up, [count, ...]."""

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns exploring actions, [count, ...]."""

    def noise(self, steps: int, generator: np.random.Generator) -> dict[str, Array]:
        """Returns the randomness inside that many training steps, [steps, ...] each."""

    def train(self, experience: trajectory.Transition, noise: dict[str, tf.Tensor]) -> tf.Tensor:
        """Makes one optimizer step; returns the loss."""


class OffPolicyLearner:
    """Collects with an exploring policy and trains an agent on replay, one Keras batch at a time.

    Args:
        agent: the TF-Agents agent.
        method: how it acts and trains.
        vector: the environments.
        seed: of exploration, replay sampling and episodes.
    """

    def __init__(self, agent: Any, method: Method, vector: Vector, seed: int):
        self.settings = method.settings
        self.optimizers = method.optimizers
        self.steps_per_batch = self.settings.fused_steps
        self.networks = method.networks
        self.vector = vector
        self.state = LearnerState(seed)
        self._method = method
        self._spec, self._action_spec = agent.time_step_spec.observation, agent.action_spec
        # The first transition is whole when n further rows have followed it.
        self._warm_up = max(self.settings.warm_up, (method.n_step + 1) * vector.num_envs)
        self._replay = Replay(
            self.settings.capacity,
            vector.num_envs,
            [
                (tuple(leaf.shape), leaf.dtype.as_numpy_dtype)
                for leaf in tf.nest.flatten(self._spec)
            ],
            method.action,
            method.n_step,
            method.gamma,
            self.settings.stacked_frames,
            self.settings.stack_axis,
        )
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch, as needed after masks were put in force."""
        self._method.forget_compiled()
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
        generator = self.state.generator
        self.state.begin_episodes(self.vector)
        while self.state.env_step < self._warm_up:
            self._step(self._method.random_action(self.vector.num_envs, generator))
        logs = self._method.refresh(progress)
        self.state.debt += steps * self.settings.env_steps_per_step
        while self.state.debt >= self.vector.num_envs:
            self.state.debt -= self.vector.num_envs
            self._step(self._method.action_for(self.vector.observation, generator))
        batch = self._replay.sample((self.steps_per_batch, self.settings.batch_size), generator)
        inputs = {
            "observation": batch.observation,
            "action": batch.action,
            "reward": batch.reward,
            "discount": batch.discount,
            "next_observation": batch.next_observation,
            "noise": self._method.noise(self.steps_per_batch, generator),
        }
        return {"loss": self._train(steps, inputs)} | logs

    def observations(self, count: int) -> Any:
        """Returns up to ``count`` of the latest observations, nested as the agent's spec."""
        return tf.nest.pack_sequence_as(self._spec, self._replay.recent(count))

    def to_bytes(self) -> bytes:
        """Returns everything that is not a TensorFlow variable; ends the running episodes."""
        if self.state.running:
            self._replay.end_episodes(self.vector.observation)
        return self.state.to_bytes(self.vector, {"replay": self._replay.to_bytes()})

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave."""
        self._replay.from_bytes(self.state.from_bytes(self.vector, data)["replay"])

    def _step(self, action: Array) -> None:
        observation = self.vector.observation
        step = self.vector.step(action)
        self._replay.add(
            observation, action, step.reward, step.terminated, step.truncated, step.resets
        )
        self.state.env_step += self.vector.num_envs

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        batch = tf.nest.map_structure(lambda array: array[index], inputs)
        middle = tf.fill((self.settings.batch_size,), ts.StepType.MID)
        ones = tf.ones((self.settings.batch_size,))
        before, after = (
            tf.nest.pack_sequence_as(self._spec, batch[name])
            for name in ("observation", "next_observation")
        )
        # A Transition carries its own n-step reward and discount; a Trajectory would need rows of
        # one episode in a row.
        experience = trajectory.Transition(
            ts.TimeStep(middle, tf.zeros_like(ones), ones, before),
            policy_step.PolicyStep(tf.nest.pack_sequence_as(self._action_spec, [batch["action"]])),
            ts.TimeStep(middle, batch["reward"], batch["discount"], after),
        )
        return self._method.train(experience, batch["noise"])
