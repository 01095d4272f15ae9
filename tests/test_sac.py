"""SAC in the fit loop: its agent, its steps, its masks, its policy, and that it learns."""

import functools

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import Reach
from scipy import stats
from tf_agents.agents.cql import cql_sac_agent
from tf_agents.agents.ddpg import critic_network, critic_rnn_network
from tf_agents.agents.sac import sac_agent
from tf_agents.networks import (
    actor_distribution_network,
    actor_distribution_rnn_network,
    normal_projection_network,
)
from tf_agents.policies import greedy_policy, policy_saver
from tf_agents.specs import tensor_spec

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.agents.internals import seeded, soft_actor_critic
from tfdrlprune.deployment.exporter import export
from tfdrlprune.pruning.kernels import find_kernels

FAST = tp.agents.SacSettings(batch_size=16, warm_up=100, fused_steps=16, capacity=2_000)


CQL = functools.partial(
    cql_sac_agent.CqlSacAgent,
    cql_alpha=1.0,
    num_cql_samples=2,
    include_critic_entropy_term=False,
    use_lagrange_cql_alpha=False,
)


def trainer_of(env="Pendulum-v1", **arguments):
    agent = tp.agents.sac(env, hidden=(16, 16))
    return tp.AgentTrainer(agent, env, **({"num_envs": 4, "settings": FAST} | arguments))


def kernels(network):
    return [kernel.variable.numpy() for kernel in find_kernels(network)]


def greedy(agent, leaves):
    policy = greedy_policy.GreedyPolicy(agent.policy)
    return policy.action(time_step(agent, leaves)).action.numpy()


def own_agent(kind=None, actor=None, critic=None, action=None, **arguments):
    """Returns an agent as TF-Agents' users build it, with its defaults."""
    observations, actions = spaces_of("Pendulum-v1")
    steps, action = time_step_spec(observations), action or action_spec(actions)
    actor = actor or actor_distribution_network.ActorDistributionNetwork
    critic = critic or critic_network.CriticNetwork
    return (kind or sac_agent.SacAgent)(
        steps,
        action,
        critic_network=critic((steps.observation, action), joint_fc_layer_params=(8,)),
        actor_network=actor(steps.observation, action, **arguments),
        actor_optimizer=tf.keras.optimizers.Adam(1e-3),
        critic_optimizer=tf.keras.optimizers.legacy.Adam(2e-3),
        alpha_optimizer=tf.compat.v1.train.AdamOptimizer(1e-3),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )


def test_weights_follow_the_seed_critics_differ_and_targets_start_equal():
    first, again, other = (tp.agents.sac("Pendulum-v1", hidden=(8,), seed=s) for s in (1, 1, 2))
    parts, same, others = (soft_actor_critic(agent) for agent in (first, again, other))
    np.testing.assert_array_equal(kernels(parts.actor)[0], kernels(same.actor)[0])
    assert (kernels(parts.actor)[0] != kernels(others.actor)[0]).any()
    (one, target_one), (two, target_two) = parts.critics
    assert (kernels(one)[0] != kernels(two)[0]).any()
    for critic, target in ((one, target_one), (two, target_two)):
        for ours, theirs in zip(critic.variables, target.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_agent_is_what_was_asked_for():
    agent = tp.agents.sac(Reach, hidden=(8,), gamma=0.9, initial_alpha=0.5, reward_scale=3.0)
    # -2 for two actions in [-1, 1], whose units are 2 and 5 of the environment's.
    assert agent._target_entropy == pytest.approx(-2 + np.log(2) + np.log(5))
    assert float(tf.exp(agent._log_alpha)) == pytest.approx(0.5)
    assert (agent._gamma, agent._reward_scale_factor) == (0.9, 3.0)
    assert tp.agents.sac(Reach, hidden=(8,), target_entropy=-7.0)._target_entropy == -7.0


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
def test_sac_refuses_actions_that_it_cannot_give(space):
    class Other(Reach):
        action_space = space

    with pytest.raises(ValueError, match=r"SAC needs one Box of floats.*Received: (Box|Disc|Dict)"):
        tp.agents.sac(Other)


def test_one_gradient_step_for_each_environment_step_after_uniform_warm_up():
    settings = tp.agents.SacSettings(batch_size=4, warm_up=2_000, fused_steps=16)
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


def test_seeded_draws_have_the_distribution_of_the_agents_own():
    agent = tp.agents.sac("Pendulum-v1", hidden=(8,))
    count = 4_000
    step = time_step(agent, [tf.tile(tf.constant([[1.0, 0.2, -3.0]]), (count, 1))])
    tf.random.set_seed(0)
    own, own_log = agent._actions_and_log_probs(step, training=True)
    with seeded(agent, tf.constant([1, 2])):
        first, first_log = agent._actions_and_log_probs(step, training=True)
        second, _ = agent._actions_and_log_probs(step, training=True)
    with seeded(agent, tf.constant([1, 2])):
        again, _ = agent._actions_and_log_probs(step, training=True)
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != second.numpy()).all()
    assert stats.ks_2samp(np.ravel(own), np.ravel(first)).pvalue > 0.001
    assert stats.ks_2samp(np.ravel(own_log), np.ravel(first_log)).pvalue > 0.001
    assert "_actions_and_log_probs" not in vars(agent)


