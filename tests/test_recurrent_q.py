"""DQN with states: how it acts, and what it learns of sequences from replay."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from builders import Recall, recurrent_dqn
from recurrent import SEQUENCES, dqn_trainer, run_alone
from tf_agents.keras_layers import dynamic_unroll_layer
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

import tfdrlprune as tp
from tfdrlprune.agents.internals import q_learning


def gru(**arguments):
    return dynamic_unroll_layer.DynamicUnroll(tf.keras.layers.GRUCell(6))


@pytest.mark.parametrize("cell", [None, gru])
def test_acting_goes_by_the_state_of_each_environments_own_episode(cell):
    trainer = dqn_trainer(cell=cell, epsilon_greedy=0.0)
    learner, network = trainer._learner, q_learning(trainer.agent).network
    learner._refresh(200, 1.0)
    warm, seen = learner._replay._written, []
    act = learner._method._act

    def spy(*inputs):
        seen.append(act(*inputs))
        return seen[-1]

    learner._method._act = spy
    learner._collect()
    replay = learner._replay
    rows = slice(warm, replay._written)
    observation = replay._observation[0]._ring[rows]
    first = np.roll(replay._resets[: replay._written], 1, axis=0)[rows]
    values = np.stack([each for each, _ in seen])
    assert values.shape == (50, 4, 2)
    np.testing.assert_array_equal(replay._action[rows], np.argmax(values, axis=-1))
    for env in range(4):
        begin = int(np.argmax(first[:, env]))  # before it is an episode that warm-up began
        alone = run_alone(network, observation[begin:, env], first[begin:, env])
        np.testing.assert_allclose(values[begin:, env], np.concatenate(alone), atol=1e-5)


def test_exploring_actions_are_random_as_often_as_epsilon_says():
    trainer = dqn_trainer(epsilon_greedy=0.0)
    learner = trainer._learner
    learner._refresh(1, 0.0)
    method = learner._method
    assert method._epsilon == 1.0
    drawn = [method.action_for(learner.vector.observation, learner.state.generator)]
    for _ in range(200):
        drawn.append(method.action_for(learner.vector.observation, learner.state.generator))
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.06)


@pytest.mark.slow
def test_the_fused_steps_equal_the_agents_own_on_trajectories_one_by_one():
    fused, single = dqn_trainer(), dqn_trainer()
    fused.make_train_function()
    captured = []
    original = fused._learner._train

    def capture(count, inputs):
        captured.append(inputs)
        return original(count, inputs)

    fused._learner._train = capture
    fused.fit(steps=8, verbose=0)
    (inputs,) = captured
    assert inputs["reward"].shape == (16, 8, 6)
    single.optimizer.learning_rate = float(fused.optimizer.learning_rate)
    for index in range(8):
        batch = tf.nest.map_structure(lambda each, i=index: each[i], inputs)

        def through(name, last):
            return np.concatenate([batch[name], last[:, None]], axis=1)  # noqa: B023

        (before,), (after,) = batch["observation"], batch["next_observation"]
        # One row more, of which TF-Agents reads the observation.
        with tf.summary.record_if(False):
            rows = trajectory.Trajectory(
                step_type=through("step_type", batch["next_step_type"][:, -1]),
                observation=np.concatenate([before, after[:, -1:]], axis=1),
                action=through("action", batch["action"][:, -1]),
                policy_info=(),
                next_step_type=through("next_step_type", batch["next_step_type"][:, -1]),
                reward=through("reward", batch["reward"][:, -1]),
                discount=through("discount", batch["discount"][:, -1]),
            )
            single.agent.train(tf.nest.map_structure(tf.constant, rows))
    for ours, theirs in zip(fused.agent.variables, single.agent.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-5)


def test_the_loss_leaves_out_resets_and_starts_anew_after_them():
    agent = recurrent_dqn(Recall, gamma=0.9, epsilon_greedy=0.0)
    trainer = tp.AgentTrainer(agent, Recall, num_envs=4, settings=SEQUENCES)
    trainer._learner._refresh(16, 1.0)
    batch = tf.nest.map_structure(lambda each: each[0], trainer._learner._collect())
    parts = q_learning(agent)
    for variable in parts.target.trainable_variables:
        variable.assign(1.5 * variable)
    tensors = tf.nest.map_structure(tf.constant, batch)
    found = agent._loss(trainer._learner._experience(tensors), gamma=0.9).loss
    losses = []
    for row in range(8):
        one = tf.nest.map_structure(lambda each, r=row: each[r], batch)
        (before,), (after,) = one["observation"], one["next_observation"]
        kinds, following = one["step_type"], one["next_step_type"]
        q = np.concatenate(run_alone(parts.network, before, kinds == ts.StepType.FIRST))
        ahead = following == ts.StepType.FIRST
        online = np.concatenate(run_alone(parts.network, after, ahead))
        target = np.concatenate(run_alone(parts.target, after, ahead))
        best = target[np.arange(6), np.argmax(online, axis=1)]
        error = one["reward"] + 0.9 * one["discount"] * best - q[np.arange(6), one["action"]]
        huber = np.where(np.abs(error) <= 1, 0.5 * error**2, np.abs(error) - 0.5)
        losses.append((huber * (kinds != ts.StepType.LAST)).sum())
    assert (batch["step_type"] == ts.StepType.LAST).any()
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4)
