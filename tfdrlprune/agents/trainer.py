"""The Keras ``fit`` loop around a TF-Agents agent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import read, tf

from tfdrlprune import policies
from tfdrlprune.agents.checks import (
    WEIGHTS_ONLY,
    refuse_averages,
    refuse_full_models,
    refuse_gates_without_returns,
)
from tfdrlprune.agents.families import Settings, learner_for
from tfdrlprune.agents.learner import Checkpointed
from tfdrlprune.agents.learning_rate import LearningRates
from tfdrlprune.agents.progress import Progress, verbosity
from tfdrlprune.agents.rehearsal import takes
from tfdrlprune.agents.spaces import action_nest
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.gradients import Record
from tfdrlprune.pruning.models import Followed
from tfdrlprune.pruning.moments import variables_of
from tfdrlprune.recipe.checks import check_count
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import ArraySpec


class AgentTrainer(tf.keras.Model):
    """Trains an agent in a Keras ``fit`` loop, so that every Keras callback works on it.

    One Keras batch is many fused optimizer steps in one compiled call, with vectorised collection
    before it. Logs hold ``loss``, ``episode_return`` (mean of the last 100 training episodes),
    ``env_step`` and ``step``.

    What `save_weights`, ModelCheckpoint and BackupAndRestore write holds networks, targets, masks,
    optimizer moments, replay, counters and random state, so a resumed run goes on as if nothing had
    happened. Saving ends the episodes that are running, since simulators cannot be saved.

    Args:
        agent: a TF-Agents DQN, double DQN, C51, PPO, SAC or TD3 agent, from `tfdrlprune.agents` or
            your own; one of DQN, or of PPO that computes advantages itself, may be recurrent.
        env: registered id, factory, or one environment object.
        num_envs: environments stepped at once; by default 32 for DQN and C51, 8 for PPO, 4 for SAC
            and TD3, 1 for an object.
        settings: `OffPolicySettings`, `OnPolicySettings`, `SacSettings` or `Td3Settings`, whichever
            fits the agent.
        seed: of exploration, sampling and episodes.

    Raises:
        ValueError: the agent is of another family, or does not fit the environment.
        TypeError: ``settings`` are those of another family.

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
        settings: Settings | None = None,
        seed: int = 0,
    ):
        super().__init__(name="agent_trainer")
        self.agent = agent
        self.env = env
        self._learner = learner_for(agent, env, num_envs, settings, seed)
        refuse_averages(self._learner.optimizers)
        self._learner_state = Checkpointed(self._learner)
        # Of this trainer, not the agent's counter: agents built without one share a global.
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._run_begin = tf.Variable(0, dtype=tf.int64, trainable=False, name="run_begin")
        self._run_steps = 1
        self._last_logs: dict[str, float] = {}
        self.train_function: Any = None
        self._rates = LearningRates(self._learner)
        self.compile(optimizer=self._learner.optimizers[0])

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
                positive, a callback would save what cannot be saved, or a return-gated schedule has
                no evaluation before it.
        """
        check_count("epochs", epochs)
        callbacks = list(callbacks or ())
        refuse_full_models(callbacks)
        refuse_gates_without_returns(callbacks)
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
        return int(read(self._step))

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

    def prunable_networks(self) -> dict[str, list[Followed]]:
        """Returns role -> [(network, networks that follow it), ...], for `PruningCallback`."""
        return self._learner.networks

    def optimizers(self) -> list[Any]:
        """Returns the instances that the agent applies gradients with."""
        return list(self._learner.optimizers)

    def state_variables(self) -> list[tf.Variable]:
        """Returns the agent's variables and its optimizers'."""
        own = [each for o in self._learner.optimizers for each in variables_of(o)]
        return [*self.agent.variables, *own]

    def record_gradients(self, record: Record, batches: int) -> None:
        """Hands the gradients of the agent's own loss to ``record``, and trains nothing.

        Args:
            record: takes (gradient, variable) pairs, unclipped, inside a compiled step.
            batches: of replay, or of the last roll-out.
        """
        self._learner.rehearse(record, batches)

    def has_data(self) -> bool:
        """Returns True: there is replay, or a roll-out."""
        return True

    def takes_observations(self, network: Any) -> bool:
        """Returns whether a network's input is an observation, and not an action beside it."""
        return takes(network, self.agent.time_step_spec.observation)

    def gather(self) -> None:
        """Makes sure that there are observations: the warm-up of replay, or the first roll-out."""
        self._learner.gather()

    def visit(self, network: Any, count: int) -> None:
        """Calls a network on up to ``count`` recent observations, outside a graph."""
        self._learner.visit(network, count)

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

        They come from the replay or the last roll-out, and serve for comparisons. A roll-out may
        hold no beginning of an episode: `record_observations` is what int8 wants its ranges from.
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
        raise NotImplementedError(WEIGHTS_ONLY)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves everything that training needs, as a TensorFlow checkpoint.

        Raises:
            ValueError: ``filepath`` asks for a format that holds layers only.
        """
        if str(filepath).endswith((".h5", ".keras")):
            raise ValueError(WEIGHTS_ONLY)
        super().save_weights(filepath, *args, **kwargs)

    def _train_batch(self, iterator: Any) -> dict[str, float]:
        done = int(read(self._step) - read(self._run_begin))
        steps = self._steps_after(done)
        if steps > 0:  # the last epoch may have batches to spare
            progress = done / self._run_steps
            self._rates.follow(progress)
            done += steps
            more = self._steps_after(done)
            following = (more, done / self._run_steps) if more > 0 else None
            logs = self._learner.train_batch(steps, progress, following)
            self._step.assign_add(steps)
            returns = self._learner.vector.returns
            # In every row of a log, which fixes its columns at the first.
            logs["episode_return"] = sum(returns) / len(returns) if returns else math.nan
            self._last_logs = logs | {"env_step": self.env_step, "step": self.optimizer_step()}
        return dict(self._last_logs)

    def _steps_after(self, done: int) -> int:
        """Returns the steps of the batch that comes after so many in this run."""
        return min(self._learner.steps_per_batch, self._run_steps - done)
