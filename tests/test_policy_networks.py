"""An agent goes on with a policy: it acts as the policy does, and then it learns."""

from __future__ import annotations

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import tfdrlprune as tp

# isort: split
import numpy as np
import pytest
from builders import Reach, mlp, randomize
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.internals import actor_critic, soft_actor_critic, twin_delayed
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.tf_policies import greedy_policy
from tfdrlprune.specs import ArraySpec, Head
from tfdrlprune.structure import scores
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.selection import select
from tfdrlprune.structure.shrink import shrink

ENVS = {
    "dqn": "CartPole-v1",
    "dueling": "CartPole-v1",
    "c51": "CartPole-v1",
    "ppo": "CartPole-v1",
    "ppo-box": "Pendulum-v1",
    "sac": "Pendulum-v1",
    "td3": "Pendulum-v1",
}
SETTINGS = {
    "dqn": tp.agents.OffPolicySettings(batch_size=16, fused_steps=16, warm_up=64),
    "c51": tp.agents.OffPolicySettings(batch_size=16, fused_steps=16, warm_up=64),
    "ppo": tp.agents.OnPolicySettings(rollout_length=16, minibatch_size=32, epochs=2),
    "sac": tp.agents.SacSettings(batch_size=16, fused_steps=8, warm_up=64),
    "td3": tp.agents.Td3Settings(batch_size=16, fused_steps=8, warm_up=64),
}


def maker(name):
    return getattr(tp.agents, {"dueling": "dqn", "ppo-box": "ppo"}.get(name, name))


def begun(name):
    """Returns an agent with random weights, and its policy without half of its units."""
    more = {"dueling": True} if name == "dueling" else {}
    agent = maker(name)(ENVS[name], hidden=(12, 8), **more)
    for module in (agent, getattr(agent, "actor_net", None)):
        if module is not None:
            randomize([v for v in module.trainable_variables if v.shape.rank])
    if name.startswith("ppo"):  # a normaliser that has seen something
        for _ in range(3):
            count = agent.time_step_spec.observation.shape[0]
            seen = np.random.default_rng(1).normal(2.0, 3.0, (50, 1, count))
            agent.update_observation_normalizer(tf.constant(seen, tf.float32))
    policy = tp.policies.from_agent(agent)
    graph = groups_of(policy.model)
    small = shrink(policy.model, select(graph, scores.l1(graph), 0.5))
    return agent, policy.replace(model=small.model)


def observations(name, count=1000):
    size = {"CartPole-v1": 4, "Pendulum-v1": 3}[ENVS[name]]
    return np.random.default_rng(0).normal(size=(count, size)).astype(np.float32) * 2


def greedy(agent, batch):
    step = ts.restart(tf.constant(batch), batch_size=len(batch))
    action = greedy_policy(agent).action(step).action
    return np.asarray(tf.nest.flatten(action)[0])


def same(some, others):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ENVS)
def test_the_agent_acts_as_the_policy_on_a_thousand_observations(name):
    _, policy = begun(name)
    agent = maker(name)(ENVS[name], policy=policy)
    batch = observations(name)
    wanted = policy(batch)
    assert len(np.unique(wanted, axis=0)) > 1
    np.testing.assert_allclose(greedy(agent, batch), wanted, atol=1e-5)
    again = tp.policies.from_agent(agent, action=policy.action_spec)
    same(again.model.get_weights(), policy.model.get_weights())
    assert [layer.name for layer in again.model.layers] == [x.name for x in policy.model.layers]
    assert again.head == policy.head


@pytest.mark.parametrize(
    "name",
    ["dqn", "ppo", *(pytest.param(n, marks=pytest.mark.slow) for n in ("c51", "sac", "td3"))],
)
def test_training_goes_on_and_moves_the_small_network_only(name):
    _, policy = begun(name)
    before = [weight.copy() for weight in policy.model.get_weights()]
    agent = maker(name)(ENVS[name], policy=policy)
    trainer = tp.AgentTrainer(agent, ENVS[name], num_envs=4, settings=SETTINGS[name])
    trainer.fit(steps=32, epochs=1, verbose=0)
    after = trainer.policy().model.get_weights()
    assert [each.shape for each in after] == [each.shape for each in before]
    assert np.abs(after[-1] - before[-1]).max() > 1e-5
    same(policy.model.get_weights(), before)  # the policy that was given is left alone


