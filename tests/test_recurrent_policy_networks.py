"""An agent goes on with a recurrent policy that was shrunk: it acts as the policy, and learns."""

from __future__ import annotations

import functools

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import numpy as np
import pytest
from builders import Recall, randomize, recurrent_dqn, recurrent_ppo
from recurrent import logits_amid_episodes
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.agents.internals import actor_critic, q_learning
from tfdrlprune.policies.conversion import greedy_policy
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.structure import scores
from tfdrlprune.structure.gated_recurrence import gates_of
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.selection import select
from tfdrlprune.structure.shrink import shrink

ENVS = {"dqn": "CartPole-v1", "ppo": "CartPole-v1", "ppo-box": "Pendulum-v1"}
SETTINGS = {
    "dqn": tp.agents.OffPolicySettings(
        batch_size=8, fused_steps=8, warm_up=200, sequence_length=6, capacity=2_000
    ),
    "ppo": tp.agents.OnPolicySettings(rollout_length=16),
}
each_agent = pytest.mark.parametrize("name", ENVS)


def maker(name):
    return getattr(tp.agents, name.removesuffix("-box"))


def settings_of(name):
    return SETTINGS[name.removesuffix("-box")]


@functools.cache
def begun(name):
    """Returns a recurrent agent of TF-Agents' with random weights, and its policy, half as wide."""
    make = recurrent_dqn if name == "dqn" else recurrent_ppo
    agent = make(ENVS[name], lstm=12)
    # Biases would settle the actions alone.
    randomize([v for v in agent.trainable_variables if v.shape.rank > 1])
    policy = tp.policies.from_agent(agent)
    graph = groups_of(policy.model)
    small = shrink(policy.model, select(graph, scores.l1(graph), 0.5))
    return agent, policy.replace(model=small.model)


def episode(name, count=40):
    size = {"CartPole-v1": 4, "Pendulum-v1": 3}[ENVS[name]]
    return np.random.default_rng(0).normal(size=(count, size)).astype(np.float32)


def acted(agent, rows):
    """Returns what TF-Agents' own greedy policy does in an episode of these observations."""
    policy = greedy_policy(agent)
    state, actions = policy.get_initial_state(1), []
    for index, row in enumerate(rows):
        given = tf.constant(row[None])
        step = ts.transition(given, tf.zeros([1])) if index else ts.restart(given, 1)
        action, state, _ = policy.action(step, state)
        actions.append(np.asarray(action)[0])
    return np.array(actions)


def trainer_of(name, agent, seed=0):
    return tp.AgentTrainer(agent, ENVS[name], num_envs=4, settings=settings_of(name), seed=seed)


def trained(policy):
    """Returns the weights that training moves; a normaliser stays as it is."""
    return [weight.numpy() for weight in policy.model.trainable_weights]


@each_agent
def test_over_an_episode_the_agent_acts_as_the_policy(name):
    _, policy = begun(name)
    assert [spec.shape for spec in policy.states] == [(6,), (6,)]
    agent = maker(name)(ENVS[name], policy=policy)
    rows = episode(name)
    policy.reset()
    wanted = policy.action(rows)
    np.testing.assert_allclose(acted(agent, rows), wanted, atol=1e-5)
    if name != "ppo-box":
        assert 0 < np.mean(wanted) < 1


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ppo", "ppo-box")]


