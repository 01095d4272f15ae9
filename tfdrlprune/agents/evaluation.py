"""Greedy returns while training: the Keras callback, and the roll-out behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.agents import spaces
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.simulation import Environment, make

Array = NDArray[Any]


def greedy_returns(act: Callable[[Any], Any], envs: Sequence[Any], seeds: Sequence[int]) -> Array:
    """Returns the undiscounted return of one episode in each environment, all stepped together.

    Args:
        act: observations, nested and batched on the first axis -> actions in the environment's own
            units, likewise.
        envs: as many environments as seeds; they must end or truncate by themselves.
        seeds: of the episodes.
    """
    space = envs[0].observation_space
    current = [
        spaces.encode_observation(space, env.reset(seed=seed)[0])
        for env, seed in zip(envs, seeds, strict=True)
    ]
    returns, running = np.zeros(len(envs)), np.ones(len(envs), bool)
    while running.any():
        actions = act(tf.nest.map_structure(lambda *each: np.stack(each), *current))
        for index in np.flatnonzero(running):
            action = tf.nest.map_structure(lambda leaf, i=index: leaf[i], actions)
            observation, reward, terminated, truncated, _ = envs[index].step(action)
            returns[index] += float(reward)
            current[index] = spaces.encode_observation(space, observation)
            running[index] = not (terminated or truncated)
    return returns


class EvaluationCallback(tf.keras.callbacks.Callback):
    """Logs the greedy policy's mean return as ``return`` at the end of every epoch.

    Args:
        env: registered id or factory; by default the trainer's own.
        episodes: how many, each with a seed of its own and the same ones every time.
        seed: of the episodes; choose other seeds to judge the policy afterwards.
        keep_best: at the end of training put back the policy of the best evaluation; one at a
            higher sparsity is better than any at a lower.

    Raises:
        ValueError: the trainer has one environment object only, which is busy training.
    """

    def __init__(
        self,
        env: Environment | None = None,
        *,
        episodes: int = 20,
        seed: int = 1_000_000,
        keep_best: bool = False,
    ):
        super().__init__()
        self._env, self._episodes, self._keep_best = env, episodes, keep_best
        self._seeds = [seed + index for index in range(episodes)]
        self._envs: list[Any] = []
        # Rank of the best evaluation so far: sparsity, then return.
        self._rank = tf.Variable([-1.0, -np.inf], trainable=False, dtype=tf.float64)
        self._best: list[tf.Variable] = []

    def set_model(self, model: Any) -> None:
        """Makes the environments, and room for the best policy in the checkpoint."""
        super().set_model(model)
        env = model.env if self._env is None else self._env
        if not self._envs:
            if not isinstance(env, str) and not callable(env):
                raise ValueError(
                    "Evaluation needs environments of its own. Give EvaluationCallback an id or a "
                    "function that makes one."
                )
            self._envs = [make(env) for _ in range(self._episodes)]
        self._act = compiled(self._greedy, "evaluation")
        if self._keep_best:
            variables = self._policy_variables()
            if len(self._best) != len(variables):
                self._best = [tf.Variable(each, trainable=False) for each in variables]
            model.evaluation_state = tf.train.Checkpoint(rank=self._rank, best=self._best)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates, and remembers the policy if it is the best."""
        value = float(np.mean(greedy_returns(self._actions, self._envs, self._seeds)))
        if logs is not None:
            logs["return"] = value
        if self._keep_best:
            rank = (self._sparsity(), value)
            if rank >= tuple(self._rank.numpy()):
                self._rank.assign(rank)
                for best, current in zip(self._best, self._policy_variables(), strict=True):
                    best.assign(current)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Puts the best policy back."""
        if self._keep_best and np.isfinite(self._rank.numpy()[1]):
            for best, current in zip(self._best, self._policy_variables(), strict=True):
                current.assign(best)

    def _policy_variables(self) -> list[tf.Variable]:
        return list(self.model.agent.policy.variables())

    def _sparsity(self) -> float:
        actor, _ = self.model.prunable_networks()["actor"]
        kernels = [kernel.variable.numpy() for kernel in find_kernels(actor)]
        return sum(np.sum(k == 0.0) for k in kernels) / sum(k.size for k in kernels)

    def _actions(self, observations: Any) -> Any:
        chosen = self._act(tf.nest.flatten(observations))
        chosen = tf.nest.map_structure(np.asarray, chosen)
        return spaces.decode_action(self._envs[0].action_space, chosen)

    def _greedy(self, leaves: list[tf.Tensor]) -> Any:
        return self.model.agent.policy.action(time_step(self.model.agent, leaves)).action
