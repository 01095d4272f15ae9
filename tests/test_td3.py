"""TD3 in the fit loop: what is its own; `test_actor_critic` has what it shares with SAC."""

import functools
import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from builders import Reach
from scipy import stats
from tf_agents.agents.ddpg import actor_network, actor_rnn_network, critic_network
from tf_agents.agents.ddpg.critic_rnn_network import CriticRnnNetwork
from tf_agents.agents.td3 import td3_agent
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.agents.internals import smoothed, twin_delayed
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.specs import Head

FAST = tp.agents.Td3Settings(batch_size=16, warm_up=100, fused_steps=16, capacity=2_000)
STEP = tp.agents.Td3Settings(batch_size=8, warm_up=50, fused_steps=1)


def trainer_of(env="Pendulum-v1", **arguments):
    agent = tp.agents.td3(env, hidden=(16, 16))
    return tp.AgentTrainer(agent, env, **({"num_envs": 4, "settings": FAST} | arguments))


def kernels(network):
    return [kernel.variable.numpy() for kernel in find_kernels(network)]


def greedy(agent, leaves):
    return agent.policy.action(time_step(agent, leaves)).action.numpy()


def own_agent(actor=None, critic=None, action=None, **arguments):
    """Returns an agent as TF-Agents' users build it, with its defaults."""
    observations, actions = spaces_of("Pendulum-v1")
    steps, action = time_step_spec(observations), action or action_spec(actions)
    actor = actor or functools.partial(actor_network.ActorNetwork, fc_layer_params=(8,))
    critic = critic or critic_network.CriticNetwork
    return td3_agent.Td3Agent(
        steps,
        action,
        actor_network=actor(steps.observation, action, **arguments),
        critic_network=critic((steps.observation, action), joint_fc_layer_params=(8,)),
        actor_optimizer=tf.keras.optimizers.Adam(1e-3),
        critic_optimizer=tf.compat.v1.train.AdamOptimizer(1e-3),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )


def test_the_agent_is_what_was_asked_for_in_the_units_of_the_environment():
    agent = tp.agents.td3(Reach, hidden=(8,), gamma=0.9, exploration=0.3, reward_scale=3.0, delay=5)
    # The bounds are [-2, 2] and [0, 10], so half of what lies between them is 2 and 5.
    np.testing.assert_allclose(agent._exploration_noise_std, [0.6, 1.5])
    np.testing.assert_allclose(agent._target_policy_noise, [0.4, 1.0])
    np.testing.assert_allclose(agent._target_policy_noise_clip, [1.0, 2.5])
    assert (agent._gamma, agent._reward_scale_factor) == (0.9, 3.0)
    assert agent._actor_update_period == agent._target_update_period == 5


def test_the_critics_loss_is_the_papers():
    agent = tp.agents.td3(Reach, hidden=(8,), gamma=0.9, reward_scale=2.0)
    parts = twin_delayed(agent)
    for scale, network in enumerate([parts.actor, parts.target_actor]):  # no longer alike
        for kernel in find_kernels(network):
            kernel.variable.assign(kernel.variable * (2.0 + 40 * scale))
    generator = np.random.default_rng(0)
    count = 64

    def observations():
        return {
            "camera": tf.constant(generator.integers(0, 256, (count, 2, 2, 1)), tf.uint8),
            "wanted": tf.constant(generator.uniform(-1, 1, (count, 2)), tf.float32),
        }

    before, after = observations(), observations()
    action = tf.constant(generator.uniform([-2, 0], [2, 10], (count, 2)), tf.float32)
    reward = generator.normal(size=count).astype(np.float32)
    discount = generator.integers(0, 2, count).astype(np.float32)
    step_type = tf.fill((count,), ts.StepType.MID)
    steps = ts.TimeStep(step_type, tf.zeros(count), tf.ones(count), before)
    following = ts.TimeStep(step_type, tf.constant(reward), tf.constant(discount), after)
    seed = tf.constant([3, 4])
    with smoothed(agent, seed):
        found = agent.critic_loss(steps, action, following, training=True)

    drawn = tf.random.stateless_normal(
        (count, 2), tf.random.experimental.stateless_fold_in(seed, 0)
    )
    half = np.float32([2, 5])
    smooth = np.clip(0.2 * half * drawn, -0.5 * half, 0.5 * half)
    noisy = np.clip(parts.target_actor(after)[0] + smooth, [-2, 0], [2, 10]).astype(np.float32)
    assert (noisy == [2, 10]).any(0).all()  # the clip is seen to act
    values = [target((after, tf.constant(noisy)))[0].numpy() for _, target in parts.critics]
    wanted = 2.0 * reward + 0.9 * discount * np.minimum(*values)
    errors = [critic((before, action))[0].numpy() - wanted for critic, _ in parts.critics]
    assert float(found) == pytest.approx(sum(np.square(error).mean() for error in errors), rel=1e-5)


