"""Recurrent agents: their states in roll-outs, replay and evaluation, their masks, and memory."""

import functools

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import Recall, recurrent_dqn, recurrent_ppo
from tf_agents.keras_layers import dynamic_unroll_layer
from tf_agents.policies import greedy_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

import tfdrlprune as tp
from tfdrlprune.agents.internals import actor_critic, continued, q_learning
from tfdrlprune.pruning.kernels import find_kernels

SEQUENCES = tp.agents.OffPolicySettings(
    warm_up=200, fused_steps=16, batch_size=8, sequence_length=6, capacity=2_000
)
SHORT = tp.agents.OnPolicySettings(rollout_length=7)


def dqn_trainer(env=Recall, seed=0, settings=SEQUENCES, **arguments):
    return tp.AgentTrainer(
        recurrent_dqn(env, **arguments), env, num_envs=4, settings=settings, seed=seed
    )


def ppo_trainer(env=Recall, seed=0, **arguments):
    agent = recurrent_ppo(env, **arguments)
    return tp.AgentTrainer(agent, env, num_envs=4, settings=SHORT, seed=seed)


def gru(**arguments):
    return dynamic_unroll_layer.DynamicUnroll(tf.keras.layers.GRUCell(6))


def run_alone(network, observations, first):
    """Returns a network's outputs step by step, from an empty state wherever an episode begins.

    Args:
        network: recurrent.
        observations: [time, ...], of one environment.
        first: bool, [time].
    """
    outputs, state = [], network.get_initial_state(1)
    for observation, begins in zip(observations, first, strict=True):
        if begins:
            state = network.get_initial_state(1)
        step_type = tf.constant([ts.StepType.MID])
        output, state = network(observation[None], step_type=step_type, network_state=state)
        outputs.append(output)
    return outputs


def make_memory_matter(network):
    """Gives a network large random kernels, so that its greedy actions depend on its state."""
    generator = np.random.default_rng(3)
    for kernel in find_kernels(network):
        kernel.variable.assign(generator.normal(size=kernel.shape))


def test_roll_outs_act_by_the_state_of_each_environments_own_episode():
    trainer = ppo_trainer(normalize_observations=False)
    collector = trainer._learner._collector
    rollouts = [collector.collect(7) for _ in range(3)]  # episodes of 4 steps and a reset
    observation = np.concatenate([rollout.observation[0] for rollout in rollouts])
    first = np.concatenate([rollout.first for rollout in rollouts])
    assert first.sum() == 4 * 5
    logits = np.concatenate([rollout.parameters["logits"] for rollout in rollouts])
    actor = actor_critic(trainer.agent).actor
    for env in range(4):
        alone = run_alone(actor, observation[:, env], first[:, env])
        wanted = np.concatenate([each.logits_parameter() for each in alone])
        np.testing.assert_allclose(logits[:, env], wanted, atol=1e-5)
    assert np.ptp(logits, axis=(0, 1)).min() > 1e-3


def test_actions_of_a_roll_out_are_drawn_from_its_distributions():
    trainer = ppo_trainer("Pendulum-v1")
    rollout = trainer._learner._collector.collect(400)
    mean, deviation = rollout.parameters["loc"], rollout.parameters["scale"]
    standard = ((rollout.action - mean) / deviation).ravel()
    assert abs(standard.mean()) < 0.1
    assert standard.std() == pytest.approx(1.0, abs=0.1)


def test_training_begins_where_the_roll_out_began():
    trainer = ppo_trainer()
    learner, agent = trainer._learner, trainer.agent
    learner._collector.collect(7)
    rollout = learner._collector.collect(7)
    assert not rollout.first[0].any()  # the second one begins amid episodes
    experience = learner._update._experience(rollout)
    steps = ts.TimeStep(
        experience.step_type, experience.reward, experience.discount, experience.observation
    )
    policy = agent.collect_policy

    def logits():
        step = policy._distribution(steps, policy.get_initial_state(4))
        return step.action.logits_parameter().numpy()

    collected = np.swapaxes(rollout.parameters["logits"], 0, 1)
    with continued(agent, rollout.states):
        np.testing.assert_allclose(logits(), collected, atol=1e-5)
    assert np.abs(logits() - collected).max() > 1e-3  # which empty states would give
    assert "get_initial_state" not in vars(policy)


