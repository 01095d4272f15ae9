"""Learning from replay: what DQN, SAC and TD3 share, collection and fused training steps."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.trajectories import policy_step, trajectory
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.method import Method
from tfdrlprune.agents.rehearsal import Rehearsals, call, compiled_loop
from tfdrlprune.agents.replay import Replay
from tfdrlprune.agents.vector import Vector
from tfdrlprune.pruning.gradients import Record
from tfdrlprune.specs import Array

_BATCH_BYTES = 64 * 2**20  # of observations in one compiled call


@dataclass(frozen=True)
class _Ahead:
    """What was collected for a batch before its turn."""

    steps: int
    logs: dict[str, float]
    inputs: dict[str, Any]


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
        self.networks = method.networks
        self.vector = vector
        self.state = LearnerState(seed)
        self._method = method
        self._spec, self._action_spec = agent.time_step_spec.observation, agent.action_spec
        # The first transition is whole when n further rows have followed it.
        self._warm_up = max(self.settings.warm_up, (self._steps_in_sample + 1) * vector.num_envs)
        self._replay = self._build_replay(
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
        largest = max(1, _BATCH_BYTES // (self.settings.batch_size * self._bytes_of_sample()))
        self.steps_per_batch = min(self.settings.fused_steps, largest)
        self._ahead: _Ahead | None = None
        self._agent = agent
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch, as needed after masks were put in force."""
        self._method.forget_compiled()
        self._train = CompiledLoop(self._train_once, "training")
        self._rehearsals = Rehearsals(self._agent, self.optimizers, self._train_once, compiled_loop)

    def steps_for(self, env_steps: int) -> int:
        """Returns the optimizer steps that go with this many more environment steps."""
        if self.state.env_step == 0:
            env_steps -= self._warm_up
        return max(1, round(env_steps / self.settings.env_steps_per_step))

    def whole_steps(self, steps: int) -> int:
        """Returns ``steps``: a batch may make fewer steps than it has room for."""
        return steps

    def train_batch(
        self, steps: int, progress: float, following: tuple[int, float] | None = None
    ) -> dict[str, float]:
        """Collects, then makes ``steps`` optimizer steps; returns logs.

        Args:
            steps: in [1, ``steps_per_batch``].
            progress: share of the run that is done, in [0, 1].
            following: both of the batch after this one; None if there is none.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            logs = self._refresh(steps, progress)
            inputs = self._collect()
        else:
            logs, inputs = ahead.logs, ahead.inputs
            self._owe(steps - ahead.steps)
        if following is None or not self.settings.overlap or not self._method.acts_on_copies:
            return {"loss": self._train(steps, inputs)} | logs
        logs_ahead = self._refresh(*following)
        with ThreadPoolExecutor(1) as thread:
            collected = thread.submit(self._collect)
            loss = self._train(steps, inputs)
            self._ahead = _Ahead(following[0], logs_ahead, collected.result())
        return {"loss": loss} | logs

    def gather(self) -> None:
        """Makes the steps of the warm-up, unless they have been made."""
        self.state.begin_episodes(self.vector)
        while self.state.env_step < self._warm_up:
            self._step(self._method.random_action(self.vector.num_envs, self.state.generator))

    def rehearse(self, record: Record, batches: int) -> None:
        """Hands the gradients of the loss on some batches of replay to ``record``."""
        self.gather()
        self._rehearsals(record, batches, self._draw(batches))

    def visit(self, network: Any, count: int) -> None:
        """Calls a network on recent observations; see `Learner`."""
        call(network, self.observations(count))

    def observations(self, count: int) -> Any:
        """Returns up to ``count`` of the latest observations, nested as the agent's spec."""
        return tf.nest.pack_sequence_as(self._spec, self._replay.recent(count))

    def to_bytes(self) -> bytes:
        """Returns everything that is not a TensorFlow variable; ends the running episodes."""
        if self._ahead is not None:
            # Drawn anew in the run that goes on and in one that is resumed, but not collected anew.
            self._owe(-self._ahead.steps)
            self._ahead = None
        if self.state.running:
            self._replay.end_episodes(self.vector.observation)
        return self.state.to_bytes(self.vector, {"replay": self._replay.to_bytes()})

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave."""
        self._ahead = None
        self._replay.from_bytes(self.state.from_bytes(self.vector, data)["replay"])

    @property
    def _steps_in_sample(self) -> int:
        """Consecutive steps of an environment that a sample of replay is made of."""
        return self._method.n_step

    def _build_replay(self, *arguments: Any) -> Replay:
        return Replay(*arguments)

    def _bytes_of_sample(self) -> int:
        leaves = tf.nest.flatten(self._spec)
        return sum(2 * math.prod(leaf.shape) * leaf.dtype.size for leaf in leaves)

    def _owe(self, steps: int) -> None:
        """Makes due the environment steps that go with some optimizer steps."""
        self.state.debt += steps * self.settings.env_steps_per_step

    def _refresh(self, steps: int, progress: float) -> dict[str, float]:
        """Makes ready to collect for ``steps`` steps, by the weights as they are now."""
        self.gather()
        self._owe(steps)
        return self._method.refresh(progress)

    def _collect(self) -> dict[str, Any]:
        """Makes the environment steps that are due, and draws a batch for every optimizer step."""
        generator = self.state.generator
        while self.state.debt >= self.vector.num_envs:
            self.state.debt -= self.vector.num_envs
            self._step(self._method.action_for(self.vector.observation, generator))
        return self._draw(self.steps_per_batch)

    def _draw(self, steps: int) -> dict[str, Any]:
        """Draws a batch for each of some optimizer steps."""
        generator = self.state.generator
        batch = self._replay.sample((steps, self.settings.batch_size), generator)
        return {
            "observation": batch.observation,
            "action": batch.action,
            "reward": batch.reward,
            "discount": batch.discount,
            "next_observation": batch.next_observation,
            "noise": self._method.noise(steps, generator),
        }

    def _step(self, action: Array) -> None:
        observation = self.vector.observation
        step = self.vector.step(action)
        self._replay.add(
            observation, action, step.reward, step.terminated, step.truncated, step.resets
        )
        self.state.env_step += self.vector.num_envs

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        batch = tf.nest.map_structure(lambda array: array[index], inputs)
        return self._method.train(self._experience(batch), batch["noise"])

    def _experience(self, batch: dict[str, Any]) -> trajectory.Transition:
        """Returns what an optimizer step is made on."""
        middle = tf.fill((self.settings.batch_size,), ts.StepType.MID)
        ones = tf.ones((self.settings.batch_size,))
        before, after = (
            tf.nest.pack_sequence_as(self._spec, batch[name])
            for name in ("observation", "next_observation")
        )
        # A Transition carries its own n-step reward and discount; a Trajectory would need rows of
        # one episode in a row.
        return trajectory.Transition(
            ts.TimeStep(middle, tf.zeros_like(ones), ones, before),
            policy_step.PolicyStep(tf.nest.pack_sequence_as(self._action_spec, [batch["action"]])),
            ts.TimeStep(middle, batch["reward"], batch["discount"], after),
        )
