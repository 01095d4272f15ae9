"""What DQN, SAC and TD3 each add to learning from replay, and the settings that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import trajectory

from tfdrlprune.pruning.models import Followed
from tfdrlprune.specs import Array


@dataclass(frozen=True)
class ReplaySettings:
    """What `OffPolicySettings` (of DQN), `SacSettings` and `Td3Settings` share.

    Attributes:
        batch_size: transitions in an optimizer step.
        capacity: environment steps that replay keeps.
        warm_up: environment steps by random actions before the first optimizer step; more where
            n-step transitions of so many environments take more.
        env_steps_per_step: environment steps for each optimizer step.
        fused_steps: optimizer steps in one compiled call, which is one Keras batch; the acting
            policy is refreshed as often. Fewer where they would take more than 64 MB.
        final_learning_rate: share of the learning rate that is left at the end of the run, falling
            linearly; 1 leaves it alone.
        overlap: collect for the next batch in a thread while this one trains, for two cores or
            more. Actions are then by weights that are one batch older; the same seed still gives
            the same run. Networks that do not act in NumPy are trained without.
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
    overlap: bool = False
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

    @property
    def acts_on_copies(self) -> bool:
        """Whether actions depend on weights as of the last `refresh`, not on the variables."""

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