def test_targets_follow_their_critics_softly():
    trainer = trainer_of(settings=tp.agents.SacSettings(batch_size=8, warm_up=50, fused_steps=1))
    parts = soft_actor_critic(trainer.agent)
    before = [kernels(target) for _, target in parts.critics]
    trainer.fit(steps=1, verbose=0)
    for (critic, target), old in zip(parts.critics, before, strict=True):
        for ours, theirs, start in zip(kernels(critic), kernels(target), old, strict=True):
            assert (ours != start).any()
            np.testing.assert_allclose(theirs, 0.995 * start + 0.005 * ours, atol=1e-7)


def test_masks_hold_in_both_critics_and_both_targets():
    trainer = trainer_of()
    both = tp.PruningCallback(lambda step: 0.5, frequency=16, networks=("actor", "critic"))
    seen = []

    class Watch(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            gone = [mask == 0 for mask in both._engines[0].masks.numpy()]
            roles = self.model.prunable_networks()
            pairs = roles["actor"] + roles["critic"]
            zeros = [kernel == 0 for network, _ in pairs for kernel in kernels(network)]
            followers = [
                kernel == 0 for _, nets in pairs for net in nets for kernel in kernels(net)
            ]
            assert (len(zeros), len(followers)) == (9, 6)
            for mask, own in zip(gone + gone[3:], zeros + followers, strict=True):
                np.testing.assert_array_equal(mask, own)
            seen.append(sum(mask.sum() for mask in gone) / sum(mask.size for mask in gone))

    trainer.fit(steps=48, verbose=0, callbacks=[both, Watch()])
    assert seen == pytest.approx([0.5] * 3, abs=1e-3)


def test_only_the_actor_is_pruned_unless_more_is_asked_for():
    trainer = trainer_of()
    trainer.fit(steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.5)])
    networks = trainer.prunable_networks()
    assert sum((k == 0).sum() for k in kernels(networks["actor"][0][0])) == (48 + 256 + 32) // 2
    assert all((k != 0).all() for net, _ in networks["critic"] for k in kernels(net))


def optimizers(trainer):
    return trainer._learner.optimizers


def test_learning_rates_of_all_three_fall_together_and_follow_a_callback():
    agent = own_agent()
    trainer = tp.AgentTrainer(
        agent,
        "Pendulum-v1",
        num_envs=4,
        settings=tp.agents.SacSettings(
            batch_size=8, warm_up=50, fused_steps=1, final_learning_rate=0.5
        ),
    )
    actor, critic, _ = optimizers(trainer)  # the third is of TF 1 and has none to set
    trainer.fit(steps=10, verbose=0)
    # Before the last of ten batches nine tenths are done: 1 - 0.5 * 0.9.
    assert float(actor.learning_rate) == pytest.approx(0.55e-3)
    assert float(critic.learning_rate) == pytest.approx(1.1e-3)
    schedule = tf.keras.callbacks.LearningRateScheduler(lambda epoch: 0.5)
    trainer.fit(steps=2, verbose=0, callbacks=[schedule])
    assert float(actor.learning_rate) == pytest.approx(0.5)
    assert float(critic.learning_rate) == pytest.approx(1.0)


