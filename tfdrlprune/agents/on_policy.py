"""Learning from roll-outs: PPO, with collection, advantages and fused minibatch steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from numpy.typing import NDArray
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfdrlprune.agents.compiled import CompiledLoop, compiled
from tfdrlprune.agents.internals import ActorCritic
from tfdrlprune.agents.learner import LearnerState, build_optimizer
from tfdrlprune.agents.vector import Step, Vector

Array = NDArray[Any]


@dataclass(frozen=True)
class OnPolicySettings:
    """How `AgentTrainer` collects for and trains a PPO agent.

    One Keras batch is one roll-out and one update of ``epochs * minibatches`` optimizer steps.

    Attributes:
        rollout_length: steps of every environment in a roll-out.
        epochs: passes over a roll-out. An agent that runs its own epochs keeps its own number.
        minibatch_size: environment steps in an optimizer step.
        scale_rewards: divide rewards by the running standard deviation of discounted returns
            (Engstrom et al. 2020, "Implementation Matters in Deep Policy Gradients").
        final_learning_rate: share of the learning rate that is left at the end of the run, falling
            linearly; 1 leaves it alone.
    """

    rollout_length: int = 128
    epochs: int = 10
    minibatch_size: int = 256
    scale_rewards: bool = True
    final_learning_rate: float = 0.05


def generalized_advantages(
    values: Array, reward: Array, terminated: Array, done: Array, gamma: float, gae_lambda: float
) -> Array:
    """Returns generalised advantage estimates (Schulman et al. 2016, eq. 16).

    A truncated episode is bootstrapped from its final state's value, a terminated one is not; no
    estimate reaches beyond the end of its episode.

    Args:
        values: [time + 1, envs]: V of every state, and of the last one reached.
        reward: [time, envs].
        terminated: bool, [time, envs].
        done: bool, [time, envs]: terminated or truncated.
        gamma: discount factor.
        gae_lambda: 0 gives the TD error, 1 the Monte Carlo estimate.

    Returns:
        float32, [time, envs].
    """
    delta = reward + gamma * values[1:] * ~terminated - values[:-1]
    advantages = np.zeros_like(delta)
    running = np.zeros_like(delta[0])
    for time in range(len(delta) - 1, -1, -1):
        running = delta[time] + gamma * gae_lambda * ~done[time] * running
        advantages[time] = running
    return advantages


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
        self.settings, self.optimizer, self.vector = settings, parts.optimizer, vector
        self.networks: dict[str, tuple[Any, list[Any]]] = {
            "actor": (parts.actor, []),
            "critic": (parts.critic, []),
        }
        build_optimizer(self.optimizer, parts.actor, parts.critic)
        self.state = LearnerState(seed)
        self._agent, self._parts = agent, parts
        self._size = settings.rollout_length * vector.num_envs
        if self._size < settings.minibatch_size:
            raise ValueError(
                f"A roll-out has {settings.rollout_length} x {vector.num_envs} = {self._size} "
                f"steps, fewer than one minibatch of {settings.minibatch_size}. Lower "
                "minibatch_size or raise rollout_length."
            )
        self._minibatches = self._size // settings.minibatch_size
        self.steps_per_batch = settings.epochs * self._minibatches
        self._latest: list[Array] = []
        self._collected_return = np.zeros(vector.num_envs)
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Traces anew at the next batch, as needed after masks were put in force."""
        self._act = compiled(self._sample_actions, "acting")
        self._train = CompiledLoop(self._train_once, "training")

    def steps_for(self, env_steps: int) -> int:
        """Returns the optimizer steps that go with this many more environment steps."""
        return -(-env_steps // self._size) * self.steps_per_batch

    def train_batch(self, steps: int, progress: float) -> dict[str, float]:
        """Collects one roll-out, then makes one update; returns logs.

        Args:
            steps: ignored but for the logs' sake: an update is always whole.
            progress: share of the run that is done, in [0, 1].
        """
        if self.state.begin_episodes(self.vector):
            self._collected_return[:] = 0.0
        rows, final = self._collect()
        inputs = self._prepare(rows, final)
        loss = self._train(self.steps_per_batch, inputs)
        self._update_normalizer(rows)
        return {"loss": loss}

    def observations(self, count: int) -> Any:
        """Returns up to ``count`` observations of the last roll-out, nested as the agent's spec."""
        return tf.nest.pack_sequence_as(
            self._agent.time_step_spec.observation, [leaf[-count:] for leaf in self._latest]
        )

    def to_bytes(self) -> bytes:
        """Returns everything that is not a TensorFlow variable; ends the running episodes."""
        return self.state.to_bytes(self.vector, {})

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave."""
        self.state.from_bytes(self.vector, data)

    def _collect(self) -> tuple[list[dict[str, Any]], Array]:
        """Returns one row for each vector step, and the values of the states reached last."""
        rows: list[dict[str, Any]] = []
        for _ in range(self.settings.rollout_length):
            observation = self.vector.observation
            seed = self.state.generator.integers(2**31, size=2, dtype=np.int32)
            action, parameters, value = self._act(observation, seed)
            step = self.vector.step(tf.nest.map_structure(np.asarray, action))
            rows.append(
                {
                    "observation": observation,
                    "action": action,
                    "parameters": parameters,
                    "value": value,
                    "reward": self._scaled(step),
                    "step": step,
                }
            )
            self.state.env_step += self.vector.num_envs
        seed = np.zeros(2, np.int32)
        return rows, np.asarray(self._act(self.vector.observation, seed)[2])

    def _prepare(self, rows: list[dict[str, Any]], final: Array) -> dict[str, Any]:
        """Returns the roll-out as flat arrays with advantages, and the minibatches' indices."""

        def flat(name: str) -> Any:
            return tf.nest.map_structure(
                lambda *each: np.concatenate([np.asarray(one) for one in each]),
                *[row[name] for row in rows],
            )

        values = np.stack([*(np.asarray(row["value"]) for row in rows), final])
        terminated = np.stack([row["step"].terminated for row in rows])
        done = terminated | np.stack([row["step"].truncated for row in rows])
        advantages = generalized_advantages(
            values,
            np.stack([row["reward"] for row in rows]),
            terminated,
            done,
            self._parts.gamma,
            self._parts.gae_lambda,
        )
        self._latest = flat("observation")
        resets = np.stack([row["step"].resets for row in rows]).ravel()
        return {
            "observation": self._latest,
            "action": flat("action"),
            "parameters": flat("parameters"),
            "value": values[:-1].ravel(),
            "advantage": advantages.ravel(),
            "return": (advantages + values[:-1]).ravel(),
            "indices": self._minibatch_indices(np.flatnonzero(~resets)),
        }

    def _minibatch_indices(self, rows: Array) -> Array:
        """Returns int32 [epochs * minibatches, minibatch_size]: each epoch its own shuffle.

        Rows that merely reset an environment are left out; the few that are then missing to whole
        minibatches are filled up by a second shuffle, so that shapes stay the same.
        """
        shape = (self._minibatches, self.settings.minibatch_size)
        shuffle = self.state.generator.permutation
        epochs = [
            np.resize(np.concatenate([shuffle(rows), shuffle(rows)]), shape)
            for _ in range(self.settings.epochs)
        ]
        return np.concatenate(epochs).astype(np.int32)

    def _sample_actions(self, leaves: list[tf.Tensor], seed: tf.Tensor) -> Any:
        count = tf.shape(leaves[0])[0]
        time_step = ts.TimeStep(
            tf.fill((count,), ts.StepType.MID),
            tf.zeros((count,)),
            tf.ones((count,)),
            tf.nest.pack_sequence_as(self._agent.time_step_spec.observation, leaves),
        )
        policy = self._agent.collect_policy
        distribution = policy.distribution(time_step, policy.get_initial_state(count))
        actions = [
            each.sample(seed=tf.random.experimental.stateless_fold_in(seed, index))
            for index, each in enumerate(tf.nest.flatten(distribution.action))
        ]
        info = distribution.info
        return (
            tf.nest.pack_sequence_as(self._agent.action_spec, actions),
            info["dist_params"],
            info["value_prediction"],
        )

    def _train_once(self, index: tf.Tensor, inputs: dict[str, Any]) -> tf.Tensor:
        chosen = inputs["indices"][index]

        def batch(name: str) -> Any:
            # TF-Agents wants [batch, time]; every row stands alone, so time is 1.
            return tf.nest.map_structure(
                lambda array: tf.gather(array, chosen)[:, None], inputs[name]
            )

        ones = tf.ones((self.settings.minibatch_size, 1))
        middle = tf.fill((self.settings.minibatch_size, 1), ts.StepType.MID)
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

    def _update_normalizer(self, rows: list[dict[str, Any]]) -> None:
        # After the update, so that old and new probabilities are of the same inputs.
        self._agent.update_observation_normalizer(
            tf.nest.pack_sequence_as(
                self._agent.time_step_spec.observation,
                [
                    np.stack(leaf)
                    for leaf in zip(*(row["observation"] for row in rows), strict=True)
                ],
            )
        )

    def _scaled(self, step: Step) -> Array:
        """Returns rewards divided by the running standard deviation of discounted returns."""
        if not self.settings.scale_rewards:
            return step.reward
        self._collected_return = step.reward + self._parts.gamma * self._collected_return
        count, mean, square = self.state.extra.get("returns", (1e-4, 0.0, 0.0))
        values = self._collected_return
        total = count + values.size
        delta = float(values.mean()) - mean
        square += float(values.var()) * values.size + delta**2 * count * values.size / total
        mean += delta * values.size / total
        self.state.extra["returns"] = (total, mean, square)
        self._collected_return = values * ~(step.terminated | step.truncated)
        deviation = np.sqrt(square / total + 1e-8)
        return np.clip(step.reward / deviation, -10.0, 10.0).astype(np.float32)
