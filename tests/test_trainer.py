import csv
import logging

from tfdrlprune._tf import tf, tfmot
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import captured_steps
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_agent
from tf_agents.networks import (
    actor_distribution_network,
    q_network,
    sequential,
    value_network,
)

import tfdrlprune as tp
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.pruning.kernels import find_kernels

FAST = tp.agents.OffPolicySettings(warm_up=200, fused_steps=32, batch_size=16)
SHORT = tp.agents.OnPolicySettings(rollout_length=16, epochs=2, minibatch_size=32)


def dqn_trainer(**arguments):
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 16), n_step=3)
    return tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=FAST, **arguments)


def ppo_trainer(env="CartPole-v1"):
    agent = tp.agents.ppo(env, hidden=(16, 16))
    return tp.AgentTrainer(agent, env, num_envs=4, settings=SHORT)


def polynomial(begin, end):
    return tfmot().sparsity.keras.PolynomialDecay(0.0, 0.8, begin, end, frequency=8)


def zero_share(network):
    kernels = [kernel.variable.numpy() for kernel in find_kernels(network)]
    return sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels)


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


@pytest.mark.parametrize("make", [dqn_trainer, ppo_trainer])
def test_pruning_in_the_fit_loop_ends_with_the_exact_sparsity(make):
    trainer = make()
    callback = tp.PruningCallback(polynomial(8, 48))
    seen = []

    class Watch(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ((actor, followers),) = self.model.prunable_networks()["actor"]
            seen.append((logs["sparsity"], [zero_share(net) for net in (actor, *followers)]))

    trainer.fit(steps=96, verbose=0, callbacks=[callback, Watch()])
    ((actor, _),) = trainer.prunable_networks()["actor"]
    total = sum(kernel.variable.numpy().size for kernel in find_kernels(actor))
    assert zero_share(actor) == round(0.8 * total) / total
    for logged, shares in seen:
        assert shares == pytest.approx([logged] * len(shares), abs=1e-6)


@pytest.mark.slow
def test_the_critic_is_left_alone_unless_it_is_asked_for():
    trainer = ppo_trainer()
    trainer.fit(steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.5)])
    networks = trainer.prunable_networks()
    assert zero_share(networks["actor"][0][0]) == pytest.approx(0.5, abs=0.01)
    assert zero_share(networks["critic"][0][0]) == 0.0
    trainer = ppo_trainer()
    both = tp.PruningCallback(lambda step: 0.5, networks=("actor", "critic"))
    trainer.fit(steps=16, verbose=0, callbacks=[both])
    assert zero_share(trainer.prunable_networks()["critic"][0][0]) > 0.3


def test_zeros_hold_inside_ppos_epochs():
    trainer = ppo_trainer()
    trainer.fit(steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.8)])
    actor = trainer.prunable_networks()["actor"][0][0]
    masked = [kernel.variable.numpy() == 0 for kernel in find_kernels(actor)]
    after_each = []
    optimizer, original = trainer.optimizer, trainer.optimizer.apply_gradients

    def watched(pairs, **arguments):
        result = original(pairs, **arguments)
        after_each.append([kernel.variable.numpy() == 0 for kernel in find_kernels(actor)])
        return result

    optimizer.apply_gradients = watched
    tf.config.run_functions_eagerly(True)
    try:
        trainer.make_train_function(force=True)
        trainer._learner._update._train = lambda steps, inputs: [
            trainer._learner._update._train_once(i, tf.nest.map_structure(tf.constant, inputs))
            for i in range(steps)
        ]
        trainer._learner._update(trainer._learner._collector.collect(16))
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(after_each) == 4
    for step in after_each:
        for mask, zeros in zip(masked, step, strict=True):
            np.testing.assert_array_equal(zeros, mask)


def test_stock_callbacks_work(tmp_path):
    trainer = dqn_trainer()
    callbacks = [
        tp.PruningCallback(polynomial(8, 48)),
        tp.EvaluationCallback(episodes=2),
        tf.keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        tf.keras.callbacks.TensorBoard(str(tmp_path / "board")),
        tf.keras.callbacks.TerminateOnNaN(),
        tf.keras.callbacks.ModelCheckpoint(str(tmp_path / "weights"), save_weights_only=True),
        tf.keras.callbacks.EarlyStopping("return", mode="max", patience=100),
        tf.keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
    ]
    trainer.fit(steps=128, epochs=4, verbose=0, callbacks=callbacks)
    # A second fit with TensorBoard must not find the first one's writer closed.
    trainer.fit(steps=64, epochs=2, verbose=0, callbacks=callbacks[3:4])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [32, 64, 96, 128]
    assert float(rows[-1]["sparsity"]) == pytest.approx(0.8, abs=0.01)
    assert 1 <= float(rows[-1]["return"]) <= 500
    assert (tmp_path / "weights.index").exists()