def test_the_critics_state_goes_on_too():
    trainer = ppo_trainer(normalize_observations=False)
    collector, critic = trainer._learner._collector, actor_critic(trainer.agent).critic
    first, second = collector.collect(7), collector.collect(7)
    experiences = [trainer._learner._update._experience(each) for each in (first, second)]
    both = np.concatenate([each.observation for each in experiences], axis=1)
    types = np.concatenate([each.step_type for each in experiences], axis=1)
    empty = critic.get_initial_state(4)
    whole, _ = critic(tf.constant(both), step_type=tf.constant(types), network_state=empty)
    state = trainer.agent.collect_policy.get_initial_value_state(4)
    packed = tf.nest.pack_sequence_as(state, second.states[1])
    later, _ = critic(experiences[1].observation, step_type=types[:, 7:], network_state=packed)
    np.testing.assert_allclose(later, whole[:, 7:], atol=1e-5)


@pytest.mark.slow
def test_a_recurrent_update_equals_the_agents_own_on_whole_episodes():
    trainer, other = ppo_trainer(), ppo_trainer()
    rollout = trainer._learner._collector.collect(14)
    experience = trainer._learner._update._experience(rollout)
    trainer._learner._update(rollout)
    # All episodes begin in this roll-out, so that TF-Agents' own empty states are right.
    with tf.summary.record_if(False):
        other.agent.train(tf.nest.map_structure(tf.constant, experience))
    assert int(other.agent.train_step_counter) == int(trainer.agent.train_step_counter) == 3
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cell", [None, gru])
def test_acting_goes_by_the_state_of_each_environments_own_episode(cell):
    trainer = dqn_trainer(cell=cell, epsilon_greedy=0.0)
    learner, network = trainer._learner, q_learning(trainer.agent).network
    learner._refresh(200, 1.0)
    warm, seen = learner._replay._written, []
    act = learner._method._act

    def spy(*inputs):
        seen.append(act(*inputs))
        return seen[-1]

    learner._method._act = spy
    learner._collect()
    replay = learner._replay
    rows = slice(warm, replay._written)
    observation = replay._observation[0]._ring[rows]
    first = np.roll(replay._resets[: replay._written], 1, axis=0)[rows]
    values = np.stack([each for each, _ in seen])
    assert values.shape == (50, 4, 2)
    np.testing.assert_array_equal(replay._action[rows], np.argmax(values, axis=-1))
    for env in range(4):
        begin = int(np.argmax(first[:, env]))  # before it is an episode that warm-up began
        alone = run_alone(network, observation[begin:, env], first[begin:, env])
        np.testing.assert_allclose(values[begin:, env], np.concatenate(alone), atol=1e-5)


def test_exploring_actions_are_random_as_often_as_epsilon_says():
    trainer = dqn_trainer(epsilon_greedy=0.0)
    learner = trainer._learner
    learner._refresh(1, 0.0)
    method = learner._method
    assert method._epsilon == 1.0
    drawn = [method.action_for(learner.vector.observation, learner.state.generator)]
    for _ in range(200):
        drawn.append(method.action_for(learner.vector.observation, learner.state.generator))
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.06)


@pytest.mark.slow
def test_the_fused_steps_equal_the_agents_own_on_trajectories_one_by_one():
    fused, single = dqn_trainer(), dqn_trainer()
    fused.make_train_function()
    captured = []
    original = fused._learner._train

    def capture(count, inputs):
        captured.append(inputs)
        return original(count, inputs)

    fused._learner._train = capture
    fused.fit(steps=8, verbose=0)
    (inputs,) = captured
    assert inputs["reward"].shape == (16, 8, 6)
    single.optimizer.learning_rate = float(fused.optimizer.learning_rate)
    for index in range(8):
        batch = tf.nest.map_structure(lambda each, i=index: each[i], inputs)

        def through(name, last):
            return np.concatenate([batch[name], last[:, None]], axis=1)  # noqa: B023

        (before,), (after,) = batch["observation"], batch["next_observation"]
        # One row more, of which TF-Agents reads the observation.
        with tf.summary.record_if(False):
            rows = trajectory.Trajectory(
                step_type=through("step_type", batch["next_step_type"][:, -1]),
                observation=np.concatenate([before, after[:, -1:]], axis=1),
                action=through("action", batch["action"][:, -1]),
                policy_info=(),
                next_step_type=through("next_step_type", batch["next_step_type"][:, -1]),
                reward=through("reward", batch["reward"][:, -1]),
                discount=through("discount", batch["discount"][:, -1]),
            )
            single.agent.train(tf.nest.map_structure(tf.constant, rows))
    for ours, theirs in zip(fused.agent.variables, single.agent.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-5)


