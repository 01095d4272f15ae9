"""Actions of several choices, from an agent or a SavedModel to files that act as it does."""

from __future__ import annotations

import json
from types import SimpleNamespace

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import tfdrlprune as tp

# isort: split
import gymnasium as gym
import numpy as np
import pytest
from builders import VECTOR, greedy, ppo, randomize
from matching import Matching
from scipy import stats
from several import EQUAL, OBSERVATIONS, UNEQUAL, action_of, expected, several
from tf_agents.networks import actor_distribution_network
from tf_agents.policies import actor_policy, policy_saver
from tf_agents.policies.greedy_policy import GreedyPolicy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies, runtime
from tfdrlprune.agents.acting import Sampler
from tfdrlprune.agents.internals import actor_critic
from tfdrlprune.agents.spaces import action_nest
from tfdrlprune.choices import Choices
from tfdrlprune.compression.bench import Judging
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.policies.choice_projection import projection
from tfdrlprune.policies.frozen import FrozenPolicy
from tfdrlprune.specs import Head


def spec_of(counts):
    highest = [count - 1 for count in counts]
    return tensor_spec.BoundedTensorSpec((len(counts),), tf.int64, 0, highest, name="action")


def agent_of(counts, **network):
    """Returns a PPO agent with random weights that makes several choices."""
    action = spec_of(counts)
    actor = actor_distribution_network.ActorDistributionNetwork(
        VECTOR, action, fc_layer_params=(16, 8), discrete_projection_net=projection, **network
    )
    return ppo(VECTOR, action, actor)


# Training


def test_ppo_has_a_score_for_each_value_of_each_number():
    agent = tp.agents.ppo(lambda: Matching(UNEQUAL), hidden=(8,))
    assert actor_critic(agent).actor.variables[-1].shape == (8,)
    step = agent.time_step_spec.observation
    distribution = agent.collect_policy.distribution(
        ts.restart(tf.zeros((5, *step.shape)), batch_size=5)
    ).action
    assert (distribution.batch_shape, distribution.event_shape) == ((5,), (3,))
    probabilities = tf.nn.softmax(distribution.logits_parameter()).numpy()
    np.testing.assert_array_equal(probabilities[:, [0, 1, 1, 1], [3, 1, 2, 3]], 0.0)
    # Nearly uniform at the beginning: ln 3 + ln 1 + ln 4.
    entropy = distribution.entropy()
    np.testing.assert_allclose(entropy, np.log(3) + np.log(4), atol=0.01)


@pytest.mark.parametrize("counts", [EQUAL, UNEQUAL])
def test_samples_of_each_number_have_its_probabilities(counts):
    agent = agent_of(counts)
    parts = actor_critic(agent)
    sampler = Sampler(agent, parts.actor, parts.normalizer)
    many = [np.repeat(OBSERVATIONS[:1], 20_000, axis=0)]
    sampler.refresh([OBSERVATIONS])
    assert sampler._chain is not None
    sampled = sampler(many, np.random.default_rng(0))
    assert sampled.shape == (20_000, 3)
    step = ts.restart(tf.constant(OBSERVATIONS[:1]), batch_size=1)
    logits = agent.collect_policy.distribution(step).action.logits_parameter()
    wanted = tf.nn.softmax(tf.cast(logits, tf.float64)).numpy()[0]
    for number, count in enumerate(counts):
        seen = np.bincount(sampled[:, number], minlength=count)
        assert len(seen) == count
        if count > 1:
            assert stats.chisquare(seen, 20_000 * wanted[number, :count]).pvalue > 1e-4


@pytest.mark.parametrize("make", [tp.agents.dqn, tp.agents.c51, tp.agents.sac, tp.agents.td3])
def test_other_agents_refuse_several_choices_and_name_ppo(make):
    with pytest.raises(ValueError, match=r"Received.*MultiDiscrete.*(?i:ppo)") as error:
        make(Matching)
    assert "\n" not in str(error.value)


def test_switches_are_choices_of_two():
    env = lambda: gym.wrappers.TransformAction(  # noqa: E731
        Matching((2, 2, 2)), lambda action: action, gym.spaces.MultiBinary(3)
    )
    policy = policies.from_agent(
        tp.agents.ppo(env, hidden=(8,)), action=action_nest(env().action_space)
    )
    action = policy(env().reset(seed=0)[0])
    assert env().action_space.contains(action)
    assert policy.model.output_shape == (None, 6)


def test_a_policy_of_other_choices_is_no_beginning():
    other = policies.from_agent(tp.agents.ppo(lambda: Matching((4, 2, 3))))
    with pytest.raises(ValueError, match=r"has 3 x 2 x 4 actions to choose from"):
        tp.agents.ppo(Matching, policy=other)


@pytest.mark.parametrize("counts", [EQUAL, UNEQUAL])
def test_an_agent_goes_on_with_a_policy_of_several_choices(counts):
    env = lambda: Matching(counts, start=[2, 0, 1])  # noqa: E731
    start = policies.from_agent(tp.agents.ppo(env, hidden=(8,)))
    begun = tp.agents.ppo(env, policy=start)
    shown = np.random.default_rng(0).random((50, sum(counts))).astype("float32")
    again = policies.from_agent(begun)
    np.testing.assert_array_equal(again(shown), start(shown))
    np.testing.assert_allclose(again.outputs(shown), start.outputs(shown), atol=1e-6)


