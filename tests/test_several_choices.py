"""Files of several choices: what they choose, what differs, and bounds on it."""

from __future__ import annotations

import dataclasses
import subprocess

from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from several import EQUAL, OBSERVATIONS, UNEQUAL, expected, several

from tfdrlprune import runtime
from tfdrlprune.choices import Choices
from tfdrlprune.compression.distillation.objectives import CrossEntropy, Values, objective_of
from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.comparison import check, compare
from tfdrlprune.deployment.converter import centred, convert
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.bounding import boxes, interval_bounds
from tfdrlprune.evidence.diagnostics import diagnose

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


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