def test_seeded_noise_on_the_target_has_the_distribution_of_the_agents_own():
    agent = own_agent()
    agent._target_policy_noise = 0.4  # so that the clip at 0.5 acts
    agent.initialize()
    count, seen = 4_000, []
    target = agent._target_critic_network_1

    def spy(inputs, *arguments, **more):
        seen.append(inputs[1].numpy().ravel())
        return target(inputs, *arguments, **more)

    agent._target_critic_network_1 = spy
    steps = time_step(agent, [tf.tile(tf.constant([[1.0, 0.2, -3.0]]), (count, 1))])
    loss = functools.partial(agent.critic_loss, steps, tf.zeros((count, 1)), steps)
    tf.random.set_seed(0)
    loss()
    for seed in ([1, 2], [1, 2], [1, 3]):
        with smoothed(agent, tf.constant(seed)):
            agent.critic_loss(steps, tf.zeros((count, 1)), steps)
    own, first, again, other = seen
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert stats.ks_2samp(own, first).pvalue > 0.001
    assert first.max() - first.min() == pytest.approx(1.0)
    assert agent._target_policy_noise == 0.4
    assert "critic_loss" not in vars(agent)


def test_the_actor_and_all_targets_move_every_second_step():
    trainer = trainer_of(settings=STEP)
    parts = twin_delayed(trainer.agent)
    nets = [parts.actor, parts.target_actor, parts.critics[0][0], parts.critics[0][1]]
    moved, olds = [], []
    for _ in range(4):
        before = [kernels(network) for network in nets]
        trainer.fit(steps=1, verbose=0)
        after = [kernels(network) for network in nets]
        moved.append([(a[0] != b[0]).any() for a, b in zip(before, after, strict=True)])
        olds.append((before, after))
    assert [list(map(bool, row)) for row in moved] == [
        [True, False, True, False],
        [False, True, True, True],
    ] * 2
    before, after = olds[1]
    for start, own, target in zip(before[1], after[0], after[1], strict=True):
        np.testing.assert_allclose(target, 0.995 * start + 0.005 * own, atol=1e-7)


@pytest.mark.slow
def test_acting_in_numpy_is_the_actor_with_normal_noise(caplog):
    trainer = trainer_of(Reach)  # several observations act compiled
    agent = own_agent()
    agent._exploration_noise_std = 0.1
    for acting, env, how in ((trainer.agent, Reach, None), (agent, "Pendulum-v1", "in NumPy")):
        with caplog.at_level(logging.INFO, "tfdrlprune"):
            trainer = tp.AgentTrainer(acting, env, num_envs=4, settings=FAST)
            trainer.fit(steps=16, verbose=0)
        assert how is None or f"acting runs {how}" in caplog.text
        method = trainer._learner._method
        assert method.acts_on_copies is (how is not None)
        leaves = tf.nest.flatten(trainer.observations(1))
        many = [np.repeat(leaf, 4_000, axis=0) for leaf in leaves]
        method.refresh(0.0)
        noise = method.action_for(many, np.random.default_rng(0)) - greedy(acting, leaves)
        deviation = np.broadcast_to(twin_delayed(acting).exploration, noise.shape[1:])
        for column, scale in zip(noise.T, deviation, strict=True):
            assert stats.kstest(column, stats.norm(0, scale).cdf).pvalue > 0.001


def test_agents_built_elsewhere_are_trained_pruned_and_rebuilt():
    agent = own_agent()
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", num_envs=4, settings=FAST)
    pruning = tp.PruningCallback(lambda step: 0.5, frequency=16)
    trainer.fit(steps=32, verbose=0, callbacks=[pruning])
    assert int(agent.train_step_counter) == 32
    assert pruning.sparsity()["sparsity"] == 0.5
    for ours, theirs in zip(
        kernels(agent._actor_network), kernels(agent._target_actor_network), strict=True
    ):
        np.testing.assert_array_equal(ours == 0, theirs == 0)
    assert (np.abs(trainer._learner._replay._action[:33]) <= 2).all()
    batch = trainer.observations(100)
    policy = trainer.policy()
    assert policy.head == Head("tanh", 2.0, 0.0)
    np.testing.assert_allclose(policy.action(batch), greedy(agent, [batch]), atol=1e-5)


def test_agents_that_cannot_be_trained_are_refused_with_a_way_out():
    wide = tensor_spec.BoundedTensorSpec((1,), tf.float32, -1, np.finfo(np.float32).max)
    recurrent = own_agent(
        actor=functools.partial(actor_rnn_network.ActorRnnNetwork, lstm_size=(4,)),
        critic=functools.partial(CriticRnnNetwork, lstm_size=(4,)),
    )
    for agent, message in (
        (recurrent, "does not support recurrent TD3"),
        (own_agent(action=wide), r"TD3 on one action with finite bounds.*Use PPO"),
    ):
        with pytest.raises(ValueError, match=message):
            tp.AgentTrainer(agent, "Pendulum-v1")
    with pytest.raises(TypeError, match="Td3Agent is trained with Td3Settings"):
        trainer_of(settings=tp.agents.SacSettings())