def test_early_stopping_stops():
    trainer = dqn_trainer()
    stop = tf.keras.callbacks.EarlyStopping("epsilon", mode="max", patience=1)
    trainer.fit(steps=320, epochs=10, verbose=0, callbacks=[stop])
    assert trainer.optimizer_step() < 320


def test_the_learning_rate_falls_linearly_and_gives_way_to_a_callback():
    trainer = dqn_trainer()
    first = float(trainer.optimizer.learning_rate)
    trainer.fit(steps=320, verbose=0)
    # Before the last of ten batches nine tenths are done: 1 - 0.99 * 0.9.
    assert float(trainer.optimizer.learning_rate) == pytest.approx(first * 0.109)
    trainer = dqn_trainer()
    schedule = tf.keras.callbacks.LearningRateScheduler(lambda epoch: 0.123)
    trainer.fit(steps=320, verbose=0, callbacks=[schedule])
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.123)


@pytest.mark.parametrize(
    "callback",
    [
        lambda path: tf.keras.callbacks.ModelCheckpoint(str(path / "model.keras")),
        lambda path: tf.keras.callbacks.ModelCheckpoint(str(path / "m.h5"), save_weights_only=True),
        lambda path: tf.keras.callbacks.ModelCheckpoint(str(path / "model")),
    ],
)
def test_callbacks_that_would_save_what_cannot_be_saved_are_refused_first(callback, tmp_path):
    trainer = dqn_trainer()
    with pytest.raises(ValueError, match="save_weights_only=True"):
        trainer.fit(steps=32, verbose=0, callbacks=[callback(tmp_path)])
    assert trainer.env_step == 0


def test_saving_as_a_model_says_what_works(tmp_path):
    with pytest.raises(NotImplementedError, match="save_weights_only=True"):
        dqn_trainer().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="save_weights_only=True"):
        dqn_trainer().save_weights(tmp_path / "weights.h5")


@pytest.mark.parametrize("make", [dqn_trainer, pytest.param(ppo_trainer, marks=pytest.mark.slow)])
def test_weights_bring_the_whole_run_back(make, tmp_path):
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    trainer = make()
    callback = tp.PruningCallback(polynomial(8, 24))
    trainer.fit(steps=64, verbose=0, callbacks=[callback])
    trainer.save_weights(tmp_path / "weights")
    trainer.fit(steps=64, verbose=0)
    other = make()
    # The masks are there before the checkpoint is read into them.
    tp.PruningCallback(polynomial(8, 24)).set_model(other)
    other.load_weights(tmp_path / "weights")
    assert other.env_step == trainer.env_step - 64 or make is ppo_trainer
    other.fit(steps=64, verbose=0)
    assert other.env_step == trainer.env_step
    assert len(trainer.agent.variables) > 8
    third = make()
    third.load_weights(tmp_path / "weights")  # what was seen is there without another step
    assert third.observations(5).shape == (5, 4)
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


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


def test_a_short_warm_up_lasts_until_there_is_something_to_learn_from():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,), n_step=10)
    settings = tp.agents.OffPolicySettings(warm_up=0, fused_steps=8)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    trainer.fit(env_steps=76, verbose=0)
    assert (trainer.env_step, trainer.optimizer_step()) == (11 * 4 + 32, 32)


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


@pytest.mark.slow
def test_dqn_solves_cartpole_while_it_is_pruned():
    agent = tp.agents.dqn("CartPole-v1", hidden=(64, 64), seed=1)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", seed=1)
    schedule = tp.PolynomialDecay(0.0, 0.9, begin_step=10_000, end_step=30_000)
    judge = tp.EvaluationCallback(episodes=100, seed=77, keep_best=True)
    history = trainer.fit(steps=50_000, verbose=0, callbacks=[tp.PruningCallback(schedule), judge])
    assert history.history["sparsity"][-1] == 0.9
    fresh = {}
    last = tp.EvaluationCallback(episodes=100, seed=12_345)
    last.set_model(trainer)
    last.on_epoch_end(0, fresh)
    assert fresh["return"] >= 475


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
