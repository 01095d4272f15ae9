"""Learning from replayed sequences: DQN with a recurrent network."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import policy_step, trajectory
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.internals import QLearning
from tfdrlprune.agents.off_policy import OffPolicyLearner
from tfdrlprune.agents.q_learner import OffPolicySettings, QLearner
from tfdrlprune.agents.replay import Replay
from tfdrlprune.agents.sequences import SequenceReplay
from tfdrlprune.agents.step_types import step_types
from tfdrlprune.agents.vector import Vector
from tfdrlprune.specs import Array


class RecurrentQLearner(QLearner):
    """A DQN agent with a recurrent network as a `Method`.

    Every environment has a state of the network, which is forgotten where an episode begins.
    Warm-up acts without the network, so episodes that run at its end go on from an empty state.

    Args:
        agent: the TF-Agents agent.
        parts: its parts.
        settings: see `OffPolicySettings`.
        vector: the environments that it acts in.
    """

    def __init__(self, agent: Any, parts: QLearning, settings: OffPolicySettings, vector: Vector):
        self._vector = vector
        self._state = tuple(tf.nest.flatten(parts.network.get_initial_state(vector.num_envs)))
        super().__init__(agent, parts, settings)

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""
        self._act = compiled(self._values_and_state, "acting")

    def refresh(self, progress: float) -> dict[str, float]:
        """Sets epsilon; returns it for the logs."""
        self._epsilon = self._epsilon_at(progress)
        return {"epsilon": self._epsilon}

    @property
    def acts_on_copies(self) -> bool:
        """Returns False: actions depend on the variables."""
        return False

    def action_for(self, observation: list[Array], generator: np.random.Generator) -> Array:
        """Returns epsilon-greedy actions in the environments, [count], and carries the state on."""
        values, self._state = self._act(observation, self._vector.first, self._state)
        action = self.random_action(len(observation[0]), generator)
        greedy = generator.random(len(action)) >= self._epsilon
        return np.where(greedy, np.argmax(values, axis=-1), action).astype(self.action[1])

    def _values_and_state(self, leaves: list[tf.Tensor], first: Any, state: Any) -> Any:
        """Returns Q-values, and the state after them, flat."""
        network = self._parts.network
        step = time_step(self._agent, leaves, first)
        values, after = network(
            step.observation,
            step_type=step.step_type,
            network_state=tf.nest.pack_sequence_as(network.state_spec, state),
        )
        return values, tuple(tf.nest.flatten(after))


class SequenceLearner(OffPolicyLearner):
    """Collects with a recurrent policy and trains its agent on sequences of replay.

    Each begins with an empty state, as TF-Agents' DQN has it.

    Args:
        agent: the TF-Agents agent.
        method: how it acts and trains.
        vector: the environments.
        seed: of exploration, replay sampling and episodes.
    """

    _replay: SequenceReplay
    settings: OffPolicySettings

    @property
    def _steps_in_sample(self) -> int:
        return self.settings.sequence_length

    def _build_replay(self, *arguments: Any) -> Replay:
        settings, num_envs = self.settings, self.vector.num_envs
        if not 2 <= settings.sequence_length < settings.capacity // num_envs:
            raise ValueError(
                "A sequence has 2 steps or more, and replay holds more steps of an environment. "
                f"Received: sequence_length={settings.sequence_length}, and room for "
                f"capacity={settings.capacity} / {num_envs} environments."
            )
        return SequenceReplay(*arguments)

    def _bytes_of_sample(self) -> int:
        return super()._bytes_of_sample() * self._steps_in_sample

    def _draw(self, steps: int) -> dict[str, Any]:
        """Draws a batch for each of some optimizer steps."""
        generator = self.state.generator
        shape = (steps, self.settings.batch_size)
        batch = self._replay.sequences(shape, self._steps_in_sample, generator)
        kinds, following = step_types(batch.first, batch.done, batch.resets)
        return {
            "observation": batch.observation,
            "action": batch.action,
            "reward": batch.reward,
            "discount": np.where(batch.terminated, 0.0, 1.0).astype(np.float32),
            "next_observation": batch.next_observation,
            "step_type": kinds,
            "next_step_type": following,
            "noise": self._method.noise(steps, generator),
        }

    def _experience(self, batch: dict[str, Any]) -> trajectory.Transition:
        """Returns sequences as transitions of all their steps, [batch, time, ...]."""
        before, after = (
            tf.nest.pack_sequence_as(self._spec, batch[name])
            for name in ("observation", "next_observation")
        )
        ones = tf.ones_like(batch["discount"])
        return trajectory.Transition(
            ts.TimeStep(batch["step_type"], tf.zeros_like(ones), ones, before),
            policy_step.PolicyStep(tf.nest.pack_sequence_as(self._action_spec, [batch["action"]])),
            ts.TimeStep(batch["next_step_type"], batch["reward"], batch["discount"], after),
        )
