"""Updates of a PPO agent on one roll-out: fused minibatch steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfdrlprune.agents.advantages import generalized_advantages
from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.agents.internals import ActorCritic
from tfdrlprune.agents.learner import LearnerState
from tfdrlprune.agents.rehearsal import Rehearsals, compiled_loop
from tfdrlprune.agents.rollout import Rollout
from tfdrlprune.pruning.gradients import Record
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class OnPolicySettings:
    """How `AgentTrainer` collects for and trains a PPO agent.

    One Keras batch is one roll-out and one update of ``epochs * minibatches`` optimizer steps. An
    agent that runs its own epochs (``compute_value_and_advantage_in_train=True``, TF-Agents'
    default) is given whole roll-outs and keeps its own number of epochs; ``epochs``,
    ``minibatch_size`` and ``scale_rewards`` are then not used.

    Attributes:
        rollout_length: steps of every environment in a roll-out.
        epochs: passes over a roll-out.
        minibatch_size: environment steps in an optimizer step.
        scale_rewards: divide rewards by the running standard deviation of discounted returns.
        final_learning_rate: share of the learning rate that is left at the end of the run, falling
            linearly; 1 leaves it alone.

    Example:
        >>> settings = OnPolicySettings(epochs=4)  # of 8 environments, in minibatches:
        >>> settings.epochs * (8 * settings.rollout_length // settings.minibatch_size)
        16
    """

    rollout_length: int = 128
    epochs: int = 10
    minibatch_size: int = 256
    scale_rewards: bool = True
    final_learning_rate: float = 0.05


class Update(Protocol):
    """Optimizer steps on one roll-out.

    Attributes:
        steps: how many.
    """

    steps: int

    def forget_compiled(self) -> None:
        """Traces anew at the next roll-out."""

    def __call__(self, rollout: Rollout) -> float:
        """Makes all ``steps`` on one roll-out; returns the mean loss."""
        ...

    def rehearse(self, rollout: Rollout, record: Record, batches: int) -> None:
        """Hands the gradients of the loss on a roll-out to ``record``, and changes nothing."""
        ...


class Minibatches:
    """Epochs over shuffled minibatches with advantages from here, fused into one compiled call.

    Args:
        agent: a PPO agent that expects minibatches.
        parts: its parts.
        settings: see `OnPolicySettings`.
        num_envs: environments in a roll-out.
        state: where the shuffles' randomness comes from.

    Raises:
        ValueError: a roll-out is shorter than a minibatch.
    """

    def __init__(
        self,
        agent: Any,
        parts: ActorCritic,
        settings: OnPolicySettings,
        num_envs: int,
        state: LearnerState,
    ):
        size = settings.rollout_length * num_envs
        if size < settings.minibatch_size:
            raise ValueError(
                f"A roll-out has {settings.rollout_length} x {num_envs} = {size} steps, fewer than "
                f"one minibatch of {settings.minibatch_size}. Lower minibatch_size or raise "
                "rollout_length."
            )
        self._agent, self._parts, self._settings, self._state = agent, parts, settings, state
        self._minibatches = size // settings.minibatch_size
        self.steps = settings.epochs * self._minibatches
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next roll-out."""
        self._train = CompiledLoop(self._train_once, "training")
        self._normalize = CompiledLoop(self._update_normalizer, "normalizing")
        self._rehearsals = Rehearsals(
            self._agent, [self._parts.optimizer], self._train_once, compiled_loop
        )

    def __call__(self, rollout: Rollout) -> float:
        """Makes all ``steps`` on one roll-out; returns the mean loss."""
        inputs = self._inputs(rollout)
        inputs["indices"] = self._indices(np.flatnonzero(~rollout.resets))
        loss = self._train(self.steps, inputs)
        # After the update, so that old and new probabilities are of the same inputs.
        self._normalize(1, rollout.observation)
        return loss

    def rehearse(self, rollout: Rollout, record: Record, batches: int) -> None:
        """Hands the gradients on minibatches to ``record``, at most as many as in an update."""
        inputs = self._inputs(rollout)
        inputs["indices"] = self._indices(np.flatnonzero(~rollout.resets))
        self._rehearsals(record, min(batches, self.steps), inputs)

    def _inputs(self, rollout: Rollout) -> dict[str, Any]:
        """Returns a roll-out with its advantages, [time * envs, ...]."""
        advantages = generalized_advantages(
            rollout.values,
            rollout.reward,
            rollout.terminated,
            rollout.done,
            self._parts.gamma,
            self._parts.gae_lambda,
        )
        inputs = {
            "observation": rollout.observation,
            "action": rollout.action,
            "parameters": rollout.parameters,
            "value": rollout.values[:-1],
            "advantage": advantages,
            "return": advantages + rollout.values[:-1],
        }
        flattened: dict[str, Any] = tf.nest.map_structure(flat, inputs)
        return flattened

    def _indices(self, rows: Array) -> Array:
        """Returns int32 [epochs * minibatches, minibatch_size]: each epoch its own shuffle.

        Rows that merely reset an environment are left out; the few that are then missing to whole
        minibatches are filled up by a second shuffle, so that shapes stay the same.
        """
        shape = (self._minibatches, self._settings.minibatch_size)
        shuffle = self._state.generator.permutation
        epochs = [
            np.resize(np.concatenate([shuffle(rows), shuffle(rows)]), shape)
            for _ in range(self._settings.epochs)
        ]
        return np.concatenate(epochs).astype(np.int32)

    def _update_normalizer(self, index: tf.Tensor, leaves: list[tf.Tensor]) -> tf.Tensor:
        self._agent.update_observation_normalizer(
            tf.nest.pack_sequence_as(self._agent.time_step_spec.observation, leaves)
        )
        return tf.constant(0.0)

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        chosen = inputs["indices"][index]

        def batch(name: str) -> Any:
            # TF-Agents wants [batch, time]; every row stands alone, so time is 1.
            return tf.nest.map_structure(
                lambda array: tf.gather(array, chosen)[:, None], inputs[name]
            )

        ones = tf.ones((self._settings.minibatch_size, 1))
        middle = tf.fill((self._settings.minibatch_size, 1), ts.StepType.MID)
        experience = trajectory.Trajectory(
            step_type=middle,
            observation=tf.nest.pack_sequence_as(
                self._agent.time_step_spec.observation, batch("observation")
            ),
            action=batch("action"),
            policy_info={
                "dist_params": batch("parameters"),
                "value_prediction": batch("value"),
                "return": batch("return"),
                "advantage": batch("advantage"),
            },
            next_step_type=middle,
            reward=tf.zeros_like(ones),
            discount=ones,
        )
        return self._agent.train(experience).loss


def flat(array: Array) -> Array:
    """Returns [time, envs, ...] as [time * envs, ...]."""
    return array.reshape((-1, *array.shape[2:]))