def test_the_loss_leaves_out_resets_and_starts_anew_after_them():
    agent = recurrent_dqn(Recall, gamma=0.9, epsilon_greedy=0.0)
    trainer = tp.AgentTrainer(agent, Recall, num_envs=4, settings=SEQUENCES)
    trainer._learner._refresh(16, 1.0)
    batch = tf.nest.map_structure(lambda each: each[0], trainer._learner._collect())
    parts = q_learning(agent)
    for variable in parts.target.trainable_variables:
        variable.assign(1.5 * variable)
    tensors = tf.nest.map_structure(tf.constant, batch)
    found = agent._loss(trainer._learner._experience(tensors), gamma=0.9).loss
    losses = []
    for row in range(8):
        one = tf.nest.map_structure(lambda each, r=row: each[r], batch)
        (before,), (after,) = one["observation"], one["next_observation"]
        kinds, following = one["step_type"], one["next_step_type"]
        q = np.concatenate(run_alone(parts.network, before, kinds == ts.StepType.FIRST))
        ahead = following == ts.StepType.FIRST
        online = np.concatenate(run_alone(parts.network, after, ahead))
        target = np.concatenate(run_alone(parts.target, after, ahead))
        best = target[np.arange(6), np.argmax(online, axis=1)]
        error = one["reward"] + 0.9 * one["discount"] * best - q[np.arange(6), one["action"]]
        huber = np.where(np.abs(error) <= 1, 0.5 * error**2, np.abs(error) - 0.5)
        losses.append((huber * (kinds != ts.StepType.LAST)).sum())
    assert (batch["step_type"] == ts.StepType.LAST).any()
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4)


class Spelled(Recall):
    """Returns spell out which actions were taken."""

    def step(self, action):
        time = self._time
        observation, _, *rest = super().step(action)
        return observation, float(action) * 3.0**time, *rest


def returns_alone(policy, env, carries):
    """Returns the mean of six episodes by TF-Agents' own policy, with its state or without."""
    if env is Spelled:
        envs = gymnasium.vector.SyncVectorEnv([Spelled] * 6)
        observation, _ = envs.reset(seed=[40 + index for index in range(6)])
    else:
        envs = gymnasium.make_vec(env, 6, vectorization_mode="vector_entry_point")
        observation, _ = envs.reset(seed=40)
    state, returns, running = policy.get_initial_state(6), np.zeros(6), np.ones(6, bool)
    step = ts.restart(tf.constant(observation), batch_size=6)
    while running.any():
        chosen = policy.action(step, state)
        state = chosen.state if carries else state
        observation, reward, terminated, truncated, _ = envs.step(chosen.action.numpy())
        returns += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
        step = ts.transition(tf.constant(observation), reward=tf.zeros(6))
    return returns.mean()


@pytest.mark.slow
@pytest.mark.parametrize("make", [recurrent_dqn, recurrent_ppo])
@pytest.mark.parametrize("env", [Spelled, "CartPole-v1"])  # stepped one by one, or as a vector
def test_evaluation_carries_the_state_through_an_episode(make, env):
    agent = make(env)
    parts = q_learning(agent) or actor_critic(agent)
    make_memory_matter(parts.network if make is recurrent_dqn else parts.actor)
    settings = SEQUENCES if make is recurrent_dqn else SHORT
    trainer = tp.AgentTrainer(agent, env, num_envs=4, settings=settings)
    callback = tp.EvaluationCallback(episodes=6, seed=40)
    callback.set_model(trainer)
    logs = {}
    for _ in range(2):  # the second time from empty states again
        callback.on_epoch_end(0, logs)
    policy = greedy_policy.GreedyPolicy(agent.policy)
    assert logs["return"] == pytest.approx(returns_alone(policy, env, carries=True))
    assert logs["return"] != pytest.approx(returns_alone(policy, env, carries=False))