@pytest.mark.slow
def test_moments_of_all_three_optimizers_are_there_before_training_and_restored(tmp_path):
    trainer = trainer_of()
    before = [len(optimizer.variables()) for optimizer in optimizers(trainer)]
    # Two moments a variable and the step: 3, twice 3 layers of kernel and bias, one temperature.
    assert before == [2 * 6 + 1, 2 * 12 + 1, 2 + 1]
    trainer.fit(steps=32, verbose=0)
    assert [len(optimizer.variables()) for optimizer in optimizers(trainer)] == before
    trainer.save_weights(str(tmp_path / "w"))
    other = trainer_of(seed=5)
    other.load_weights(str(tmp_path / "w"))
    pairs = [*zip(optimizers(trainer), optimizers(other), strict=True)]
    for ours, theirs in pairs:
        assert int(theirs.iterations) == 32
        for a, b in zip(ours.variables(), theirs.variables(), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    for each in (trainer, other):
        each.fit(steps=32, verbose=0)
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("env", ["Pendulum-v1", Reach])
def test_the_trained_policy_is_exported_and_acts_the_same(env, tmp_path):
    trainer = trainer_of(env)
    trainer.fit(steps=64, verbose=0)
    batch = trainer.observations(100)
    leaves = tf.nest.flatten(batch)
    wanted = greedy(trainer.agent, leaves)
    policy = trainer.policy()
    assert policy.head.kind == "tanh"
    np.testing.assert_allclose(policy.action(batch), wanted, atol=1e-5)
    for precision, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        export(policy, tmp_path / precision, precision=precision, observations=batch)
        actions = runtime.load(tmp_path / precision).action(batch)
        assert actions.shape == wanted.shape
        low, high = (np.asarray(bound) for bound in (trainer.agent.action_spec.minimum, 0))
        span = trainer.agent.action_spec.maximum - low + high
        assert (np.abs(actions - wanted) / span).max() < tolerance


def test_its_saved_model_comes_back_as_the_same_greedy_policy(tmp_path):
    trainer = trainer_of()
    trainer.fit(steps=32, verbose=0)
    own = greedy_policy.GreedyPolicy(trainer.agent.policy)
    policy_saver.PolicySaver(own, batch_size=None).save(str(tmp_path / "saved"))
    policy = tp.policies.load(tmp_path / "saved")
    batch = trainer.observations(100)
    np.testing.assert_allclose(policy.action(batch), trainer.policy().action(batch), atol=1e-5)
    assert policy.head == trainer.policy().head
    shapes = [kernel.shape for kernel in find_kernels(policy.model)]
    assert shapes == [(3, 16), (16, 16), (16, 1)]


def scaled_normal(spec):
    return normal_projection_network.NormalProjectionNetwork(
        spec,
        mean_transform=None,
        state_dependent_std=True,
        std_transform=sac_agent.std_clip_transform,
        scale_distribution=True,
    )


@pytest.mark.parametrize("arguments", [{}, {"continuous_projection_net": scaled_normal}])
def test_agents_built_elsewhere_are_trained_pruned_and_rebuilt(arguments):
    agent = own_agent(fc_layer_params=(8,), **arguments)
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", num_envs=4, settings=FAST)
    pruning = tp.PruningCallback(lambda step: 0.5, frequency=16)
    trainer.fit(steps=32, verbose=0, callbacks=[pruning])
    assert int(agent.train_step_counter) == 32
    assert pruning.sparsity()["sparsity"] == pytest.approx(0.5, abs=0.02)
    taken = trainer._learner._replay._action[:33]
    assert (np.abs(taken) <= 2).all()
    batch = trainer.observations(100)
    wanted = greedy(agent, [batch])
    np.testing.assert_allclose(trainer.policy().action(batch), np.clip(wanted, -2, 2), atol=1e-5)


def test_agents_that_cannot_be_trained_are_refused_with_a_way_out():
    wide = tensor_spec.BoundedTensorSpec((1,), tf.float32, -np.inf, np.inf)
    for agent, message in (
        (own_agent(kind=CQL), "SacAgent and Td3Agent. Received: CqlSacAgent"),
        (
            own_agent(
                actor=actor_distribution_rnn_network.ActorDistributionRnnNetwork,
                critic=functools.partial(critic_rnn_network.CriticRnnNetwork, lstm_size=(4,)),
                lstm_size=(4,),
            ),
            "recurrent SAC",
        ),
        (own_agent(action=wide), r"one action with finite bounds.*Use PPO"),
    ):
        with pytest.raises(ValueError, match=message):
            tp.AgentTrainer(agent, "Pendulum-v1")
    with pytest.raises(TypeError, match="SacAgent is trained with SacSettings"):
        trainer_of(settings=tp.agents.OffPolicySettings())


@pytest.mark.slow
def test_seeds_are_used():
    def weights(seed):
        trainer = trainer_of(seed=seed)
        trainer.fit(steps=32, verbose=0)
        return kernels(trainer.prunable_networks()["actor"][0][0])[0]

    np.testing.assert_array_equal(weights(0), weights(0))
    assert (weights(0) != weights(1)).any()


@pytest.mark.slow
def test_sac_learns_from_several_observations_in_bounds_that_are_not_symmetric():
    agent = tp.agents.sac(Reach, hidden=(32, 32), learning_rate=3e-3)
    settings = tp.agents.SacSettings(batch_size=64, warm_up=500)
    trainer = tp.AgentTrainer(agent, Reach, num_envs=8, settings=settings)
    history = trainer.fit(
        env_steps=3_000, verbose=0, callbacks=[tp.EvaluationCallback(episodes=100)]
    )
    assert history.history["return"][-1] > -0.05  # the middle of the bounds gives -2 / 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_sac_learns_pendulum(seed):
    agent = tp.agents.sac("Pendulum-v1", hidden=(64, 64), seed=seed)
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", seed=seed)
    trainer.fit(env_steps=20_000, verbose=0)
    fresh = {}
    judge = tp.EvaluationCallback(episodes=100, seed=12_345)
    judge.set_model(trainer)
    judge.on_epoch_end(0, fresh)
    assert fresh["return"] >= -200
