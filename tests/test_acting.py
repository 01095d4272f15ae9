import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from scipy import stats
from tf_agents.networks import sequential

import tfdrlprune as tp
from tfdrlprune.agents.acting import QValues, Sampler, time_step
from tfdrlprune.agents.dense_chain import DenseChain
from tfdrlprune.agents.internals import actor_critic, q_learning

OBSERVATIONS = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


def test_q_values_run_in_numpy_and_follow_the_weights_after_a_refresh(caplog):
    agent = tp.agents.dqn("CartPole-v1", hidden=(32, 16))
    network = q_learning(agent).network
    values = QValues(agent, network)
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        first = values([OBSERVATIONS])
    assert "acting runs in NumPy" in caplog.text
    np.testing.assert_allclose(first, network(OBSERVATIONS)[0], rtol=1e-4, atol=1e-5)
    for variable in network.variables:
        variable.assign(variable * 2.0 + 0.1)
    np.testing.assert_array_equal(values([OBSERVATIONS]), first)
    values.refresh()
    np.testing.assert_allclose(values([OBSERVATIONS]), network(OBSERVATIONS)[0], rtol=1e-4)


@pytest.mark.parametrize(
    "layers",
    [
        [tf.keras.layers.Dense(8, "swish"), tf.keras.layers.Dense(2)],
        [tf.keras.layers.Dense(8), tf.keras.layers.LayerNormalization(), tf.keras.layers.Dense(2)],
        [tf.keras.layers.Reshape((2, 2)), tf.keras.layers.Conv1D(2, 1), tf.keras.layers.Flatten()],
        [tf.keras.layers.Dense(4), tf.keras.layers.ReLU(), tf.keras.layers.Dense(2)],
    ],
)
def test_what_is_no_chain_of_dense_layers_acts_compiled_and_right(layers, caplog):
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    network = sequential.Sequential(layers)
    network.create_variables(agent.time_step_spec.observation)
    values = QValues(agent, network)
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        ours = values([OBSERVATIONS])
    assert "acting runs in NumPy" not in caplog.text
    np.testing.assert_allclose(ours, network(OBSERVATIONS)[0], rtol=1e-4, atol=1e-5)


def test_one_observation_does_not_prove_a_chain(caplog):
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    ones = {"kernel_initializer": "ones"}
    network = sequential.Sequential(
        [tf.keras.layers.Dense(2, **ones), tf.keras.layers.ReLU(), tf.keras.layers.Dense(2, **ones)]
    )
    network.create_variables(agent.time_step_spec.observation)
    values = QValues(agent, network)
    positive = np.ones((1, 4), np.float32)  # on this side of zero, a ReLU does nothing
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        np.testing.assert_allclose(values([positive]), [[8, 8]])
    assert "acting runs in NumPy" not in caplog.text
    np.testing.assert_array_equal(values([-positive]), [[0, 0]])


def test_a_network_without_dense_layers_is_no_chain():
    network = sequential.Sequential([tf.keras.layers.ReLU()])
    network.create_variables(tf.TensorSpec((4,)))
    with pytest.raises(ValueError, match="run in NumPy"):
        DenseChain(network)


def sampler_for(env, *, proved=True, monkeypatch=None):
    agent = tp.agents.ppo(env, hidden=(16,), seed=3)
    parts = actor_critic(agent)
    generator = np.random.default_rng(1)
    size = agent.time_step_spec.observation.shape[0]
    seen = generator.normal(2.0, 3.0, size=(4, 500, size)).astype("float32")
    agent.update_observation_normalizer(tf.constant(seen))
    for variable in parts.actor.variables:
        variable.assign(variable + generator.normal(0, 0.3, size=variable.shape))
    if not proved:
        monkeypatch.setattr("tfdrlprune.agents.acting.proved_chain", lambda *a, **k: None)
    sampler = Sampler(agent, parts.actor, parts.normalizer)
    observation = np.repeat(seen[0, :1], 4_000, axis=0)
    sampler.refresh([observation])
    return agent, sampler, observation


@pytest.mark.parametrize("proved", [True, False])
def test_discrete_actions_are_drawn_from_the_collect_policys_distribution(proved, monkeypatch):
    agent, sampler, observation = sampler_for("Acrobot-v1", proved=proved, monkeypatch=monkeypatch)
    assert (sampler._chain is not None) == proved
    actions = sampler([observation], np.random.default_rng(0))
    policy = agent.collect_policy
    step = policy.distribution(time_step(agent, [observation[:1]]), ())
    wanted = step.action.probs_parameter().numpy()[0].astype(float)
    assert wanted.max() < 0.9
    found = np.bincount(actions, minlength=3)
    assert stats.chisquare(found, wanted / wanted.sum() * found.sum()).pvalue > 0.001


@pytest.mark.parametrize("proved", [True, False])
def test_continuous_actions_are_drawn_from_the_collect_policys_distribution(proved, monkeypatch):
    agent, sampler, observation = sampler_for("Pendulum-v1", proved=proved, monkeypatch=monkeypatch)
    assert (sampler._chain is not None) == proved
    actions = sampler([observation], np.random.default_rng(0))
    assert actions.shape == (4_000, 1)
    policy = agent.collect_policy
    wanted = policy.distribution(time_step(agent, [observation[:1]]), ()).action
    mean, deviation = (float(each) for each in (wanted.mean()[0, 0], wanted.stddev()[0, 0]))
    assert abs(mean) > 0.05  # squashed, not at the centre by chance
    assert stats.kstest(actions[:, 0], stats.norm(mean, deviation).cdf).pvalue > 0.001


def test_a_refreshed_sampler_follows_mean_deviation_and_normaliser():
    agent, sampler, observation = sampler_for("Pendulum-v1")
    for variable in actor_critic(agent).actor.variables:
        variable.assign(variable * 0.5)
    agent.update_observation_normalizer(tf.constant(observation[None] * 3 + 1))
    sampler.refresh([observation])
    wanted = agent.collect_policy.distribution(time_step(agent, [observation[:1]]), ()).action
    actions = sampler([observation], np.random.default_rng(0))
    assert actions.mean() == pytest.approx(float(wanted.mean()[0, 0]), abs=0.05)
    assert actions.std() == pytest.approx(float(wanted.stddev()[0, 0]), rel=0.05)


def test_several_actions_are_sampled_compiled():
    import gymnasium

    class Two(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (3,))
        action_space = gymnasium.spaces.Dict(
            {"left": gymnasium.spaces.Box(-1, 1, (2,)), "right": gymnasium.spaces.Discrete(3)}
        )

        def reset(self, *, seed=None, options=None):
            return np.zeros(3, np.float32), {}

        def step(self, action):
            return np.zeros(3, np.float32), 1.0, True, False, {}

    agent = tp.agents.ppo(Two, hidden=(8,))
    settings = tp.agents.OnPolicySettings(rollout_length=16, epochs=1, minibatch_size=32)
    trainer = tp.AgentTrainer(agent, Two, num_envs=4, settings=settings)
    history = trainer.fit(env_steps=64, verbose=0)
    assert history.history["episode_return"][-1] == 1.0
