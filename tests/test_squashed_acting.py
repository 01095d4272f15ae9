"""Actions of SAC come from the collect policy's distribution, whichever way they are drawn."""

import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from scipy import stats
from tf_agents.agents.sac import sac_agent, tanh_normal_projection_network
from tf_agents.networks import actor_distribution_network

import tfdrlprune as tp
from tfdrlprune.agents import squashed_acting
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.internals import soft_actor_critic, squashed_deviation
from tfdrlprune.agents.squashed_acting import SquashedSampler

NAMES = {tf.exp: "exp", sac_agent.std_clip_transform: "clipped_exp", None: "identity"}


def agent_with(std_transform):
    """Returns a SAC agent whose weights are random, so that mean and deviation move."""
    template = tp.agents.sac("Pendulum-v1", hidden=(4,))
    observation, action = template.time_step_spec.observation, template.action_spec
    actor = actor_distribution_network.ActorDistributionNetwork(
        observation,
        action,
        fc_layer_params=(16,),
        continuous_projection_net=lambda spec: (
            tanh_normal_projection_network.TanhNormalProjectionNetwork(
                spec, std_transform=std_transform
            )
        ),
    )
    agent = sac_agent.SacAgent(
        template.time_step_spec,
        action,
        critic_network=template._critic_network_1.copy(name="Other"),
        actor_network=actor,
        actor_optimizer=tf.keras.optimizers.Adam(),
        critic_optimizer=tf.keras.optimizers.Adam(),
        alpha_optimizer=tf.keras.optimizers.Adam(),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    generator = np.random.default_rng(1)
    for variable in actor.variables:
        variable.assign(generator.normal(0, 0.4, size=variable.shape))
    return agent


def distribution_at(agent, observation):
    policy = agent.collect_policy
    return policy.distribution(time_step(agent, [observation]), ()).action.input_distribution


def check_draws(agent, sampler, observation):
    actions = sampler([np.repeat(observation, 4_000, axis=0)], np.random.default_rng(0))
    assert actions.shape == (4_000, 1)
    assert actions.dtype == np.float32
    assert (np.abs(actions) <= 2).all()
    normal = distribution_at(agent, observation)
    mean, deviation = float(normal.mean()[0, 0]), abs(float(normal.stddev()[0, 0]))
    before = np.arctanh(np.clip(actions[:, 0] / 2, -1 + 1e-7, 1 - 1e-7))
    assert stats.kstest(before, stats.norm(mean, deviation).cdf).pvalue > 0.001
    return deviation


@pytest.mark.parametrize("transform", [tf.exp, sac_agent.std_clip_transform, None])
def test_draws_in_numpy_have_the_distribution_of_each_state(transform, caplog):
    agent = agent_with(transform)
    assert squashed_deviation(agent._actor_network) == NAMES[transform]
    if transform is None:  # the network's own outputs as deviations: make them positive
        agent._actor_network.variables[-1].assign([0.1, 3.0])
    sampler = SquashedSampler(agent, soft_actor_critic(agent))
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        found = [
            check_draws(agent, sampler, np.float32([state]))
            for state in ([1.0, 0.0, -1.0], [-0.5, 0.8, 1.5])
        ]
    assert "acting runs in NumPy" in caplog.text
    assert found[0] != pytest.approx(found[1], rel=0.1)


def test_a_deviation_beyond_the_clip_is_clipped():
    agent = agent_with(sac_agent.std_clip_transform)
    agent._actor_network.variables[-1].assign([0.0, 50.0])
    sampler = SquashedSampler(agent, soft_actor_critic(agent))
    state = np.float32([[0.1, 0.1, 0.1]])
    sampler([state], np.random.default_rng(0))
    assert sampler._chain is not None
    raw = sampler._mean_and_deviation(sampler._chain([state]))
    assert raw[0, 1] == pytest.approx(np.exp(2))


@pytest.mark.parametrize("transform", [tf.nn.softplus, lambda raw: tf.exp(raw) + 1.0])
def test_other_deviations_act_compiled_and_right(transform, caplog):
    agent = agent_with(transform)
    assert squashed_deviation(agent._actor_network) is None
    sampler = SquashedSampler(agent, soft_actor_critic(agent))
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        check_draws(agent, sampler, np.float32([[1.0, 0.0, -1.0]]))
    assert "NumPy" not in caplog.text
    first, again = (sampler([np.ones((5, 3), np.float32)], np.random.default_rng(3)) for _ in "ab")
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first)) == 5


def test_a_network_that_is_no_chain_is_found_out_and_acts_compiled(monkeypatch):
    agent = agent_with(tf.exp)
    # As if the projection meant something else than it says.
    monkeypatch.setitem(squashed_acting._DEVIATIONS, "exp", lambda raw: np.exp(raw) * 1.01)
    sampler = SquashedSampler(agent, soft_actor_critic(agent))
    check_draws(agent, sampler, np.float32([[1.0, 0.0, -1.0]]))
    assert sampler._chain is None


def test_a_refreshed_sampler_follows_the_weights():
    agent = tp.agents.sac("Pendulum-v1", hidden=(8,))
    sampler = SquashedSampler(agent, soft_actor_critic(agent))
    state = np.float32([[1.0, 0.0, -1.0]])
    check_draws(agent, sampler, state)
    agent._actor_network.variables[-1].assign([1.0, -1.0])
    sampler.refresh()
    check_draws(agent, sampler, state)
