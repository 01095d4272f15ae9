"""Greedy returns while training: the Keras callback, and the roll-out behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from tfdrlprune.agents import spaces
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.policies.tf_policies import greedy_policy
from tfdrlprune.pruning.kernels import Kernel, find_kernels
from tfdrlprune.pruning.masks import bias_masks_of, masks_of
from tfdrlprune.simulation import Environment, make_vector
from tfdrlprune.specs import Array

# env_steps: an environment without a limit of its own must not hang an evaluation.
_LONGEST = 100_000


def greedy_returns(
    act: Callable[[Any], Any], envs: Sequence[Any], seeds: Sequence[int], limit: int = _LONGEST
) -> Array:
    """Returns the undiscounted return of one episode in each environment, all stepped together.

    Args:
        act: observations, nested and batched on the first axis -> actions in the environment's own
            units, likewise.
        envs: as many environments as seeds.
        seeds: of the episodes.
        limit: env_steps after which episodes are cut.
    """
    space = envs[0].observation_space
    current = [
        spaces.encode_observation(space, env.reset(seed=seed)[0])
        for env, seed in zip(envs, seeds, strict=True)
    ]
    returns, running = np.zeros(len(envs)), np.ones(len(envs), bool)
    for _ in range(limit):
        if not running.any():
            break
        actions = act(tf.nest.map_structure(lambda *each: np.stack(each), *current))
        for index in np.flatnonzero(running):
            action = tf.nest.map_structure(lambda leaf, i=index: leaf[i], actions)
            observation, reward, terminated, truncated, _ = envs[index].step(action)
            returns[index] += float(reward)
            current[index] = spaces.encode_observation(space, observation)
            running[index] = not (terminated or truncated)
    return returns


def vector_returns(
    act: Callable[[Any], Any], envs: VectorEnv[Any, Any, Any], seed: int, limit: int = _LONGEST
) -> Array:
    """Returns the undiscounted return of the first episode in each of some vector environments.

    Args:
        act: as for `greedy_returns`.
        envs: they reset themselves on the step after an episode's last.
        seed: of all the episodes.
        limit: env_steps after which episodes are cut.
    """
    space = envs.single_observation_space
    observation, _ = envs.reset(seed=seed)
    returns, running = np.zeros(envs.num_envs), np.ones(envs.num_envs, bool)
    for _ in range(limit):
        if not running.any():
            break
        actions = act(spaces.encode_observation(space, observation))
        observation, reward, terminated, truncated, _ = envs.step(actions)
        returns += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
    return returns


# More than masks and gates together remove.
_MOST_SPARSE = 2.0


class EvaluationCallback(tf.keras.callbacks.Callback):
    """Logs the greedy policy's mean return as ``return`` at the end of every epoch.

    Args:
        env: registered id or factory; by default the trainer's own.
        episodes: how many; they begin differently, and the same way every time.
        seed: of the episodes; choose other seeds to judge the policy afterwards.
        keep_best: at the end of training put back the policy of the best evaluation; one at a
            higher sparsity is better than any at a lower, and one that rounds as int8 does better
            than any before.
        stop_at: training ends at the first mean return of at least this; None trains to the end. A
            lucky evaluation stops too early: take 100 episodes.

    Raises:
        ValueError: the trainer has one environment object only, which is busy training.

    Example:
        >>> import tfdrlprune as tp
        >>> agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0)
        >>> trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=8)
        >>> history = trainer.fit(
        ...     steps=256, callbacks=[EvaluationCallback(episodes=4)], verbose=0
        ... ).history
        >>> len(history["return"]), history["return"][-1] >= 1.0
        (1, True)
    """

    def __init__(
        self,
        env: Environment | None = None,
        *,
        episodes: int = 20,
        seed: int = 1_000_000,
        keep_best: bool = False,
        stop_at: float | None = None,
    ):
        super().__init__()
        self._env, self._episodes, self._seed = env, episodes, seed
        self._keep_best, self._stop_at = keep_best, stop_at
        self._envs: VectorEnv[Any, Any, Any] | None = None
        self._policy: Any = None
        self._state: Any = ()  # of a recurrent policy, amid its episodes
        self._rounds = False
        # Rank of the best evaluation so far: how far the network is, then its return.
        self._rank = tf.Variable([-1.0, -np.inf], trainable=False, dtype=tf.float64)
        self._best: list[tf.Variable] = []

    def set_model(self, model: Any) -> None:
        """Makes the environments."""
        super().set_model(model)
        env = model.env if self._env is None else self._env
        if self._envs is None:
            if not isinstance(env, str) and not callable(env):
                raise ValueError(
                    "Evaluation needs environments of its own. Give EvaluationCallback an id or a "
                    "function that makes one."
                )
            self._envs = make_vector(env, self._episodes)
        model.keeps_best = self._keep_best  # a return gate must know
        self._policy = greedy_policy(model.agent)
        self._act = compiled(self._greedy, "evaluation")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Makes room for the best policy in the checkpoint, now that all masks are in force."""
        if self._keep_best:
            variables = self._best_variables()
            if len(self._best) != len(variables):
                # Of an earlier fit under other masks nothing is to come back.
                self._rank.assign([-1.0, -np.inf])
                self._best = [tf.Variable(each, trainable=False) for each in variables]
            self.model.evaluation_state = tf.train.Checkpoint(rank=self._rank, best=self._best)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates, and remembers the policy if it is the best."""
        if self._rounds != self._rounds_now():  # what was compiled before is of another network
            self._rounds = self._rounds_now()
            self._act = compiled(self._greedy, "evaluation")
        value = float(np.mean(self._returns()))
        if logs is not None:
            logs["return"] = value
        if self._stop_at is not None and value >= self._stop_at:
            self.model.stop_training = True
        if self._keep_best:
            rank = (self._sparsity() + _MOST_SPARSE * self._rounds, value)
            if rank >= tuple(self._rank.numpy()):
                self._rank.assign(rank)
                for best, current in zip(self._best, self._best_variables(), strict=True):
                    best.assign(current)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Puts the best policy back."""
        self.model.keeps_best = False
        if self._keep_best and np.isfinite(self._rank.numpy()[1]):
            for best, current in zip(self._best, self._best_variables(), strict=True):
                current.assign(best)

    def _best_variables(self) -> list[tf.Variable]:
        """Returns the policy's variables and its masks, which sparse training moves."""
        kernels = self._kernels()
        masks = [*masks_of(kernels), *bias_masks_of(kernels)]
        return [*self.model.agent.policy.variables(), *masks]

    def _sparsity(self) -> float:
        """Returns what masks remove, and gates of units: what is zero by chance is not removed."""
        kernels = self._kernels()
        gone = sum(np.sum(mask.numpy() == 0.0) for mask in masks_of(kernels))
        share = float(gone / sum(math.prod(kernel.shape) for kernel in kernels))
        gates = [each for each in self._actor().submodules if getattr(each, "unit_gate", False)]
        return share + (float(np.mean(_closed(gates))) if gates else 0.0)

    def _rounds_now(self) -> bool:
        """Tells whether a `QuantizationCallback` has the acting network round."""
        return any(getattr(each, "rounds_as_int8", False) for each in self._actor().submodules)

    def _kernels(self) -> list[Kernel]:
        return find_kernels(self._actor())

    def _actor(self) -> Any:
        ((actor, _),) = self.model.prunable_networks()["actor"]
        return actor

    def _returns(self) -> Array:
        assert self._envs is not None
        self._state = tuple(tf.nest.flatten(self._policy.get_initial_state(self._episodes)))
        if isinstance(self._envs, SyncVectorEnv):
            # Not through its own step, which goes on with episodes that nobody asked for.
            seeds = [self._seed + index for index in range(self._episodes)]
            return greedy_returns(self._actions, self._envs.envs, seeds)
        return vector_returns(self._actions, self._envs, self._seed)

    def _actions(self, observations: Any) -> Any:
        assert self._envs is not None
        chosen, self._state = self._act(tf.nest.flatten(observations), self._state)
        chosen = tf.nest.map_structure(np.asarray, chosen)
        return spaces.decode_action(self._envs.single_action_space, chosen)

    def _greedy(self, leaves: list[tf.Tensor], state: tuple[tf.Tensor, ...]) -> Any:
        """Returns actions, and the state after them, flat."""
        step = self._policy.action(
            time_step(self.model.agent, leaves),
            tf.nest.pack_sequence_as(self._policy.policy_state_spec, state),
        )
        return step.action, tuple(tf.nest.flatten(step.state))


def _closed(gates: list[Any]) -> Array:
    """Returns bool, [units of all gates], which are closed."""
    return np.concatenate([~gate.is_open() for gate in gates])
