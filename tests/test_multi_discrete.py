"""Actions of several choices, from an agent or a SavedModel to files that act as it does."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from types import SimpleNamespace

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import tfdrlprune as tp

# isort: split
import gymnasium as gym
import numpy as np
import pytest
from builders import VECTOR, forward, greedy, mlp, ppo, randomize
from hypothesis import given, settings
from hypothesis import strategies as st
from matching import Matching
from scipy import stats
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
from tfdrlprune.compression.distillation.objectives import CrossEntropy, Values, objective_of
from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.comparison import check, compare
from tfdrlprune.deployment.converter import centred, convert
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.bounding import boxes, interval_bounds
from tfdrlprune.evidence.diagnostics import diagnose
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.policies.choice_projection import projection
from tfdrlprune.policies.frozen import FrozenPolicy
from tfdrlprune.specs import ArraySpec, Head

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
EQUAL, UNEQUAL = (3, 3, 3), (3, 1, 4)
OBSERVATIONS = np.random.default_rng(1).normal(size=(300, 4)).astype("float32")


def action_of(counts, low=0, shape=None, dtype="int64"):
    """Returns an action whose numbers count from ``low``, low + 1, and so on."""
    first = tuple(low + index for index in range(len(counts)))
    last = tuple(f + count - 1 for f, count in zip(first, counts, strict=True))
    return ArraySpec("action", shape or (len(counts),), dtype, first, last)


def several(counts, low=0, shape=None, dtype="int64", **more):
    """Returns a policy of Dense layers that makes several choices."""
    action = action_of(counts, low, shape, dtype)
    return mlp(Head.choosing(action), action, outputs=sum(counts), **more)


def expected(policy, observations=OBSERVATIONS):
    """Returns the actions worked out number by number."""
    counts, low = policy.action_spec.choices().counts, policy.action_spec.low
    parts = np.split(forward(policy, observations), np.cumsum(counts)[:-1], axis=1)
    chosen = [part.argmax(axis=1) + first for part, first in zip(parts, low, strict=True)]
    return np.stack(chosen, axis=1).reshape(-1, *policy.action_spec.shape)


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


# Artifacts


@pytest.mark.parametrize(
    ("counts", "precision"),
    [*((UNEQUAL, precision) for precision in PRECISIONS), (EQUAL, "float32"), (EQUAL, "int8")],
)
def test_artifacts_choose_each_number_by_itself_in_every_precision(tmp_path, counts, precision):
    policy = several(counts, low=2, sizes=(4, 40, 32))
    made = export(
        policy,
        tmp_path / "a",
        precision=precision,
        observations=OBSERVATIONS,
        formats=("tflite", "c"),
    )
    wanted = expected(policy)
    for backend in ("tflite", "c"):
        found = runtime.load(tmp_path / "a", backend=backend).action(OBSERVATIONS)
        assert (found.shape, found.dtype) == ((300, 3), np.int64)
        same = (found == wanted).all(axis=1).mean()
        assert same >= {"float32": 1.0, "float16": 0.99}.get(precision, 0.9), backend
    assert made.comparison.agreement == pytest.approx(
        (made.comparison.actions == wanted).all(axis=1).mean()
    )
    assert made.manifest.to_json()["action"]["kind"] == "multi_discrete"
    one = runtime.load(tmp_path / "a").action(OBSERVATIONS[0])
    np.testing.assert_array_equal(one, made.comparison.actions[0])


@pytest.mark.parametrize("dtype", ["int32", "int8", "int64"])
def test_actions_keep_their_shape_and_dtype(tmp_path, dtype):
    policy = several((2, 3, 2, 3), low=-1, shape=(2, 2), dtype=dtype)
    export(policy, tmp_path / "a", observations=OBSERVATIONS, formats=("tflite", "c"))
    for backend in ("tflite", "c"):
        found = runtime.load(tmp_path / "a", backend=backend).action(OBSERVATIONS)
        np.testing.assert_array_equal(found, expected(policy))
        assert found.dtype == dtype


def test_the_program_in_c_tests_all_numbers(tmp_path):
    folder = tmp_path / "a"
    export(several(UNEQUAL), folder, observations=OBSERVATIONS, formats=("tflite", "c"))
    header = (folder / "policy.h").read_text()
    assert "#define POLICY_ACTION_SIZE 3" in header
    assert "#define POLICY_OUTPUTS_SIZE 8" in header
    assert "action: whole numbers, from (0, 1, 2) to (2, 1, 5)." in header
    program = tmp_path / "test"
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    sources = [folder / "policy.c", folder / "policy_test.c"]
    subprocess.run(["cc", *strict, *sources, "-o", program, "-lm"], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout == "64 of 64 test vectors agree\n"


@pytest.mark.parametrize("counts", [EQUAL, UNEQUAL])
def test_microcontrollers_make_several_choices(counts, tmp_path):
    policy = several(counts, low=2)
    made = export(policy, tmp_path / "a", target="micro", observations=OBSERVATIONS)
    found = made.micro.policy.action(OBSERVATIONS)
    np.testing.assert_array_equal(found, expected(policy))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(-5, 5))
@settings(deadline=None, max_examples=5)
def test_any_counts_survive_the_conversion(counts, low):
    policy = several(tuple(counts), low=low)
    np.testing.assert_array_equal(files(policy).action(OBSERVATIONS[:50]), expected(policy)[:50])


def test_each_number_is_centred_by_itself():
    policy = several(EQUAL)
    kernel, bias = policy.model.get_layer("outputs").get_weights()
    # What all have in common is large and differs between numbers; a pruned row keeps its zeros.
    kernel[0, 1] = 0.0
    policy.model.get_layer("outputs").set_weights([kernel, bias + np.repeat([90.0, -50, 7], 3)])
    result = centred(policy, [OBSERVATIONS])
    found, wanted = result.batch_outputs([OBSERVATIONS]), policy.batch_outputs([OBSERVATIONS])
    choices = Choices(EQUAL)
    np.testing.assert_allclose(choices.means(found.mean(axis=0)), 0.0, atol=1e-4)
    np.testing.assert_allclose(choices.centred(found), choices.centred(wanted), atol=1e-3)
    made = result.model.get_layer("outputs").get_weights()[0]
    np.testing.assert_array_equal(made[0, :3], kernel[0, :3])
    np.testing.assert_allclose(choices.means(made[1:]), 0.0, atol=1e-6)
    np.testing.assert_allclose(choices.means(made[0])[3:], 0.0, atol=1e-6)


def test_a_float_file_with_another_choice_of_one_number_may_not_be_written():
    policy = several(EQUAL)
    other = several(EQUAL)
    kernel, bias = other.model.get_layer("outputs").get_weights()
    # The best value of the last number is exchanged with another; outputs are not looked at here.
    order = [*range(6), 8, 6, 7]
    other.model.get_layer("outputs").set_weights([kernel[:, order], bias[order]])
    comparison = compare(policy, files(other), [OBSERVATIONS], recorded=True)
    assert comparison.agreement == 0.0
    same = dataclasses.replace(comparison, output_deviation=0.0)
    with pytest.raises(ValueError, match=r"other actions on 300 of 300 observations"):
        check(policy, same, "float32", [OBSERVATIONS])
    with pytest.raises(ValueError, match=r"equal actions on 0.0% of 300 observations"):
        check(policy, comparison, "int8", [OBSERVATIONS])


# Distillation


def test_the_temperature_is_in_units_of_each_numbers_own_gap():
    scores = np.array([[0.0, 1.0, 50.0, 10.0, 40.0], [2.0, 5.0, 0.0, 20.0, 70.0]], np.float32)
    # Gaps of 1 and 3, and of 10 and 50.
    scale = CrossEntropy(0.5, Choices((2, 3))).scale(scores)
    np.testing.assert_allclose(scale, 0.5 * np.array([2, 2, 30, 30, 30]))


def test_the_cross_entropy_of_several_numbers_is_the_sum_of_theirs():
    generator = np.random.default_rng(0)
    theirs, ours = generator.normal(size=(2, 6, 5)).astype(np.float32)
    scale = np.float32([2, 2, 3, 3, 3])
    found = CrossEntropy(1.0, Choices((2, 3))).losses(theirs, ours, scale)
    wanted = np.zeros(6)
    for part in (slice(0, 2), slice(2, 5)):
        p, q = (np.exp(x[:, part] / scale[part]) for x in (theirs, ours))
        p, q = (x / x.sum(axis=1, keepdims=True) for x in (p, q))
        wanted -= (p * np.log(q)).sum(axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_centred_regression_leaves_out_what_the_scores_of_a_number_have_in_common():
    answers = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    shifted = answers + np.float32([8, 8, -3, -3, -3])
    losses = Values(True, Choices((2, 3))).losses(answers, shifted, np.ones(5, np.float32))
    np.testing.assert_allclose(losses, 0.0, atol=1e-9)


def test_objectives_of_several_choices_are_those_of_discrete_actions():
    assert objective_of(several(UNEQUAL), "auto", 0.2).choices == Choices(UNEQUAL)


# Evidence


def test_a_flip_is_any_number_and_costs_what_all_lose():
    # The scores are the bias: 0 1 | 5 2 0, and 1 0 | 5 6 0 of the other.
    made = [several((2, 3)), several((2, 3))]
    for policy, bias in zip(made, ([0, 1, 5, 2, 0], [1, 0, 5, 6, 0]), strict=True):
        policy.model.get_layer("outputs").set_weights([np.zeros((8, 5)), np.float32(bias)])
    baseline, other = (files(policy) for policy in made)
    found = diagnose(other, baseline, OBSERVATIONS[:10])
    assert (found.flips.share, found.agreement) == (1.0, 0.0)
    # 1 - 0 and 5 - 2; the second best action takes the other value of the first number.
    assert found.flips.loss_mean == found.flips.loss_largest == pytest.approx(4.0)
    assert found.flips.gap_mean == pytest.approx(1.0)


def files(policy):
    """Returns the runtime's policy of one, in float32."""
    manifest = artifact.Manifest(
        observation=policy.observation_spec,
        action=policy.action_spec,
        head=policy.head,
        precision="float32",
        sparsity=artifact.Sparsity(None, 0.0),
        parameters=artifact.Parameters(0, 0, 0),
        source="",
        recipe=None,
        versions={},
    )
    return runtime.Policy(convert(policy, "float32", [OBSERVATIONS]), manifest)


@pytest.mark.parametrize("counts", [EQUAL, UNEQUAL])
def test_bounds_of_several_choices_hold_for_each_number(counts, tmp_path):
    policy, other = several(counts, low=3), several(counts, low=3)
    layer = other.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + np.repeat(np.float32([5, -9, 2]), counts)])
    for name, each in (("a", policy), ("b", other)):
        export(each, tmp_path / name, observations=OBSERVATIONS)
    networks = [interval_bounds.load(tmp_path / name) for name in ("b", "a")]
    at = OBSERVATIONS[0]
    near = boxes.given(policy.observation_spec, at - 1e-4, at + 1e-4)
    found = interval_bounds.bound(networks[1], near)
    assert found.choice == tuple(expected(policy)[0].tolist())
    assert found.certain == 1.0
    apart = interval_bounds.bound_difference(*networks, near)
    assert (apart.same_choice, apart.other_choice) == (1.0, 0.0)
    # What is added to all scores of a number makes no distance between them.
    assert apart.largest_gap < 1e-3
    assert apart.largest_output == pytest.approx(9.0, abs=1e-3)
    wide = boxes.given(policy.observation_spec, [-3.0] * 4, [3.0] * 4)
    assert interval_bounds.bound(networks[1], wide).choice is None
