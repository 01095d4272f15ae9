"""C51 in the fit loop: its agent, its targets, its masks, its policy, and that it learns."""

import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from builders import captured_steps
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.networks import categorical_q_network
from tf_agents.policies import greedy_policy, policy_saver
from tf_agents.trajectories import policy_step, trajectory
from tf_agents.trajectories import time_step as ts
from trainers import trained_and_resumed

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.agents.acting import QValues, time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.agents.internals import q_learning
from tfdrlprune.agents.q_learner import as_trajectory
from tfdrlprune.deployment.exporter import export
from tfdrlprune.pruning.kernels import find_kernels

FAST = tp.agents.OffPolicySettings(warm_up=200, fused_steps=32, batch_size=16)


def trainer_of(n_step=3, **arguments):
    agent = tp.agents.c51("CartPole-v1", hidden=(16, 16), n_step=n_step)
    return tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=FAST, **arguments)


def kernels(network):
    return [kernel.variable.numpy() for kernel in find_kernels(network)]


def expected_values(agent, batch):
    """Returns the means of the network's distributions, worked out in NumPy."""
    logits = agent._q_network(tf.constant(batch))[0].numpy().astype(np.float64)
    weights = np.exp(logits)
    return (weights / weights.sum(-1, keepdims=True)) @ np.asarray(agent._support)


def transition(rows, after, reward, discount, action):
    middle = tf.fill((len(reward),), ts.StepType.MID)
    ones = tf.ones(len(reward))
    return trajectory.Transition(
        ts.TimeStep(middle, 0 * ones, ones, tf.constant(rows)),
        policy_step.PolicyStep(tf.constant(action)),
        ts.TimeStep(middle, tf.constant(reward), tf.constant(discount), tf.constant(after)),
    )


def projected(values, weights, support):
    """Returns a distribution on ``support`` with the same mean: eq. 7 of the paper, by loops."""
    result = np.zeros(len(support))
    width = support[1] - support[0]
    for value, weight in zip(np.clip(values, support[0], support[-1]), weights, strict=True):
        place = (value - support[0]) / width
        low = min(int(place), len(support) - 2)
        result[low] += weight * (low + 1 - place)
        result[low + 1] += weight * (place - low)
    return result


def test_weights_follow_the_seed_and_the_target_starts_equal():
    first, again, other = (
        tp.agents.c51("CartPole-v1", hidden=(8,), seed=seed, atoms=11) for seed in (1, 1, 2)
    )
    parts, same, others = (q_learning(agent) for agent in (first, again, other))
    for ours, theirs, target in zip(
        kernels(parts.network), kernels(same.network), kernels(parts.target), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours, target)
    assert (kernels(parts.network)[0] != kernels(others.network)[0]).any()
    assert [kernel.shape for kernel in kernels(parts.network)] == [(4, 8), (8, 22)]
    np.testing.assert_allclose(parts.support, np.linspace(-200, 200, 11), rtol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"atoms": 1}, {"min_value": 3.0, "max_value": 3.0}, {"max_value": float("nan")}]
)
def test_a_support_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"two atoms or more.*Received: atoms="):
        tp.agents.c51("CartPole-v1", **wrong)


def test_box_actions_are_refused():
    with pytest.raises(ValueError, match=r"C51 needs one Discrete action.*Pendulum-v1: Box"):
        tp.agents.c51("Pendulum-v1")


@pytest.mark.parametrize(("n_step", "gamma"), [(1, 0.9), (3, 0.9), (10, 0.99), (3, 0.0)])
def test_the_loss_is_the_cross_entropy_to_the_projected_n_step_target(n_step, gamma):
    agent = tp.agents.c51(
        "CartPole-v1", hidden=(8,), n_step=n_step, gamma=gamma, min_value=-4, max_value=6, atoms=9
    )
    for index, variable in enumerate(q_learning(agent).target.variables):
        variable.assign(np.random.default_rng(index).normal(size=variable.shape))
    generator = np.random.default_rng(0)
    rows, after = generator.normal(size=(2, 20, 4)).astype(np.float32)
    reward = generator.normal(size=20).astype(np.float32) * 3
    # As replay gives them: cut short by a truncation, terminated, or whole.
    steps = generator.integers(1, n_step + 1, 20)
    discount = (gamma ** (steps - 1.0) * generator.integers(0, 2, 20)).astype(np.float32)
    action = generator.integers(0, 2, 20)
    experience = as_trajectory(transition(rows, after, reward, discount, action), n_step, gamma)
    found = agent._loss(experience, gamma=gamma).loss

    support = np.linspace(-4, 6, 9)
    logits = agent._q_network(rows)[0].numpy().astype(np.float64)
    following = agent._target_q_network(after)[0].numpy().astype(np.float64)
    following = np.exp(following) / np.exp(following).sum(-1, keepdims=True)
    losses = []
    for row in range(20):
        best = np.argmax(following[row] @ support)
        values = reward[row] + gamma * discount[row] * support
        target = projected(values, following[row, best], support)
        chosen = logits[row, action[row]]
        losses.append(-(target * (chosen - np.log(np.exp(chosen).sum()))).sum())
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_acting_in_numpy_gives_the_means_of_the_distributions(caplog):
    agent = tp.agents.c51("CartPole-v1", hidden=(8,), min_value=-4, max_value=6, atoms=9)
    batch = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    parts = q_learning(agent)
    values = QValues(agent, parts.network, parts.support)
    np.testing.assert_allclose(values([batch]), expected_values(agent, batch), rtol=1e-4, atol=1e-4)
    assert values.in_numpy
    np.testing.assert_allclose(
        values._q_values([tf.constant(batch)]), expected_values(agent, batch), rtol=1e-4, atol=1e-4
    )