def test_targets_are_copies():
    for name in ("dqn", "c51"):
        agent = maker(name)(ENVS[name], policy=begun(name)[1])
        same(agent._q_network.variables, agent._target_q_network.variables)
        assert agent._q_network.model is not agent._target_q_network.model
    parts = twin_delayed(tp.agents.td3("Pendulum-v1", policy=begun("td3")[1]))
    same(parts.actor.variables, parts.target_actor.variables)


@pytest.mark.parametrize(("name", "parts"), [("sac", soft_actor_critic), ("td3", twin_delayed)])
def test_critics_and_their_targets_are_taken_from_the_trained_agent(name, parts):
    trained, policy = begun(name)
    # Targets lag behind.
    for _, target in parts(trained).critics:
        randomize(target.variables, seed=5)
    agent = maker(name)("Pendulum-v1", policy=policy, critic_from=trained)
    for ours, theirs in zip(parts(agent).critics, parts(trained).critics, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            same(one.variables, other.variables)
            assert one is not other


@pytest.mark.parametrize("name", ["ppo", "ppo-box"])
def test_ppos_critic_comes_with_its_normaliser_and_the_deviation(name):
    trained, policy = begun(name)
    agent = maker(name)(ENVS[name], policy=policy, critic_from=trained)
    batch = observations(name, 50)
    steps = ts.restart(tf.constant(batch), batch_size=50)
    values = [
        np.asarray(each.collect_policy.apply_value_network(batch, steps.step_type, ())[0])
        for each in (agent, trained)
    ]
    np.testing.assert_allclose(*values, atol=1e-4)
    assert actor_critic(agent).normalizer is None
    again = maker(name)(ENVS[name], policy=policy, critic_from=agent)
    value = again.collect_policy.apply_value_network(batch, steps.step_type, ())[0]
    np.testing.assert_array_equal(value, values[0])
    if name == "ppo-box":
        ours, theirs = (
            each.collect_policy.distribution(steps, ()).action.stddev() for each in (agent, trained)
        )
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)


def test_a_deviation_that_nobody_says_is_a_share_of_the_actions_range():
    _, policy = begun("ppo-box")
    agent = tp.agents.ppo("Pendulum-v1", policy=policy)
    steps = ts.restart(tf.zeros((1, 3)), batch_size=1)
    deviation = agent.collect_policy.distribution(steps, ()).action.stddev()
    np.testing.assert_allclose(deviation, [[0.6]], rtol=1e-5)  # of -2 to 2


def test_several_observations_are_given_to_the_inputs_by_their_names():
    wanted = tf.keras.Input((2,), name="wanted")
    camera = tf.keras.Input((2, 2, 1), dtype="uint8", name="camera")
    flat = tf.keras.layers.Flatten()(tf.keras.layers.Rescaling(1 / 255)(camera))
    both = tf.keras.layers.Concatenate()([wanted, flat])
    model = tf.keras.Model(
        [camera, wanted], tf.keras.layers.Dense(2, name="outputs", bias_initializer="ones")(both)
    )
    spec = {
        "camera": ArraySpec("camera", (2, 2, 1), "uint8", 0, 255),
        "wanted": ArraySpec("wanted", (2,), "float32", -1.0, 1.0),
    }
    action = ArraySpec("action", (2,), "float32", (-2.0, 0.0), (2.0, 10.0))
    policy = Policy(model, Head("tanh", (2.0, 5.0), (0.0, 5.0)), spec, action)
    agent = tp.agents.td3(Reach, policy=policy)
    batch = {
        "camera": np.full((3, 2, 2, 1), 255, np.uint8),
        "wanted": np.float32([[0, 1], [-1, 0.5], [0.2, 0.3]]),
    }
    step = ts.restart(tf.nest.map_structure(tf.constant, batch), batch_size=3)
    np.testing.assert_allclose(agent.policy.action(step).action, policy(batch), atol=1e-6)


def test_a_policy_that_names_its_observation_otherwise_comes_back_with_the_environments_name():
    joints = tf.keras.Input((4,), name="joints")
    hidden = tf.keras.layers.Dense(8, "tanh")(joints)
    model = tf.keras.Model(joints, tf.keras.layers.Dense(2, name="outputs")(hidden))
    spec, action = ArraySpec("joints", (4,), "float32"), ArraySpec("action", (), "int64", 0, 1)
    policy = Policy(model, Head("argmax"), spec, action)
    trained = tp.policies.from_agent(tp.agents.ppo("CartPole-v1", policy=policy))
    assert trained.model.input_names == ["observation"]
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_array_equal(trained.batch_outputs([x]), policy.batch_outputs([x]))


