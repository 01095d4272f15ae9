"""TD3 in the fit loop: its agent, its steps, its masks, its policy, and that it learns."""

import functools
import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import Reach
from scipy import stats
from tf_agents.agents.ddpg import actor_network, actor_rnn_network, critic_network
from tf_agents.agents.ddpg.critic_rnn_network import CriticRnnNetwork
from tf_agents.agents.td3 import td3_agent
from tf_agents.policies import greedy_policy, policy_saver
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.agents.internals import smoothed, twin_delayed
from tfdrlprune.deployment.exporter import export
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


def test_weights_follow_the_seed_critics_differ_and_targets_start_equal():
    first, again, other = (tp.agents.td3("Pendulum-v1", hidden=(8,), seed=s) for s in (1, 1, 2))
    parts, same, others = (twin_delayed(agent) for agent in (first, again, other))
    np.testing.assert_array_equal(kernels(parts.actor)[0], kernels(same.actor)[0])
    assert (kernels(parts.actor)[0] != kernels(others.actor)[0]).any()
    (one, target_one), (two, target_two) = parts.critics
    assert (kernels(one)[0] != kernels(two)[0]).any()
    pairs = ((parts.actor, parts.target_actor), (one, target_one), (two, target_two))
    for network, target in pairs:
        for ours, theirs in zip(network.variables, target.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_agent_is_what_was_asked_for_in_the_units_of_the_environment():
    agent = tp.agents.td3(Reach, hidden=(8,), gamma=0.9, exploration=0.3, reward_scale=3.0, delay=5)
    # The bounds are [-2, 2] and [0, 10], so half of what lies between them is 2 and 5.
    np.testing.assert_allclose(agent._exploration_noise_std, [0.6, 1.5])
    np.testing.assert_allclose(agent._target_policy_noise, [0.4, 1.0])
    np.testing.assert_allclose(agent._target_policy_noise_clip, [1.0, 2.5])
    assert (agent._gamma, agent._reward_scale_factor) == (0.9, 3.0)
    assert agent._actor_update_period == agent._target_update_period == 5


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(2),
        gymnasium.spaces.Box(0, np.inf, (2,)),
        gymnasium.spaces.Box(0, 5, (2,), np.int32),
        gymnasium.spaces.Box(-1, 1, (2, 2)),
        gymnasium.spaces.Dict(only=gymnasium.spaces.Box(-1, 1, (2,))),
    ],
)
def test_td3_refuses_actions_that_it_cannot_give(space):
    class Other(Reach):
        action_space = space

    with pytest.raises(ValueError, match=r"TD3 needs one Box of floats.*Received: (Box|Disc|Dict)"):
        tp.agents.td3(Other)


def test_one_gradient_step_for_each_environment_step_after_uniform_warm_up():
    settings = tp.agents.Td3Settings(batch_size=4, warm_up=2_000, fused_steps=16)
    trainer = trainer_of(settings=settings)
    trainer.fit(env_steps=2_032, verbose=0)
    assert (trainer.env_step, trainer.optimizer_step()) == (2_032, 32)
    assert int(trainer.agent.train_step_counter) == 32
    drawn = trainer._learner._replay._action[: 2_000 // 4].ravel()
    assert stats.kstest(drawn, stats.uniform(-2, 4).cdf).pvalue > 0.001


def test_the_fused_steps_equal_the_agents_own_steps_one_by_one():
    fused, single = trainer_of(), trainer_of()
    fused.make_train_function()
    captured = []
    original = fused._learner._train

    def capture(count, inputs):
        captured.append((count, inputs))
        return original(count, inputs)

    fused._learner._train = capture
    fused.fit(steps=10, verbose=0)
    ((count, inputs),) = captured
    assert count == 10
    # Also by XLA, whose draws from a seed differ from TensorFlow's.
    step = tf.function(single._learner._train_once, jit_compile=True, autograph=False)
    with tf.summary.record_if(False):
        for index in range(count):  # XLA would compile anew for every index
            one = tf.nest.map_structure(lambda each, i=index: tf.constant(each[i : i + 1]), inputs)
            step(tf.constant(0), one)
    pairs = list(zip(fused.agent.variables, single.agent.variables, strict=True))
    assert len(pairs) > 30
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-5)


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