@pytest.mark.parametrize("name", ["dqn", *SLOW])
def test_it_learns_on_and_its_policy_is_exported(name, tmp_path):
    _, policy = begun(name)
    before = trained(policy)
    trainer = trainer_of(name, maker(name)(ENVS[name], policy=policy))
    history = trainer.fit(steps=40, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    learnt = trainer.policy()
    for ours, theirs in zip(trained(learnt), before, strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() > 1e-5
    for ours, theirs in zip(trained(policy), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # the policy that was given is left alone
    assert learnt.state_spec == policy.state_spec
    tp.export(learnt, tmp_path / "a", observations=trainer.observations(100))
    rows = episode(name)
    file = runtime.load(tmp_path / "a")
    learnt.reset()
    np.testing.assert_allclose(file.action(rows), learnt.action(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "penalty"),
    [("dqn", None), pytest.param("ppo", "l1", marks=pytest.mark.slow)],
)
def test_gates_and_masks_hold_in_the_network_and_its_target(name, penalty):
    _, policy = begun(name)
    start = policy.replace(model=gated(policy.model, penalty, shrinkage=0.01).model)
    agent = maker(name)(ENVS[name], policy=start)
    trainer = trainer_of(name, agent)
    gates = tp.StructuralPruningCallback(tp.schedules.linear(0.5, 8, 24, frequency=8))
    masks = tp.PruningCallback(lambda step: 0.5, frequency=8)
    trainer.fit(steps=40, epochs=5, verbose=0, callbacks=[gates, masks])
    assert gates.sparsity()["unit_sparsity"] >= 0.5
    ((network, followers),) = trainer.prunable_networks()["actor"]
    (lstm,) = (n for n in gates_of(network.model) if "lstm" in n)
    closed = ~gates_of(network.model)[lstm].is_open()
    assert closed.sum() >= 3
    zeros = [kernel.variable.numpy() == 0 for kernel in find_kernels(network)]
    assert sum(each.sum() for each in zeros) >= 0.5 * sum(each.size for each in zeros)
    assert len(followers) == (name == "dqn")
    for follower in followers:
        np.testing.assert_array_equal(~gates_of(follower.model)[lstm].is_open(), closed)
        for own, its in zip(zeros, find_kernels(follower), strict=True):
            np.testing.assert_array_equal(own, its.variable.numpy() == 0)
    masks.strip()
    learnt = trainer.policy()
    small = shrink(learnt.model, observations=trainer.observations(100))
    shrunk = learnt.replace(model=small.model)
    assert [spec.shape for spec in shrunk.states] == [(6 - closed.sum(),)] * 2
    rows = [episode(name)]
    np.testing.assert_allclose(shrunk.sequence(rows)[0], learnt.sequence(rows)[0], atol=1e-5)


def test_a_target_is_a_copy_and_learns_from_targets_of_one_step():
    agent = tp.agents.dqn("CartPole-v1", policy=begun("dqn")[1])
    parts = q_learning(agent)
    assert (parts.n_step, parts.recurrent) == (1, True)
    assert parts.network.model is not parts.target.model
    for ours, theirs in zip(parts.network.variables, parts.target.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["ppo", "ppo-box"])
def test_ppos_recurrent_critic_comes_with_its_normaliser_and_the_deviation(name):
    trained, policy = begun(name)
    seen = np.random.default_rng(1).normal(2.0, 3.0, (50, 1, episode(name).shape[1]))
    trained.update_observation_normalizer(tf.constant(seen, tf.float32))
    agent = maker(name)(ENVS[name], policy=policy, critic_from=trained)
    rows = tf.constant(episode(name)[None])
    types = tf.fill((1, 40), ts.StepType.MID)
    values = [
        each.collect_policy.apply_value_network(
            rows, types, each.collect_policy.get_initial_value_state(1)
        )[0]
        for each in (agent, trained)
    ]
    np.testing.assert_allclose(*values, atol=1e-4)
    assert actor_critic(agent).critic.state_spec
    new = actor_critic(maker(name)(ENVS[name], policy=policy, hidden=(7, 5))).critic
    assert [tuple(spec.shape) for spec in tf.nest.flatten(new.state_spec)] == [(5,), (5,)]


def test_ppo_trains_on_the_logits_that_it_collected_by_states_that_go_on():
    agent = tp.agents.ppo("CartPole-v1", policy=begun("ppo")[1])
    collected, trained, forgetful = logits_amid_episodes(trainer_of("ppo", agent))
    np.testing.assert_allclose(trained, collected, atol=1e-5)
    assert np.abs(forgetful - collected).max() > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tp.agents.dqn("CartPole-v1", policy=begun("dqn")[1], n_step=5),
            r"one-step targets\. Received: a recurrent policy and n_step=5\. Leave n_step out",
        ),
        (
            lambda: tp.agents.sac("Pendulum-v1", policy=begun("ppo-box")[1]),
            r"DQN and PPO go on with a recurrent policy.*Received: one with the states \['state_0'",
        ),
        (
            lambda: tp.agents.td3("Pendulum-v1", policy=begun("ppo-box")[1]),
            "DQN and PPO go on with a recurrent policy",
        ),
        (
            lambda: tp.agents.c51("CartPole-v1", policy=begun("dqn")[1]),
            "DQN and PPO go on with a recurrent policy",
        ),
    ],
)
def test_what_cannot_go_on_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def mean_return(trainer):
    judge = tp.EvaluationCallback(episodes=100, seed=77)
    judge.set_model(trainer)
    logs = {}
    judge.on_epoch_end(0, logs)
    return logs["return"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dqn", "ppo"])
def test_a_memory_of_half_the_units_is_learnt(name):
    """Recall pays 1 for what was seen four steps before, and a half to who has forgotten it."""
    make = recurrent_dqn if name == "dqn" else recurrent_ppo
    wide = make(Recall, lstm=16)
    policy = tp.policies.from_agent(wide)
    graph = groups_of(policy.model)
    small = shrink(policy.model, select(graph, scores.l1(graph), 0.5))
    more = {"gamma": 0.95, "learning_rate": 5e-3}
    start = policy.replace(model=small.model)
    if name == "dqn":
        agent = tp.agents.dqn(
            Recall, policy=start, reward_scale=1.0, target_update_period=20, **more
        )
        settings = tp.agents.OffPolicySettings(fused_steps=64, batch_size=32, sequence_length=12)
        budget = 4_000
    else:
        agent = tp.agents.ppo(Recall, policy=start, hidden=(8,), **more)
        settings, budget = tp.agents.OnPolicySettings(rollout_length=32), 12_288
    trainer = tp.AgentTrainer(agent, Recall, num_envs=16, settings=settings)
    assert mean_return(trainer) < 0.75
    trainer.fit(env_steps=budget, verbose=0)
    assert mean_return(trainer) == 1.0
    assert trainer.policy().model.count_params() == small.parameters_after