@pytest.mark.slow
def test_ppo_learns_several_choices_that_are_compressed_to_pass_and_run_as_a_file_and_as_c(
    tmp_path,
):
    env = lambda: Matching((3, 2, 4), start=[1, 0, 5])  # noqa: E731
    trainer = tp.AgentTrainer(
        tp.agents.ppo(env, hidden=(32, 32), seed=0),
        env,
        num_envs=16,
        settings=tp.agents.OnPolicySettings(rollout_length=64),
    )
    trainer.fit(env_steps=40_000, verbose=0)
    policy = trainer.policy()
    assert rewards(policy, env) == [1.0] * 200
    recipe = tp.Recipe(sparsity=0.8, granularity="unit", precision="int8", route="prune")
    judging = Judging(episodes=200, terms=Terms(bounds=(0.0, 10.0)))
    result = tp.compress(policy, env, recipe, judging=judging)
    assert result.report.verdict == "PASS"
    assert result.report.rows()[-1].parameters < 400
    result.export(tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "policy.json").read_text())
    assert manifest["action"]["kind"] == "multi_discrete"
    assert np.mean(rewards(runtime.load(tmp_path / "out"), env)) > 0.98
    export(policy, tmp_path / "c", formats=("tflite", "c"))
    assert rewards(runtime.load(tmp_path / "c", backend="c"), env) == [1.0] * 200
    begun = tp.AgentTrainer(tp.agents.ppo(env, policy=policy, learning_rate=1e-4), env, num_envs=16)
    begun.fit(env_steps=4_000, verbose=0)
    assert np.mean(rewards(begun.policy(), env)) > 0.98


def rewards(policy, env):
    """Returns the rewards of 20 episodes of 10 steps."""
    found = []
    for seed, each in enumerate(env() for _ in range(20)):
        observation, _ = each.reset(seed=seed)
        for _ in range(10):
            action = policy.action(observation)
            assert each.action_space.contains(action)
            observation, reward, *_ = each.step(action)
            found.append(reward)
    return found


# Agents and SavedModels


@pytest.mark.parametrize("counts", [EQUAL, UNEQUAL])
def test_an_agent_and_its_saved_model_come_back_layer_by_layer(counts, tmp_path):
    agent = agent_of(counts)
    wanted = greedy(agent, OBSERVATIONS)
    assert len(np.unique(wanted, axis=0)) > 2
    policy_saver.PolicySaver(agent.policy).save(str(tmp_path / "p"))
    for policy in (policies.from_agent(agent), policies.load(tmp_path / "p")):
        np.testing.assert_array_equal(policy(OBSERVATIONS), wanted)
        assert policy.action_spec.choices() == Choices(counts)
        last = policy.model.layers[-1]
        assert (type(last).__name__, last.units) == ("Dense", sum(counts))
    # In the environment's own numbers.
    shifted = policies.load(tmp_path / "p", action=action_of(counts, low=4))
    np.testing.assert_array_equal(shifted(OBSERVATIONS), np.add(wanted, (4, 5, 6)))
    assert shifted.head == Head("argmax", offset=(4.0, 5.0, 6.0))
    with pytest.raises(ValueError, match=r"action has 3 numbers, and the environment's 2"):
        policies.load(tmp_path / "p", action=action_of((3, 4)))


def test_tf_agents_own_actor_of_several_choices_comes_back(tmp_path):
    action = spec_of(EQUAL)
    actor = actor_distribution_network.ActorDistributionNetwork(
        VECTOR, action, fc_layer_params=(16, 8)
    )
    actor.create_variables()
    randomize(actor.variables)
    agent = SimpleNamespace(
        policy=GreedyPolicy(actor_policy.ActorPolicy(ts.time_step_spec(VECTOR), action, actor))
    )
    policy_saver.PolicySaver(agent.policy).save(str(tmp_path / "p"))
    for policy in (policies.from_agent(agent), policies.load(tmp_path / "p")):
        np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS))
        assert policy.action_spec.choices() == Choices(EQUAL)


def test_several_choices_that_cannot_be_rebuilt_are_exported_as_they_are(tmp_path):
    agent = agent_of(UNEQUAL, activation_fn=tf.sin)
    policy_saver.PolicySaver(agent.policy).save(str(tmp_path / "p"))
    policy = policies.load_exportable(tmp_path / "p")
    assert isinstance(policy, FrozenPolicy)
    assert policy.head == Head.choosing(policy.action_spec)
    export(policy, tmp_path / "a", observations=OBSERVATIONS)
    found = runtime.load(tmp_path / "a").action(OBSERVATIONS)
    np.testing.assert_array_equal(found, greedy(agent, OBSERVATIONS))


def test_a_keras_model_gives_the_scores_of_all_numbers(tmp_path):
    source = several(UNEQUAL, low=2)
    source.model.save(tmp_path / "m.keras")
    policy = policies.load(tmp_path / "m.keras", action=source.action_spec)
    np.testing.assert_array_equal(policy(OBSERVATIONS), expected(source))
    with pytest.raises(ValueError, match=r"has outputs of the shape \(batch, 7\)"):
        policies.load(tmp_path / "m.keras", action=action_of((3, 4)))
