"""Recurrent agents: their evaluation, masks, checkpoints, and the memory that is left."""

import functools

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import Recall, recurrent_dqn, recurrent_ppo
from recurrent import SEQUENCES, SHORT, dqn_trainer, ppo_trainer
from tf_agents.policies import greedy_policy
from tf_agents.trajectories import time_step as ts
from trainers import trained_and_resumed

import tfdrlprune as tp
from tfdrlprune.agents.internals import actor_critic, q_learning
from tfdrlprune.pruning.kernels import find_kernels


def make_memory_matter(network):
    """Gives a network large random kernels, so that its greedy actions depend on its state."""
    generator = np.random.default_rng(3)
    for kernel in find_kernels(network):
        kernel.variable.assign(generator.normal(size=kernel.shape))


class Spelled(Recall):
    """Returns spell out which actions were taken."""

    def step(self, action):
        time = self._time
        observation, _, *rest = super().step(action)
        return observation, float(action) * 3.0**time, *rest


def returns_alone(policy, env, carries):
    """Returns the mean of six episodes by TF-Agents' own policy, with its state or without."""
    if env is Spelled:
        envs = gymnasium.vector.SyncVectorEnv([Spelled] * 6)
        observation, _ = envs.reset(seed=[40 + index for index in range(6)])
    else:
        envs = gymnasium.make_vec(env, 6, vectorization_mode="vector_entry_point")
        observation, _ = envs.reset(seed=40)
    state, returns, running = policy.get_initial_state(6), np.zeros(6), np.ones(6, bool)
    step = ts.restart(tf.constant(observation), batch_size=6)
    while running.any():
        chosen = policy.action(step, state)
        state = chosen.state if carries else state
        observation, reward, terminated, truncated, _ = envs.step(chosen.action.numpy())
        returns += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
        step = ts.transition(tf.constant(observation), reward=tf.zeros(6))
    return returns.mean()


@pytest.mark.slow
@pytest.mark.parametrize("make", [recurrent_dqn, recurrent_ppo])
@pytest.mark.parametrize("env", [Spelled, "CartPole-v1"])  # stepped one by one, or as a vector
def test_evaluation_carries_the_state_through_an_episode(make, env):
    agent = make(env)
    parts = q_learning(agent) or actor_critic(agent)
    make_memory_matter(parts.network if make is recurrent_dqn else parts.actor)
    settings = SEQUENCES if make is recurrent_dqn else SHORT
    trainer = tp.AgentTrainer(agent, env, num_envs=4, settings=settings)
    callback = tp.EvaluationCallback(episodes=6, seed=40)
    callback.set_model(trainer)
    logs = {}
    for _ in range(2):  # the second time from empty states again
        callback.on_epoch_end(0, logs)
    policy = greedy_policy.GreedyPolicy(agent.policy)
    assert logs["return"] == pytest.approx(returns_alone(policy, env, carries=True))
    assert logs["return"] != pytest.approx(returns_alone(policy, env, carries=False))


@pytest.mark.parametrize("make", [dqn_trainer, pytest.param(ppo_trainer, marks=pytest.mark.slow)])
def test_masks_hold_in_recurrent_kernels_and_targets(make):
    trainer = make()
    pruning = tp.PruningCallback(lambda step: 0.75, frequency=4)
    trainer.fit(steps=24, verbose=0, callbacks=[pruning])
    ((actor, followers),) = trainer.prunable_networks()["actor"]
    kernels = find_kernels(actor)
    assert [kernel.name for kernel in kernels][1:3] == ["lstm_cell", "lstm_cell/recurrent_kernel"]
    zeros = [kernel.variable.numpy() == 0 for kernel in kernels]
    total = sum(each.size for each in zeros)
    # 2-8, an LSTM of 8, 8-8 and 8-2.
    assert total == 16 + 2 * 8 * 32 + 64 + 16
    assert sum(each.sum() for each in zeros) == round(0.75 * total)
    assert zeros[2].any()
    assert len(followers) == (make is dqn_trainer)
    for follower in followers:
        for own, its in zip(zeros, find_kernels(follower), strict=True):
            np.testing.assert_array_equal(own, its.variable.numpy() == 0)


@pytest.mark.slow
@pytest.mark.parametrize("make", [dqn_trainer, ppo_trainer])
def test_a_checkpoint_brings_back_the_whole_run(make, tmp_path):
    cart = functools.partial(make, "CartPole-v1")  # whose episodes run on, were they not ended
    trainer, other = trained_and_resumed(cart, 18, tmp_path / "weights")
    assert trainer.env_step == other.env_step
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def lstm_of_keras(**arguments):
    return tf.keras.layers.LSTM(4, return_sequences=True, return_state=True)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            functools.partial(recurrent_ppo, compute_value_and_advantage_in_train=False),
            SHORT,
            r"whole roll-outs.*compute_value_and_advantage_in_train=True",
        ),
        (
            functools.partial(recurrent_dqn, cell=lstm_of_keras),
            SEQUENCES,
            r"\(LSTM\) of QRnnNetwork would carry its state on.*DynamicUnroll",
        ),
        (
            recurrent_dqn,
            tp.agents.OffPolicySettings(sequence_length=16, capacity=64),
            r"Received: sequence_length=16, and room for capacity=64 / 4",
        ),
        (recurrent_dqn, tp.agents.OffPolicySettings(sequence_length=1), "2 steps or more"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_way_out(make, settings, message):
    with pytest.raises(ValueError, match=message):
        tp.AgentTrainer(make(Recall), Recall, num_envs=4, settings=settings)


def returns_of(trainer, **arguments):
    judge = tp.EvaluationCallback(episodes=100, seed=77)
    trainer.fit(verbose=0, **arguments)
    judge.set_model(trainer)
    logs = {}
    judge.on_epoch_end(0, logs)
    return logs["return"]


@pytest.mark.slow
def test_a_recurrent_dqn_remembers_while_it_is_pruned():
    agent = recurrent_dqn(Recall, learning_rate=5e-3, gamma=0.95)
    settings = tp.agents.OffPolicySettings(fused_steps=64, batch_size=32, sequence_length=12)
    trainer = tp.AgentTrainer(agent, Recall, num_envs=16, settings=settings)
    schedule = tp.PolynomialDecay(0.0, 0.5, begin_step=400, end_step=1_500, frequency=50)
    pruning = tp.PruningCallback(schedule)
    assert returns_of(trainer, env_steps=4_000, callbacks=[pruning]) == 1.0
    assert pruning.sparsity()["sparsity"] == 0.5


@pytest.mark.slow
def test_a_recurrent_ppo_remembers_while_it_is_pruned():
    agent = recurrent_ppo(Recall, learning_rate=5e-3, epochs=10, normalize_observations=False)
    settings = tp.agents.OnPolicySettings(rollout_length=32)
    trainer = tp.AgentTrainer(agent, Recall, num_envs=16, settings=settings)
    schedule = tp.PolynomialDecay(0.0, 0.5, begin_step=50, end_step=150, frequency=10)
    pruning = tp.PruningCallback(schedule)
    assert returns_of(trainer, env_steps=12_288, callbacks=[pruning]) == 1.0
    assert pruning.sparsity()["sparsity"] == 0.5
