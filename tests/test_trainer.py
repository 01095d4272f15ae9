import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import captured_steps
from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import (
    q_network,
)
from trainers import FAST, dqn_trainer, ppo_trainer

import tfdrlprune as tp
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.pruning.kernels import find_kernels


def test_fit_makes_exactly_the_steps_it_was_asked_for():
    trainer = dqn_trainer()
    history = trainer.fit(steps=100, verbose=0)
    assert history.history["step"][-1] == trainer.optimizer_step() == 100
    assert int(trainer.agent.train_step_counter) == 100
    assert int(trainer.optimizer.iterations) == 100
    assert trainer.env_step == 200 + 100
    trainer.fit(steps=30, verbose=0)
    assert int(trainer.optimizer.iterations) == 130


def test_environment_steps_can_be_asked_for_instead():
    trainer = dqn_trainer()
    trainer.fit(env_steps=328, verbose=0)
    assert (trainer.env_step, trainer.optimizer_step()) == (328, 128)
    trainer = ppo_trainer()
    trainer.fit(env_steps=100, verbose=0)
    # Two roll-outs of 64, each 2 epochs of 2 minibatches.
    assert (trainer.env_step, trainer.optimizer_step()) == (128, 8)


def test_ppo_rounds_up_to_whole_updates_and_counts_what_it_made():
    trainer = ppo_trainer()
    assert trainer.planned_steps(10) == 12
    trainer.fit(steps=10, verbose=0)
    assert trainer.optimizer_step() == int(trainer.optimizer.iterations) == 12


@pytest.mark.parametrize("arguments", [{}, {"steps": 1, "env_steps": 1}, {"steps": 0}])
def test_a_run_without_a_length_is_refused(arguments):
    with pytest.raises(ValueError, match="Received: "):
        dqn_trainer().fit(**arguments)


def test_training_runs_under_xla_and_says_so(caplog):
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        dqn_trainer().fit(steps=32, verbose=0)
    assert "training runs under XLA" in caplog.text


def test_the_fused_steps_equal_the_agents_own_steps_one_by_one():
    fused, single = dqn_trainer(), dqn_trainer()
    for trainer in (fused, single):
        trainer._learner.state.begin_episodes(trainer._learner.vector)
    count = 20
    inputs = captured_steps(fused, count)
    single.optimizer.learning_rate = float(fused.optimizer.learning_rate)
    for index in range(count):
        single._learner._train_once(tf.constant(index), tf.nest.map_structure(tf.constant, inputs))
    for ours, theirs in zip(fused.agent.variables, single.agent.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-5)


def test_a_dict_of_observations_is_trained_on():
    class Split(gymnasium.ObservationWrapper):
        def __init__(self):
            super().__init__(gymnasium.make("CartPole-v1"))
            box = self.env.observation_space
            self.observation_space = gymnasium.spaces.Dict(
                {
                    "speed": gymnasium.spaces.Box(box.low[1::2], box.high[1::2]),
                    "place": gymnasium.spaces.Box(box.low[::2], box.high[::2]),
                }
            )

        def observation(self, observation):
            return {"speed": observation[1::2], "place": observation[::2]}

    observation_space, action_space = spaces_of(Split)
    steps, actions = time_step_spec(observation_space), action_spec(action_space)
    layers = {name: tf.keras.layers.Dense(4) for name in ("speed", "place")}
    network = q_network.QNetwork(
        steps.observation,
        actions,
        preprocessing_layers=layers,
        preprocessing_combiner=tf.keras.layers.Concatenate(),
        fc_layer_params=(8,),
    )
    agent = dqn_agent.DqnAgent(
        steps,
        actions,
        q_network=network,
        optimizer=tf.keras.optimizers.Adam(1e-3),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    trainer = tp.AgentTrainer(agent, Split, num_envs=3, settings=FAST)
    history = trainer.fit(steps=64, verbose=0, callbacks=[tp.EvaluationCallback(episodes=2)])
    assert history.history["return"][-1] >= 8
    recent = trainer.observations(10)
    assert {name: leaf.shape for name, leaf in recent.items()} == {
        "speed": (10, 2),
        "place": (10, 2),
    }


def test_a_short_warm_up_lasts_until_there_is_something_to_learn_from():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,), n_step=10)
    settings = tp.agents.OffPolicySettings(warm_up=0, fused_steps=8)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    trainer.fit(env_steps=76, verbose=0)
    assert (trainer.env_step, trainer.optimizer_step()) == (11 * 4 + 32, 32)


def test_one_environment_object_is_enough():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    env = gymnasium.make("CartPole-v1")
    trainer = tp.AgentTrainer(agent, env, settings=FAST)
    trainer.fit(steps=32, verbose=0)
    assert trainer.env_step == 232
    with pytest.raises(ValueError, match="environments of its own"):
        trainer.fit(steps=32, verbose=0, callbacks=[tp.EvaluationCallback()])


def test_an_unseen_reward_that_is_not_finite_stops_training_with_a_clear_error():
    class Broken(gymnasium.RewardWrapper):
        def reward(self, reward):
            return float("nan")

    agent = tp.agents.dqn("CartPole-v1", hidden=(4,))
    trainer = tp.AgentTrainer(
        agent, lambda: Broken(gymnasium.make("CartPole-v1")), num_envs=2, settings=FAST
    )
    with pytest.raises(ValueError, match="reward that is not finite"):
        trainer.fit(steps=32, verbose=0)


@pytest.mark.slow
def test_seeds_are_used():
    def weights(agent_seed, trainer_seed):
        agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=agent_seed)
        trainer = tp.AgentTrainer(
            agent, "CartPole-v1", num_envs=4, settings=FAST, seed=trainer_seed
        )
        trainer.fit(steps=32, verbose=0)
        return find_kernels(trainer.prunable_networks()["actor"][0][0])[0].variable.numpy()

    np.testing.assert_array_equal(weights(0, 0), weights(0, 0))
    assert (weights(0, 0) != weights(1, 0)).any()
    assert (weights(0, 0) != weights(0, 1)).any()


def test_the_policy_acts_in_the_environments_own_numbers():
    class From3(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (3,))
        action_space = gymnasium.spaces.Discrete(2, start=3)

        def reset(self, *, seed=None, options=None):
            return np.zeros(3, np.float32), {}

        def step(self, action):
            assert action in (3, 4)
            return np.zeros(3, np.float32), 1.0, True, False, {}

    agent = tp.agents.dqn(From3, hidden=(4,))
    policy = tp.AgentTrainer(agent, From3, num_envs=2, settings=FAST).policy()
    assert (policy.action_spec.low, policy.action_spec.high) == (3, 4)
    observations = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    wanted = agent.policy.action(time_step(agent, [observations])).action.numpy() + 3
    np.testing.assert_array_equal(policy.action(observations), wanted)
    with pytest.raises(ValueError, match=r"from 0 to 1.*from 3 to 4.*AgentTrainer.policy"):
        tp.compress(tp.policies.from_agent(agent), From3)