def test_masks_hold_in_actor_both_critics_and_all_targets():
    trainer = trainer_of()
    both = tp.PruningCallback(lambda step: 0.5, frequency=16, networks=("actor", "critic"))
    seen = []

    class Watch(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            roles = self.model.prunable_networks()
            pairs = roles["actor"] + roles["critic"]
            own = [kernel == 0 for network, _ in pairs for kernel in kernels(network)]
            followers = [k == 0 for _, nets in pairs for net in nets for k in kernels(net)]
            assert len(own) == len(followers) == 9
            for zeros, following in zip(own, followers, strict=True):
                np.testing.assert_array_equal(zeros, following)
            seen.append((sum(each.sum() for each in own), sum(each.size for each in own)))

    trainer.fit(steps=48, verbose=0, callbacks=[both, Watch()])
    # 3-16-16-1, and 4-16-16-1 twice.
    size = (48 + 256 + 16) + 2 * (64 + 256 + 16)
    assert seen == [(size // 2, size)] * 3


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


@pytest.mark.slow
def test_a_checkpoint_brings_back_the_whole_run(tmp_path):
    trainer = trainer_of()
    trainer.fit(steps=33, verbose=0)  # an odd step: the actor's turn is next
    trainer.save_weights(str(tmp_path / "w"))
    other = trainer_of(seed=5)
    other.load_weights(str(tmp_path / "w"))
    for each in (trainer, other):
        each.fit(steps=31, verbose=0)
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    pairs = zip(trainer._learner.optimizers, other._learner.optimizers, strict=True)
    for optimizer, restored in pairs:
        assert len(optimizer.variables) > 6
        for ours, theirs in zip(optimizer.variables, restored.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("env", ["Pendulum-v1", Reach])
def test_the_trained_policy_is_exported_and_acts_the_same(env, tmp_path):
    trainer = trainer_of(env)
    trainer.fit(steps=64, verbose=0)
    batch = trainer.observations(100)
    wanted = greedy(trainer.agent, tf.nest.flatten(batch))
    policy = trainer.policy()
    assert policy.head == (Head("tanh", 2.0, 0.0) if env != Reach else Head("tanh", (2, 5), (0, 5)))
    np.testing.assert_allclose(policy.action(batch), wanted, atol=1e-5)
    export(policy, tmp_path / "artifact", observations=batch)
    actions = runtime.load(tmp_path / "artifact").action(batch)
    np.testing.assert_allclose(actions, wanted, atol=1e-5)


def test_its_saved_model_comes_back_as_the_same_greedy_policy(tmp_path):
    trainer = trainer_of()
    trainer.fit(steps=32, verbose=0)
    own = greedy_policy.GreedyPolicy(trainer.agent.policy)
    policy_saver.PolicySaver(own, batch_size=None).save(str(tmp_path / "saved"))
    policy = tp.policies.load(tmp_path / "saved")
    batch = trainer.observations(100)
    np.testing.assert_allclose(policy.action(batch), trainer.policy().action(batch), atol=1e-5)
    shapes = [kernel.shape for kernel in find_kernels(policy.model)]
    assert shapes == [(3, 16), (16, 16), (16, 1)]


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


@pytest.mark.slow
def test_seeds_are_used():
    def weights(seed):
        trainer = trainer_of(seed=seed)
        trainer.fit(steps=32, verbose=0)
        return kernels(trainer.prunable_networks()["actor"][0][0])[0]

    np.testing.assert_array_equal(weights(0), weights(0))
    assert (weights(0) != weights(1)).any()


@pytest.mark.slow
def test_td3_learns_from_several_observations_in_bounds_that_are_not_symmetric():
    agent = tp.agents.td3(Reach, hidden=(32, 32), learning_rate=3e-3)
    settings = tp.agents.Td3Settings(batch_size=64, warm_up=500)
    trainer = tp.AgentTrainer(agent, Reach, num_envs=8, settings=settings)
    history = trainer.fit(
        env_steps=3_000, verbose=0, callbacks=[tp.EvaluationCallback(episodes=100)]
    )
    assert history.history["return"][-1] > -0.05  # the middle of the bounds gives -2 / 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_td3_learns_pendulum(seed):
    agent = tp.agents.td3("Pendulum-v1", hidden=(64, 64), seed=seed)
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", seed=seed)
    trainer.fit(env_steps=20_000, verbose=0)
    fresh = {}
    judge = tp.EvaluationCallback(episodes=100, seed=12_345)
    judge.set_model(trainer)
    judge.on_epoch_end(0, fresh)
    assert fresh["return"] >= -200
