"""The dueling network: its values, in training, as a policy, and that it learns."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from builders import CHOICE, VECTOR, dqn, greedy
from tf_agents.policies import greedy_policy, policy_saver
from trainers import trained_and_resumed

import tfdrlprune as tp
from tfdrlprune import policies, runtime
from tfdrlprune.agents.internals import q_learning
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.pruning.kernels import find_kernels

FAST = tp.agents.OffPolicySettings(warm_up=200, fused_steps=32, batch_size=16)


def trainer_of(**arguments):
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 8), n_step=3, dueling=True)
    return tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=FAST, **arguments)


def kernels(network):
    return [kernel.variable.numpy() for kernel in find_kernels(network)]


def vectors(count=200):
    return np.random.default_rng(5).normal(size=(count, 4)).astype(np.float32)


def test_q_values_are_the_value_plus_advantages_without_their_mean():
    network = DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=(6, 5))
    network.create_variables()
    generator = np.random.default_rng(0)
    for variable in network.variables:
        variable.assign(generator.normal(size=variable.shape))
    (w1, b1), (wv, bv), (wa, ba), (v, v0), (a, a0) = (
        (w.numpy(), b.numpy())
        for w, b in zip(network.variables[::2], network.variables[1::2], strict=True)
    )
    torso = np.maximum(vectors() @ w1 + b1, 0)
    value = np.maximum(torso @ wv + bv, 0) @ v + v0
    advantage = np.maximum(torso @ wa + ba, 0) @ a + a0
    wanted = value + advantage - advantage.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(network(tf.constant(vectors()))[0], wanted, rtol=1e-4, atol=1e-4)
    assert (value.shape, advantage.shape) == ((200, 1), (200, 3))


@pytest.mark.parametrize("hidden", [(6, 5), (6,), ()])
def test_it_becomes_a_policy_of_plain_layers(hidden):
    agent = dqn(DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=hidden))
    policy = policies.from_agent(agent)
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()))
    values, _ = agent._q_network(tf.constant(vectors()))
    np.testing.assert_allclose(policy.outputs(vectors()), values, rtol=1e-4, atol=1e-5)
    ours, theirs = kernels(agent._q_network), kernels(policy.model)
    for own, its in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own, its)
    assert type(policy.model.get_layer("outputs")).__name__ == "Duel"


def test_a_copy_has_the_same_layers_and_weights_of_its_own():
    network = DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=(6, 5))
    copy = network.copy(name="Target")
    for each in (network, copy):
        each.create_variables()
    shapes = [[tuple(v.shape) for v in each.variables] for each in (network, copy)]
    assert shapes[0] == shapes[1]
    assert not {id(v) for v in network.variables} & {id(v) for v in copy.variables}


def test_masks_hold_in_every_stream_and_its_target_and_reach_the_artifact(tmp_path):
    trainer = trainer_of()
    pruning = tp.PruningCallback(lambda step: 0.5, frequency=8)
    trainer.fit(steps=64, verbose=0, callbacks=[pruning])
    ((network, (target,)),) = trainer.prunable_networks()["actor"]
    own = [kernel == 0 for kernel in kernels(network)]
    for zeros, following in zip(own, kernels(target), strict=True):
        np.testing.assert_array_equal(zeros, following == 0)
    total = 4 * 16 + 2 * 16 * 8 + 8 * 1 + 8 * 2
    assert (sum(z.size for z in own), sum(z.sum() for z in own)) == (total, total // 2)
    policy, batch = trainer.policy(), trainer.observations(100)
    for zeros, kept in zip(own, kernels(policy.model), strict=True):
        np.testing.assert_array_equal(zeros, kept == 0)
    np.testing.assert_array_equal(policy.action(batch), greedy(trainer.agent, batch))
    export(policy, tmp_path / "artifact", observations=batch)
    actions = runtime.load(tmp_path / "artifact").action(batch)
    np.testing.assert_array_equal(actions, policy.action(batch))


@pytest.mark.slow
def test_a_checkpoint_brings_back_the_whole_run(tmp_path):
    trainer, other = trained_and_resumed(trainer_of, 64, tmp_path / "weights")
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("hidden", [(6, 5), ()])
def test_its_saved_model_comes_back_as_the_same_policy(hidden, tmp_path):
    agent = dqn(DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=hidden))
    own = greedy_policy.GreedyPolicy(agent.policy)
    policy_saver.PolicySaver(own, batch_size=None).save(str(tmp_path / "saved"))
    policy = policies.load(tmp_path / "saved")
    wanted = policies.from_agent(agent).outputs(vectors())
    np.testing.assert_allclose(policy.outputs(vectors()), wanted, atol=1e-5)
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()))
    assert type(policy.model.get_layer("outputs")).__name__ == "Duel"


def test_without_it_the_network_is_the_plain_one():
    plain = q_learning(tp.agents.dqn("CartPole-v1", hidden=(8,))).network
    assert [kernel.shape for kernel in kernels(plain)] == [(4, 8), (8, 2)]
    dueling = q_learning(tp.agents.dqn("CartPole-v1", hidden=(8,), dueling=True)).network
    assert [kernel.shape for kernel in kernels(dueling)] == [(4, 8), (4, 8), (8, 1), (8, 2)]


@pytest.mark.slow
def test_a_dueling_dqn_solves_cartpole_while_it_is_pruned():
    agent = tp.agents.dqn("CartPole-v1", seed=1, dueling=True)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", seed=1)
    schedule = tp.PolynomialDecay(0.0, 0.8, begin_step=10_000, end_step=30_000)
    judge = tp.EvaluationCallback(episodes=100, seed=77, keep_best=True)
    trainer.fit(steps=50_000, verbose=0, callbacks=[tp.PruningCallback(schedule), judge])
    fresh = {}
    last = tp.EvaluationCallback(episodes=100, seed=12_345)
    last.set_model(trainer)
    last.on_epoch_end(0, fresh)
    assert fresh["return"] >= 450
