"""Keras's own callbacks in the fit loop, and what of a trainer is saved."""

import csv

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium as gym
import numpy as np
import pytest
from trainers import dqn_trainer, polynomial, ppo_trainer

import tfdrlprune as tp
from tfdrlprune.agents.evaluation import greedy_returns, vector_returns
from tfdrlprune.simulation import make_vector


def test_stock_callbacks_work(tmp_path):
    trainer = dqn_trainer()
    callbacks = [
        tp.PruningCallback(polynomial(8, 48)),
        tp.EvaluationCallback(episodes=2),
        tf.keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        tf.keras.callbacks.TensorBoard(str(tmp_path / "board")),
        tf.keras.callbacks.TerminateOnNaN(),
        tf.keras.callbacks.ModelCheckpoint(str(tmp_path / "weights"), save_weights_only=True),
        tf.keras.callbacks.EarlyStopping("return", mode="max", patience=100),
        tf.keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
    ]
    trainer.fit(steps=128, epochs=4, verbose=0, callbacks=callbacks)
    # A second fit with TensorBoard must not find the first one's writer closed.
    trainer.fit(steps=64, epochs=2, verbose=0, callbacks=callbacks[3:4])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [32, 64, 96, 128]
    assert float(rows[-1]["sparsity"]) == pytest.approx(0.8, abs=0.01)
    assert 1 <= float(rows[-1]["return"]) <= 500
    assert (tmp_path / "weights.index").exists()


def test_early_stopping_stops():
    trainer = dqn_trainer()
    stop = tf.keras.callbacks.EarlyStopping("epsilon", mode="max", patience=1)
    trainer.fit(steps=320, epochs=10, verbose=0, callbacks=[stop])
    assert trainer.optimizer_step() < 320


def test_the_learning_rate_falls_linearly_and_gives_way_to_a_callback():
    trainer = dqn_trainer()
    first = float(trainer.optimizer.learning_rate)
    trainer.fit(steps=320, verbose=0)
    # Before the last of ten batches nine tenths are done: 1 - 0.99 * 0.9.
    assert float(trainer.optimizer.learning_rate) == pytest.approx(first * 0.109)
    trainer = dqn_trainer()
    schedule = tf.keras.callbacks.LearningRateScheduler(lambda epoch: 0.123)
    trainer.fit(steps=320, verbose=0, callbacks=[schedule])
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.123)


@pytest.mark.parametrize(
    "callback",
    [
        lambda path: tf.keras.callbacks.ModelCheckpoint(str(path / "model.keras")),
        lambda path: tf.keras.callbacks.ModelCheckpoint(str(path / "m.h5"), save_weights_only=True),
        lambda path: tf.keras.callbacks.ModelCheckpoint(str(path / "model")),
    ],
)
def test_callbacks_that_would_save_what_cannot_be_saved_are_refused_first(callback, tmp_path):
    trainer = dqn_trainer()
    with pytest.raises(ValueError, match="save_weights_only=True"):
        trainer.fit(steps=32, verbose=0, callbacks=[callback(tmp_path)])
    assert trainer.env_step == 0


def test_saving_as_a_model_says_what_works(tmp_path):
    with pytest.raises(NotImplementedError, match="save_weights_only=True"):
        dqn_trainer().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="save_weights_only=True"):
        dqn_trainer().save_weights(tmp_path / "weights.h5")


@pytest.mark.parametrize("make", [dqn_trainer, pytest.param(ppo_trainer, marks=pytest.mark.slow)])
def test_weights_bring_the_whole_run_back(make, tmp_path):
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    trainer = make()
    callback = tp.PruningCallback(polynomial(8, 24))
    trainer.fit(steps=64, verbose=0, callbacks=[callback])
    trainer.save_weights(tmp_path / "weights")
    trainer.fit(steps=64, verbose=0)
    other = make()
    # The masks are there before the checkpoint is read into them.
    tp.PruningCallback(polynomial(8, 24)).set_model(other)
    other.load_weights(tmp_path / "weights")
    assert other.env_step == trainer.env_step - 64 or make is ppo_trainer
    other.fit(steps=64, verbose=0)
    assert other.env_step == trainer.env_step
    assert len(trainer.agent.variables) > 8
    third = make()
    third.load_weights(tmp_path / "weights")  # what was seen is there without another step
    assert third.observations(5).shape == (5, 4)
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


class Endless(gym.Env):
    """Gives a reward of 1 for ever."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, False, {}


def test_episodes_without_an_end_are_cut_in_an_evaluation():
    def act(observations):
        return np.zeros(len(observations), np.int64)

    assert greedy_returns(act, [Endless(), Endless()], [0, 1], limit=7).tolist() == [7.0, 7.0]
    envs = make_vector(Endless, 3)
    assert vector_returns(act, envs, 0, limit=7).tolist() == [7.0, 7.0, 7.0]
