"""Agents built elsewhere are trained by their family; what fits none is refused."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import pytest
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_agent
from tf_agents.networks import (
    actor_distribution_network,
    q_network,
    sequential,
    value_network,
)
from trainers import FAST, SHORT, polynomial, zero_share

import tfdrlprune as tp
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec


def own_dqn(network, **arguments):
    observation, action = (
        time_step_spec(spaces_of("CartPole-v1")[0]),
        action_spec(spaces_of("CartPole-v1")[1]),
    )
    return dqn_agent.DqnAgent(
        observation,
        action,
        q_network=network(observation.observation, action),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
        **arguments,
    )


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (
            q_network.QNetwork,
            {"optimizer": tf.compat.v1.train.AdamOptimizer(1e-3), "boltzmann_temperature": 1.0},
        ),
        (
            lambda observation, action: sequential.Sequential(
                [tf.keras.layers.Dense(8, "relu"), tf.keras.layers.Dense(2)]
            ),
            {"optimizer": tf.keras.optimizers.legacy.RMSprop(1e-3), "epsilon_greedy": lambda: 0.5},
        ),
    ],
)
def test_dqn_agents_built_elsewhere_are_trained_and_pruned(network, arguments):
    agent = own_dqn(network, **({"epsilon_greedy": None} | arguments))
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=FAST)
    trainer.fit(steps=64, verbose=0, callbacks=[tp.PruningCallback(polynomial(0, 32))])
    assert trainer.optimizer_step() == int(agent.train_step_counter) == 64
    assert zero_share(trainer.prunable_networks()["actor"][0][0]) == pytest.approx(0.8, abs=0.02)


@pytest.mark.slow
def test_a_ppo_agent_with_tf_agents_defaults_is_trained_and_pruned():
    observation_space, action_space = spaces_of("Pendulum-v1")
    steps, actions = time_step_spec(observation_space), action_spec(action_space)
    agent = ppo_agent.PPOAgent(
        steps,
        actions,
        optimizer=tf.keras.optimizers.Adam(1e-3),
        actor_net=actor_distribution_network.ActorDistributionNetwork(
            steps.observation, actions, fc_layer_params=(8,)
        ),
        value_net=value_network.ValueNetwork(steps.observation, fc_layer_params=(8,)),
        num_epochs=3,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    agent.initialize()
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", num_envs=2, settings=SHORT)
    before = [variable.numpy() for variable in agent.actor_net.variables]
    trainer.fit(steps=12, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.5)])
    assert int(agent.train_step_counter) == trainer.optimizer_step() == 12
    assert zero_share(agent.actor_net) == pytest.approx(0.5, abs=0.05)
    after = [variable.numpy() for variable in agent.actor_net.variables]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def test_an_agent_of_another_environment_is_refused():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    with pytest.raises(ValueError, match=r"observations of shape \[\(4,\)\].*has \[\(2,\)\]"):
        tp.AgentTrainer(agent, "MountainCar-v0")


def test_an_agent_with_another_number_of_actions_is_refused():
    class Three(gymnasium.Wrapper):
        def __init__(self):
            super().__init__(gymnasium.make("CartPole-v1"))
            self.action_space = gymnasium.spaces.Discrete(3)

    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    with pytest.raises(ValueError, match=r"numbers of actions \[2\].*has \[3\]"):
        tp.AgentTrainer(agent, Three)


def test_settings_of_the_other_family_are_refused():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    with pytest.raises(TypeError, match="DdqnAgent is trained with OffPolicySettings"):
        tp.AgentTrainer(agent, "CartPole-v1", settings=SHORT)


def test_what_is_no_agent_of_these_families_is_refused():
    with pytest.raises(ValueError, match="CategoricalDqnAgent, PPOAgent, SacAgent and Td3Agent"):
        tp.AgentTrainer(object(), "CartPole-v1")


def test_dqn_refuses_box_actions_and_names_ppo():
    with pytest.raises(ValueError, match=r"one Discrete action.*tp.agents.ppo"):
        tp.agents.dqn("Pendulum-v1")
