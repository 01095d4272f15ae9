"""The Keras ``fit`` loop around a TF-Agents agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import policies
from tfdrlprune.agents.internals import actor_critic, q_learning
from tfdrlprune.agents.learner import Checkpointed, Learner
from tfdrlprune.agents.off_policy import OffPolicyLearner, OffPolicySettings
from tfdrlprune.agents.on_policy import OnPolicyLearner, OnPolicySettings
from tfdrlprune.agents.progress import Progress, verbosity
from tfdrlprune.agents.spaces import action_nest
from tfdrlprune.agents.vector import Vector
from tfdrlprune.policies.form import Policy
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import ArraySpec

_WEIGHTS_ONLY = (
    "A trainer holds an agent, which Keras cannot save as a model or as .h5. Save weights in "
    "TensorFlow's format: ModelCheckpoint(path, save_weights_only=True) or "
    "trainer.save_weights(path), with a path that does not end in .h5 or .keras."
)


class AgentTrainer(tf.keras.Model):
    """Trains an agent in a Keras ``fit`` loop, so that every Keras callback works on it.

    One Keras batch is many fused optimizer steps in one compiled call, with vectorised collection
    before it. Logs hold ``loss``, ``episode_return`` (mean of the last 100 training episodes),
    ``env_step`` and ``step``.

    What `save_weights`, ModelCheckpoint and BackupAndRestore write holds networks, targets, masks,
    optimizer moments, replay, counters and random state, so a resumed run goes on as if nothing had
    happened. Saving ends the episodes that are running, since simulators cannot be saved.

    Args:
        agent: a TF-Agents DQN, double DQN or PPO agent, from `tfdrlprune.agents` or your own.
        env: registered id, factory, or one environment object.
        num_envs: environments stepped at once; by default 32 for DQN, 8 for PPO, 1 for an object.
        settings: `OffPolicySettings` or `OnPolicySettings`, whichever fits the agent.
        seed: of exploration, sampling and episodes.

    Raises:
        ValueError: the agent is of another family, or does not fit the environment.
        TypeError: ``settings`` are those of the other family.

    Example:
        >>> import tfdrlprune as tp
        >>> agent = tp.agents.dqn("CartPole-v1", hidden=(32, 32), seed=0)
        >>> trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=8)
        >>> history = trainer.fit(steps=512, verbose=0)
        >>> history.history["step"][-1]
        512
    """

    def __init__(
        self,
        agent: Any,
        env: Environment,
        *,
        num_envs: int | None = None,
        settings: OffPolicySettings | OnPolicySettings | None = None,
        seed: int = 0,
    ):
        super().__init__(name="agent_trainer")
        self.agent = agent
        self.env = env
        self._learner = _learner_for(agent, env, num_envs, settings, seed)
        self._learner_state = Checkpointed(self._learner)
        # Of this trainer, not the agent's counter: agents built without one share a global.
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._run_begin = tf.Variable(0, dtype=tf.int64, trainable=False, name="run_begin")
        self._run_steps = 1
        self._last_logs: dict[str, float] = {}
        self.train_function: Any = None
        self._rates = _LearningRate(self._learner)
        self.compile(optimizer=self._learner.optimizer)

    def fit(
        self,
        steps: int | None = None,
        *,
        env_steps: int | None = None,
        epochs: int = 10,
        callbacks: Sequence[Any] | None = None,
        verbose: str | int = "auto",
    ) -> Any:
        """Trains for some optimizer steps, or for as many as go with some environment steps.

        Args:
            steps: optimizer steps. PPO makes ``epochs * minibatches`` of them an update and rounds
                up to whole updates.
            env_steps: environment steps, in place of ``steps``; warm-up counts.
            epochs: at most so many equal parts, after each of which epoch callbacks are called; a
                part is a whole number of batches.
            callbacks: any Keras callbacks.
            verbose: 0 silent, 1 progress bar, 2 one line an epoch; "auto" is 1 on a terminal.

        Returns:
            The Keras History.

        Raises:
            ValueError: not exactly one of ``steps`` and ``env_steps`` is given, one is not
                positive, or a callback would save what cannot be saved.
        """
        callbacks = list(callbacks or ())
        _refuse_full_models(callbacks)
        self._run_steps = self.planned_steps(steps, env_steps)
        self._run_begin.assign(self._step)
        self._training_state = None  # BackupAndRestore deletes it, and the next fit asks for it
        batches = -(-self._run_steps // self._learner.steps_per_batch)
        per_epoch = -(-batches // min(epochs, batches))
        dataset = tf.data.Dataset.from_tensors(0).repeat()
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread holds fit back for 5 s at the end
        return super().fit(
            dataset.with_options(options),
            steps_per_epoch=per_epoch,
            epochs=-(-batches // per_epoch),
            callbacks=[*callbacks, Progress()],
            verbose=verbosity(verbose),
        )

    @property
    def env_step(self) -> int:
        """Environment steps so far."""
        return self._learner.state.env_step

    def optimizer_step(self) -> int:
        """Returns the optimizer steps so far."""
        return int(self._step.numpy())

    def planned_steps(self, steps: int | None = None, env_steps: int | None = None) -> int:
        """Returns how many optimizer steps `fit` makes of these arguments, for schedules."""
        if (steps is None) == (env_steps is None):
            raise ValueError(
                "fit takes steps (optimizer steps) or env_steps (environment steps), one of them. "
                f"Received: steps={steps}, env_steps={env_steps}."
            )
        asked = steps if steps is not None else env_steps
        if asked is None or asked < 1:
            raise ValueError(f"A run has at least one step. Received: {asked}.")
        if steps is None:
            return self._learner.steps_for(asked)
        return self._learner.whole_steps(steps)

    def prunable_networks(self) -> dict[str, tuple[Any, list[Any]]]:
        """Returns role -> (network, networks that follow it), for `PruningCallback`."""
        return self._learner.networks

    def policy(self) -> Policy:
        """Returns the greedy policy as it is now, in the environment's own units.

        `policies.from_agent` alone would take TF-Agents' actions, which count from 0 where the
        environment's may not.

        Raises:
            ValueError: a layer or head cannot be rebuilt, or there are several actions; says which.
        """
        own = action_nest(self._learner.vector.action_space)
        if not isinstance(own, ArraySpec):
            raise ValueError(f"A policy has one action. Received {len(own)}: {own}.")
        seen = self.observations(1_000) if self.env_step else None
        return policies.from_agent(self.agent, action=own, observations=seen)

    def observations(self, count: int) -> Any:
        """Returns up to ``count`` recent observations, [count, ...], nested as the environment's.

        They come from the replay or the last roll-out, and serve calibration and comparison.
        """
        return self._learner.observations(count)

    def make_train_function(self, force: bool = False) -> Any:
        """Returns what ``fit`` calls for one batch."""
        if self.train_function is None or force:
            self._learner.forget_compiled()
            self.train_function = self._train_batch
        return self.train_function

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises NotImplementedError: an agent is no Keras model."""
        raise NotImplementedError(_WEIGHTS_ONLY)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves everything that training needs, as a TensorFlow checkpoint.

        Raises:
            ValueError: ``filepath`` asks for a format that holds layers only.
        """
        if str(filepath).endswith((".h5", ".keras")):
            raise ValueError(_WEIGHTS_ONLY)
        super().save_weights(filepath, *args, **kwargs)

    def _train_batch(self, iterator: Any) -> dict[str, float]:
        done = int(self._step - self._run_begin)
        steps = min(self._learner.steps_per_batch, self._run_steps - done)
        if steps > 0:  # the last epoch may have batches to spare
            progress = done / self._run_steps
            self._rates.follow(progress)
            logs = self._learner.train_batch(steps, progress)
            self._step.assign_add(steps)
            returns = self._learner.vector.returns
            if returns:
                logs["episode_return"] = sum(returns) / len(returns)
            self._last_logs = logs | {"env_step": self.env_step, "step": self.optimizer_step()}
        return dict(self._last_logs)


class _LearningRate:
    """Lowers the learning rate linearly over a run, unless somebody else sets it.

    What it remembers is kept in the learner's state, so that a resumed run goes on with it.
    """

    def __init__(self, learner: Learner):
        self._optimizer = learner.optimizer
        self._final = learner.settings.final_learning_rate
        self._memory = learner.state.extra

    def follow(self, progress: float) -> None:
        """Sets the rate for a point of the run; ``progress`` is in [0, 1]."""
        rate = getattr(self._optimizer, "_learning_rate", None)
        if self._final == 1.0 or not isinstance(rate, tf.Variable):
            return  # switched off, a schedule, or a TF 1 optimizer
        now = float(rate.numpy())
        first, last = self._memory.get("learning_rate", (now, now))
        if now == last:  # else a callback set it, and its rate stands
            rate.assign(first * (1.0 - (1.0 - self._final) * progress))
            self._memory["learning_rate"] = (first, float(rate.numpy()))


def _learner_for(
    agent: Any, env: Environment, num_envs: int | None, settings: Any, seed: int
) -> Learner:
    q_parts, ac_parts = q_learning(agent), actor_critic(agent)
    if q_parts is None and ac_parts is None:
        raise ValueError(
            "AgentTrainer trains TF-Agents DqnAgent, DdqnAgent and PPOAgent. Received: "
            f"{type(agent).__name__}."
        )
    wanted: Any = OffPolicySettings if q_parts is not None else OnPolicySettings
    if settings is not None and not isinstance(settings, wanted):
        raise TypeError(
            f"{type(agent).__name__} is trained with {wanted.__name__}. Received: settings of "
            f"{type(settings).__name__}."
        )
    if num_envs is None:
        alone = not isinstance(env, str) and not callable(env)
        num_envs = 1 if alone else 32 if q_parts is not None else 8
    vector = Vector(env, num_envs)
    _check_fit(agent, vector)
    settings = settings or wanted()
    if q_parts is not None:
        return OffPolicyLearner(agent, q_parts, vector, settings, seed)
    assert ac_parts is not None
    return OnPolicyLearner(agent, ac_parts, vector, settings, seed)


def _check_fit(agent: Any, vector: Vector) -> None:
    """Raises ValueError unless the agent was built for these observations and actions."""
    from tfdrlprune.agents.environments import action_spec, time_step_spec

    observation = time_step_spec(vector.observation_space).observation
    pairs = {
        "observations of shape": (_shapes, agent.time_step_spec.observation, observation),
        "actions of shape": (_shapes, agent.action_spec, action_spec(vector.action_space)),
        "numbers of actions": (_choices, agent.action_spec, action_spec(vector.action_space)),
    }
    for what, (aspect, own, its) in pairs.items():
        if aspect(own) != aspect(its):
            raise ValueError(
                f"The agent was built for {what} {aspect(own)}, but the environment has "
                f"{aspect(its)}. Build the agent for this environment."
            )


def _shapes(spec: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in tf.nest.flatten(spec)]


def _choices(spec: Any) -> list[Any]:
    """Returns how many values each integer leaf may have."""
    return [
        np.asarray(leaf.maximum - leaf.minimum + 1).tolist()
        for leaf in tf.nest.flatten(spec)
        if leaf.dtype.is_integer
    ]


def _refuse_full_models(callbacks: Sequence[Any]) -> None:
    for callback in callbacks:
        if isinstance(callback, tf.keras.callbacks.ModelCheckpoint) and (
            not callback.save_weights_only or str(callback.filepath).endswith((".h5", ".keras"))
        ):
            raise ValueError(_WEIGHTS_ONLY)
