"""Updates of a PPO agent that runs its own epochs on whole roll-outs, recurrent or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import trajectory

from tfdrlprune.agents.compiled import as_graph
from tfdrlprune.agents.internals import ActorCritic, continued
from tfdrlprune.agents.rehearsal import Body, Rehearsals
from tfdrlprune.agents.rollout import Rollout
from tfdrlprune.agents.step_types import step_types
from tfdrlprune.pruning.gradients import Record


class OwnEpochs:
    """One ``agent.train`` on the whole roll-out, for agents that compute advantages themselves.

    Args:
        agent: a PPO agent.
        parts: its parts.
    """

    def __init__(self, agent: Any, parts: ActorCritic):
        self._agent, self._parts = agent, parts
        self.steps = parts.own_epochs or 1
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next roll-out."""
        # Not under XLA: the agent unrolls its epochs, which then take 15 s and more to compile.
        self._train = as_graph(self._train_on)
        self._rehearsals = Rehearsals(
            self._agent,
            [self._parts.optimizer],
            lambda index, inputs: self._train_on(*inputs),
            _once_as_graph,
        )

    def __call__(self, rollout: Rollout) -> float:
        """Makes the agent's own steps on one roll-out; returns the loss."""
        with tf.summary.record_if(False):
            return float(self._train(self._experience(rollout), rollout.states))

    def rehearse(self, rollout: Rollout, record: Record, batches: int) -> None:
        """Hands the gradients of the agent's own epochs to ``record``, however many they are."""
        self._rehearsals(record, 1, (self._experience(rollout), rollout.states))

    def _train_on(self, experience: Any, states: Any) -> tf.Tensor:
        with continued(self._agent, states):
            return self._agent.train(experience).loss

    def _experience(self, rollout: Rollout) -> trajectory.Trajectory:
        """Returns a roll-out as the agent takes it, [envs, time, ...]."""
        kinds, following = step_types(rollout.first, rollout.done, rollout.resets)
        experience = trajectory.Trajectory(
            step_type=kinds,
            observation=tf.nest.pack_sequence_as(
                self._agent.time_step_spec.observation, rollout.observation
            ),
            action=rollout.action,
            policy_info={"dist_params": rollout.parameters},
            next_step_type=following,
            reward=rollout.reward,
            discount=np.where(rollout.terminated, 0.0, 1.0).astype(np.float32),
        )
        return tf.nest.map_structure(lambda array: np.swapaxes(array, 0, 1), experience)


def _once_as_graph(body: Body) -> Callable[[int, Any], Any]:
    """Returns what runs a body once; not under XLA, as above."""
    function = tf.function(lambda inputs: body(tf.constant(0), inputs))

    def run(count: int, inputs: Any) -> Any:
        with tf.summary.record_if(False):
            return function(inputs)

    return run
