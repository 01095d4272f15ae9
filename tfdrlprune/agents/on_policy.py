"""Learning from roll-outs: PPO."""

from __future__ import annotations

import io
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.advantages import ReturnScale
from tfdrlprune.agents.internals import ActorCritic
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.own_epochs import OwnEpochs
from tfdrlprune.agents.recurrent_rollout import RecurrentCollector
from tfdrlprune.agents.rehearsal import call
from tfdrlprune.agents.rollout import Collector, Rollout
from tfdrlprune.agents.updates import Minibatches, OnPolicySettings, Update, flat
from tfdrlprune.agents.vector import Vector
from tfdrlprune.pruning.gradients import Record
from tfdrlprune.pruning.models import Followed
from tfdrlprune.pruning.moments import build_optimizer
from tfdrlprune.specs import Array


class OnPolicyLearner:
    """Collects roll-outs with the stochastic policy and trains a PPO agent on them.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        vector: the environments.
        settings: see `OnPolicySettings`.
        seed: of actions, shuffling and episodes.
    """

    def __init__(
        self, agent: Any, parts: ActorCritic, vector: Vector, settings: OnPolicySettings, seed: int
    ):
        self.settings, self.optimizers, self.vector = settings, [parts.optimizer], vector
        self.networks: dict[str, list[Followed]] = {
            "actor": [(parts.actor, [])],
            "critic": [(parts.critic, [])],
        }
        build_optimizer(
            parts.optimizer, parts.actor.trainable_variables + parts.critic.trainable_variables
        )
        self.state = LearnerState(seed)
        self._agent = agent
        own = parts.own_epochs is not None
        scaled = settings.scale_rewards and not own
        scale = ReturnScale(vector.num_envs, parts.gamma, self.state.extra) if scaled else None
        self._collector: Collector | RecurrentCollector = (
            RecurrentCollector(agent, parts, vector, self.state)
            if parts.recurrent
            else Collector(agent, parts, vector, self.state, scale)
        )
        self._update: Update = (
            OwnEpochs(agent, parts)
            if own
            else Minibatches(agent, parts, settings, vector.num_envs, self.state)
        )
        self.steps_per_batch = self._update.steps
        self._normalizer = parts.normalizer
        self._rollout: Rollout | None = None
        self._collected = False
        self._latest: list[Array] = [
            np.zeros((0, *leaf.shape), leaf.dtype.as_numpy_dtype)
            for leaf in tf.nest.flatten(agent.time_step_spec.observation)
        ]

    def forget_compiled(self) -> None:
        """Traces anew at the next batch, as needed after masks were put in force."""
        self._collector.forget_compiled()
        self._update.forget_compiled()

    def steps_for(self, env_steps: int) -> int:
        """Returns the optimizer steps that go with this many more environment steps."""
        rollout = self.settings.rollout_length * self.vector.num_envs
        return -(-env_steps // rollout) * self.steps_per_batch

    def whole_steps(self, steps: int) -> int:
        """Returns ``steps`` rounded up to whole updates."""
        return -(-steps // self.steps_per_batch) * self.steps_per_batch

    def train_batch(
        self, steps: int, progress: float, following: tuple[int, float] | None = None
    ) -> dict[str, float]:
        """Collects one roll-out, then makes one update, always whole; returns logs."""
        rollout = self._rollout if self._collected else None
        self._collected = False
        return {"loss": self._update(rollout or self._collect())}

    def gather(self) -> None:
        """Collects the first roll-out, which the first batch then trains on."""
        if self._rollout is None:
            self._collect()
            self._collected = True

    def rehearse(self, record: Record, batches: int) -> None:
        """Hands the gradients of the loss on the last roll-out to ``record``.

        Before the first one it collects that, and trains on it afterwards.
        """
        self.gather()
        assert self._rollout is not None
        self._update.rehearse(self._rollout, record, batches)

    def visit(self, network: Any, count: int) -> None:
        """Calls a network on recent observations, normalised; see `Learner`."""
        observation = self.observations(count)
        if self._normalizer is not None:
            observation = self._normalizer.normalize(observation)
        call(network, observation)

    def _collect(self) -> Rollout:
        self._rollout = self._collector.collect(self.settings.rollout_length)
        self._latest = [flat(leaf) for leaf in self._rollout.observation]
        return self._rollout

    def observations(self, count: int) -> Any:
        """Returns up to ``count`` observations of the last roll-out, nested as the agent's spec."""
        return tf.nest.pack_sequence_as(
            self._agent.time_step_spec.observation, [leaf[-count:] for leaf in self._latest]
        )

    def to_bytes(self) -> bytes:
        """Returns everything that is not a TensorFlow variable; ends the running episodes."""
        buffer = io.BytesIO()
        # A run that was killed after its last update is resumed without another roll-out.
        np.savez(buffer, *self._latest)
        return self.state.to_bytes(self.vector, {"latest": buffer.getvalue()})

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave."""
        self._rollout, self._collected = None, False
        latest = self.state.from_bytes(self.vector, data)["latest"]
        with np.load(io.BytesIO(latest), allow_pickle=False) as stored:
            self._latest = [stored[name] for name in stored.files]