def test_the_fused_steps_equal_the_agents_own_steps_one_by_one(caplog):
    fused, single = trainer_of(), trainer_of()
    count = 20
    with caplog.at_level(logging.INFO):
        inputs = captured_steps(fused, count)
    assert "training runs under XLA" in caplog.text
    assert "foldr" not in caplog.text
    single.optimizer.learning_rate = float(fused.optimizer.learning_rate)
    for index in range(count):
        single._learner._train_once(tf.constant(index), tf.nest.map_structure(tf.constant, inputs))
    for ours, theirs in zip(fused.agent.variables, single.agent.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-5)


def test_masks_hold_in_the_network_and_its_target():
    trainer = trainer_of()
    pruning = tp.PruningCallback(lambda step: 0.75, frequency=8)
    trainer.fit(steps=64, verbose=0, callbacks=[pruning])
    ((network, (target,)),) = trainer.prunable_networks()["actor"]
    own = [kernel == 0 for kernel in kernels(network)]
    for zeros, following in zip(own, kernels(target), strict=True):
        np.testing.assert_array_equal(zeros, following == 0)
    total = 4 * 16 + 16 * 16 + 16 * 2 * 51
    assert (sum(each.size for each in own), sum(each.sum() for each in own)) == (
        total,
        round(0.75 * total),
    )


def test_the_trained_policy_is_exported_and_acts_the_same(tmp_path):
    trainer = trainer_of()
    trainer.fit(steps=64, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.5)])
    batch = trainer.observations(200)
    policy = trainer.policy()
    wanted = expected_values(trainer.agent, batch)
    np.testing.assert_allclose(policy.outputs(batch), wanted, rtol=1e-4, atol=1e-3)
    own = trainer.agent.policy.action(time_step(trainer.agent, [batch])).action.numpy()
    np.testing.assert_array_equal(policy.action(batch), own)
    assert 0 < own.mean() < 1
    names = [kernel.shape for kernel in find_kernels(policy.model)]
    assert names == [(4, 16), (16, 16), (16, 102)]
    export(policy, tmp_path / "artifact", observations=batch)
    actions = runtime.load(tmp_path / "artifact").action(batch)
    np.testing.assert_array_equal(actions, own)


def test_its_saved_model_comes_back_as_the_same_policy(tmp_path):
    agent = tp.agents.c51("CartPole-v1", hidden=(8,), min_value=-4, max_value=6, atoms=9)
    own = greedy_policy.GreedyPolicy(agent.policy)
    policy_saver.PolicySaver(own, batch_size=None).save(str(tmp_path / "saved"))
    policy = tp.policies.load(tmp_path / "saved")
    batch = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    wanted = expected_values(agent, batch)
    np.testing.assert_allclose(policy.outputs(batch), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(policy.action(batch), np.argmax(wanted, axis=1))


@pytest.mark.slow
def test_a_checkpoint_brings_back_the_whole_run(tmp_path):
    trainer, other = trained_and_resumed(trainer_of, 64, tmp_path / "weights")
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_agents_built_elsewhere_are_trained_and_rebuilt():
    observations, actions = spaces_of("CartPole-v1")
    steps, actions = time_step_spec(observations), action_spec(actions)
    agent = categorical_dqn_agent.CategoricalDqnAgent(
        steps,
        actions,
        categorical_q_network.CategoricalQNetwork(
            steps.observation, actions, num_atoms=21, fc_layer_params=(8,)
        ),
        tf.compat.v1.train.AdamOptimizer(1e-3),
        boltzmann_temperature=1.0,
        epsilon_greedy=None,
        max_q_value=100.0,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=FAST)
    trainer.fit(steps=32, verbose=0)
    assert int(agent.train_step_counter) == 32
    batch = trainer.observations(100)
    np.testing.assert_allclose(
        trainer.policy().outputs(batch), expected_values(agent, batch), rtol=1e-4, atol=1e-3
    )


@pytest.mark.slow
def test_c51_solves_cartpole_while_it_is_pruned():
    agent = tp.agents.c51("CartPole-v1", seed=2)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", seed=2)
    schedule = tp.PolynomialDecay(0.0, 0.8, begin_step=10_000, end_step=30_000)
    judge = tp.EvaluationCallback(episodes=100, seed=77, keep_best=True)
    trainer.fit(steps=40_000, verbose=0, callbacks=[tp.PruningCallback(schedule), judge])
    fresh = {}
    last = tp.EvaluationCallback(episodes=100, seed=12_345)
    last.set_model(trainer)
    last.on_epoch_end(0, fresh)
    assert fresh["return"] >= 450
