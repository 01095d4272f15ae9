"""SAC in the fit loop: what is its own; `test_actor_critic` has what it shares with TD3."""

import functools

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

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
from tf_agents.policies import greedy_policy
from tf_agents.specs import tensor_spec

import tfdrlprune as tp
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.agents.internals import seeded, soft_actor_critic
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


def test_the_agent_is_what_was_asked_for():
    agent = tp.agents.sac(Reach, hidden=(8,), gamma=0.9, initial_alpha=0.5, reward_scale=3.0)
    # -2 for two actions in [-1, 1], whose units are 2 and 5 of the environment's.
    assert agent._target_entropy == pytest.approx(-2 + np.log(2) + np.log(5))
    assert float(tf.exp(agent._log_alpha)) == pytest.approx(0.5)
    assert (agent._gamma, agent._reward_scale_factor) == (0.9, 3.0)
    assert tp.agents.sac(Reach, hidden=(8,), target_entropy=-7.0)._target_entropy == -7.0


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


def test_only_the_actor_is_pruned_unless_more_is_asked_for():
    trainer = trainer_of()
    trainer.fit(steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.5)])
    networks = trainer.prunable_networks()
    assert sum((k == 0).sum() for k in kernels(networks["actor"][0][0])) == (48 + 256 + 32) // 2
    assert all((k != 0).all() for net, _ in networks["critic"] for k in kernels(net))


def optimizers(trainer):
    return trainer._learner.optimizers


@pytest.mark.slow
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


def scaled_normal(spec):
    return normal_projection_network.NormalProjectionNetwork(
        spec,
        mean_transform=None,
        state_dependent_std=True,
        std_transform=sac_agent.std_clip_transform,
        scale_distribution=True,
    )


@pytest.mark.parametrize("arguments", [{}, {"continuous_projection_net": scaled_normal}])
@pytest.mark.slow
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