def test_observations_in_another_order_come_back_in_the_environments():
    wanted = tf.keras.Input((2,), name="wanted")
    camera = tf.keras.Input((2, 2, 1), dtype="uint8", name="camera")
    flat = tf.keras.layers.Flatten()(tf.keras.layers.Rescaling(1 / 255)(camera))
    both = tf.keras.layers.Concatenate()([wanted, flat])
    model = tf.keras.Model([wanted, camera], tf.keras.layers.Dense(2, name="outputs")(both))
    spec = (
        ArraySpec("wanted", (2,), "float32", -1.0, 1.0),
        ArraySpec("camera", (2, 2, 1), "uint8", 0, 255),
    )
    action = ArraySpec("action", (2,), "float32", (-2.0, 0.0), (2.0, 10.0))
    policy = Policy(model, Head("tanh", (2.0, 5.0), (0.0, 5.0)), spec, action)
    trained = tp.policies.from_agent(tp.agents.td3(Reach, policy=policy))
    assert trained.model.input_names == ["camera", "wanted"]
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (9, 2, 2, 1), np.uint8)
    goals = rng.uniform(-1, 1, (9, 2)).astype(np.float32)
    np.testing.assert_allclose(
        trained.batch_outputs([pictures, goals]), policy.batch_outputs([goals, pictures]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tp.agents.dqn("CartPole-v1", policy=mlp()), "has 2 actions to choose from"),
        (
            lambda: tp.agents.dqn("Acrobot-v1", policy=mlp()),
            r"takes other observations than the environment gives|has 3 actions",
        ),
        (lambda: tp.agents.c51("CartPole-v1", policy=mlp(outputs=2)), "ends in a Dense"),
        (lambda: tp.agents.td3("Pendulum-v1", policy=mlp(sizes=(3, 4))), "with the head 'argmax'"),
        (
            lambda: tp.agents.sac(
                "Pendulum-v1",
                policy=mlp(
                    Head("affine"),
                    ArraySpec("action", (1,), "float32", -2.0, 2.0),
                    sizes=(3, 4),
                    outputs=1,
                ),
            ),
            "SAC goes on with a policy that squashes",
        ),
        (
            lambda: tp.agents.sac(
                "Pendulum-v1", critic_from=tp.agents.td3("Pendulum-v1", hidden=(4,))
            ),
            "critic_from is an agent of the same algorithm",
        ),
        (
            lambda: tp.agents.ppo("CartPole-v1", critic_from=tp.agents.ppo("CartPole-v1")),
            "critic_from goes with a policy",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_a_shrunk_policy_learns_cartpole_again():
    settings = tp.agents.OnPolicySettings()
    agent = tp.agents.ppo("CartPole-v1", hidden=(64, 64), seed=0)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", settings=settings, seed=0)
    trainer.fit(env_steps=100_000, verbose=0)
    policy = trainer.policy()
    graph = groups_of(policy.model)
    # The least are kept, so that there is something to learn: of the best, a fifth is enough.
    worst = {name: -score for name, score in scores.l2(graph).items()}
    small = shrink(policy.model, select(graph, worst, 0.8), trainer.observations(1000))
    shrunk = policy.replace(model=small.model)
    assert small.parameters_after < 0.1 * small.parameters_before
    more = tp.agents.ppo("CartPole-v1", policy=shrunk, critic_from=agent, seed=0)
    trainer = tp.AgentTrainer(more, "CartPole-v1", settings=settings, seed=1)
    trainer.fit(env_steps=100_000, verbose=0)
    learnt = trainer.policy()
    assert learnt.model.count_params() == small.parameters_after
    returns = [mean_return(each) for each in (policy, shrunk, learnt)]
    assert returns[0] >= 475
    assert returns[2] >= 475 > returns[1], returns


def mean_return(policy, episodes=50):
    import gymnasium

    envs = gymnasium.make_vec("CartPole-v1", episodes)
    observation, _ = envs.reset(seed=10_000)
    alive, total = np.ones(episodes, bool), np.zeros(episodes)
    while alive.any():
        observation, reward, terminated, truncated, _ = envs.step(policy(observation))
        total += reward * alive
        alive &= ~(terminated | truncated)
    return total.mean()