@pytest.mark.parametrize("make", [dqn_trainer, pytest.param(ppo_trainer, marks=pytest.mark.slow)])
def test_masks_hold_in_recurrent_kernels_and_targets(make):
    trainer = make()
    pruning = tp.PruningCallback(lambda step: 0.75, frequency=4)
    trainer.fit(steps=24, verbose=0, callbacks=[pruning])
    ((actor, followers),) = trainer.prunable_networks()["actor"]
    kernels = find_kernels(actor)
    assert [kernel.name for kernel in kernels][1:3] == ["lstm_cell", "lstm_cell/recurrent_kernel"]
    zeros = [kernel.variable.numpy() == 0 for kernel in kernels]
    total = sum(each.size for each in zeros)
    # 2-8, an LSTM of 8, 8-8 and 8-2.
    assert total == 16 + 2 * 8 * 32 + 64 + 16
    assert sum(each.sum() for each in zeros) == round(0.75 * total)
    assert zeros[2].any()
    assert len(followers) == (make is dqn_trainer)
    for follower in followers:
        for own, its in zip(zeros, find_kernels(follower), strict=True):
            np.testing.assert_array_equal(own, its.variable.numpy() == 0)


@pytest.mark.slow
@pytest.mark.parametrize("make", [dqn_trainer, ppo_trainer])
def test_a_checkpoint_brings_back_the_whole_run(make, tmp_path):
    trainer = make("CartPole-v1")  # whose episodes run on, were they not ended
    trainer.fit(steps=18, verbose=0)
    trainer.save_weights(str(tmp_path / "w"))
    other = make("CartPole-v1", seed=5)
    other.load_weights(str(tmp_path / "w"))
    for each in (trainer, other):
        each.fit(steps=18, verbose=0)
    assert trainer.env_step == other.env_step
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def lstm_of_keras(**arguments):
    return tf.keras.layers.LSTM(4, return_sequences=True, return_state=True)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            functools.partial(recurrent_ppo, compute_value_and_advantage_in_train=False),
            SHORT,
            r"whole roll-outs.*compute_value_and_advantage_in_train=True",
        ),
        (
            functools.partial(recurrent_dqn, cell=lstm_of_keras),
            SEQUENCES,
            r"\(LSTM\) of QRnnNetwork would carry its state on.*DynamicUnroll",
        ),
        (
            recurrent_dqn,
            tp.agents.OffPolicySettings(sequence_length=16, capacity=64),
            r"Received: sequence_length=16, and room for capacity=64 / 4",
        ),
        (recurrent_dqn, tp.agents.OffPolicySettings(sequence_length=1), "2 steps or more"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_way_out(make, settings, message):
    with pytest.raises(ValueError, match=message):
        tp.AgentTrainer(make(Recall), Recall, num_envs=4, settings=settings)


def returns_of(trainer, **arguments):
    judge = tp.EvaluationCallback(episodes=100, seed=77)
    trainer.fit(verbose=0, **arguments)
    judge.set_model(trainer)
    logs = {}
    judge.on_epoch_end(0, logs)
    return logs["return"]


@pytest.mark.slow
def test_a_recurrent_dqn_remembers_while_it_is_pruned():
    agent = recurrent_dqn(Recall, learning_rate=5e-3, gamma=0.95)
    settings = tp.agents.OffPolicySettings(fused_steps=64, batch_size=32, sequence_length=12)
    trainer = tp.AgentTrainer(agent, Recall, num_envs=16, settings=settings)
    schedule = tp.PolynomialDecay(0.0, 0.5, begin_step=400, end_step=1_500, frequency=50)
    pruning = tp.PruningCallback(schedule)
    assert returns_of(trainer, env_steps=4_000, callbacks=[pruning]) == 1.0
    assert pruning.sparsity()["sparsity"] == 0.5


@pytest.mark.slow
def test_a_recurrent_ppo_remembers_while_it_is_pruned():
    agent = recurrent_ppo(Recall, learning_rate=5e-3, epochs=10, normalize_observations=False)
    settings = tp.agents.OnPolicySettings(rollout_length=32)
    trainer = tp.AgentTrainer(agent, Recall, num_envs=16, settings=settings)
    schedule = tp.PolynomialDecay(0.0, 0.5, begin_step=50, end_step=150, frequency=10)
    pruning = tp.PruningCallback(schedule)
    assert returns_of(trainer, env_steps=12_288, callbacks=[pruning]) == 1.0
    assert pruning.sparsity()["sparsity"] == 0.5
