"""The comparison's numbers, worked by hand, and what they let pass."""

from types import SimpleNamespace

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.deployment.comparison import check, check_finite, compare
from tfdrlprune.policies import Policy
from tfdrlprune.specs import ArraySpec, Head

SPEC = ArraySpec("observation", (2,), "float32")


def identity():
    """Returns a model whose outputs are the observation."""
    inputs = tf.keras.Input((2,), name="observation")
    return tf.keras.Model(inputs, tf.keras.layers.Activation("linear", name="outputs")(inputs))


SCORES = Policy(identity(), Head("argmax"), SPEC, ArraySpec("action", (), "int64", 0, 1))
MEANS = SCORES.replace(
    head=Head("affine", (2.0, 1.0)), action_spec=ArraySpec("action", (2,), "float32", -4.0, 4.0)
)


def file_that_gives(outputs, policy, precision="float32"):
    """Returns a stand-in for an artifact whose outputs are these."""
    outputs = np.asarray(outputs, np.float32)
    return SimpleNamespace(
        outputs=lambda _: outputs,
        action=lambda _: policy.head.action(outputs, policy.action_spec),
        reset=lambda: None,
        manifest=SimpleNamespace(precision=precision),
    )


def compared(policy, wanted, given, precision="float32"):
    leaves = [np.asarray(wanted, np.float32)]
    found = compare(policy, file_that_gives(given, policy, precision), leaves, recorded=True)
    return found, leaves


def test_scores_are_compared_as_they_are_in_float32_and_centred_below():
    wanted = [[1, 3], [4, 2], [1, 2], [6, 6.5]]
    given = [[2, 4], [5, 2], [3, 2], [6, 6.5]]
    found, _ = compared(SCORES, wanted, given)
    assert found.agreement == 0.75  # the third is turned round
    assert found.output_deviation == 2.0
    assert found.action_deviation == 0.0
    # Centred: differences 0, 0.5, 1 and 0 of both scores, of scores of 1, 1, 0.5 and 0.25.
    found, _ = compared(SCORES, wanted, given, "int8")
    assert found.output_deviation == 1.0
    noise = np.sqrt((0 + 0.5**2 + 1 + 0) / (1 + 1 + 0.5**2 + 0.25**2))
    assert found.noise == pytest.approx(noise)


def test_means_are_compared_in_the_environments_units():
    wanted = [[0, 0], [1, 1], [2, -1], [-1, 1]]
    given = [[0.039, 0], [1, 1.079], [2.5, -1], [-1, 1.09]]
    found, _ = compared(MEANS, wanted, given, "int8")
    # 1 % of the range of 8 is 0.08; the first action is twice its mean, and clipped at 4.
    assert found.agreement == 0.75
    assert found.action_deviation == pytest.approx(0.09, abs=1e-6)
    assert found.output_deviation == pytest.approx(0.5)


def test_float32_passes_within_rounding_and_not_beyond():
    wanted = np.random.default_rng(0).normal(size=(50, 2))
    found, leaves = compared(SCORES, wanted, wanted + 5e-6)
    check(SCORES, found, "float32", leaves)
    found, leaves = compared(SCORES, wanted, wanted + 1e-3)
    with pytest.raises(ValueError, match=r"off by up to 0\.001 \(tolerance"):
        check(SCORES, found, "float32", leaves)


def test_scores_that_are_equal_to_rounding_may_fall_either_way():
    wanted = [[1.0, 1.000001], [0.0, 1.0]]
    found, leaves = compared(SCORES, wanted, [[1.000001, 1.0], [0.0, 1.0]])
    assert found.agreement == 0.5
    check(SCORES, found, "float32", leaves)


def test_noise_as_large_as_the_scores_differences_does_not_pass():
    generator = np.random.default_rng(0)
    wanted = generator.normal(size=(400, 2)) + 100
    found, leaves = compared(SCORES, wanted, wanted + 0.3 * generator.normal(size=(400, 2)), "int8")
    check(SCORES, found, "int8", leaves)
    # All actions right, and the scores five times too large.
    large = (wanted - 100) * 5
    found, leaves = compared(SCORES, wanted, large, "int8")
    assert found.agreement == 1.0
    with pytest.raises(ValueError, match="int8 model does not act"):
        check(SCORES, found, "int8", leaves)


def test_fewer_than_half_equal_actions_do_not_pass():
    wanted = np.array([[0.0, 1.0]] * 2 + [[0.0, 0.1]] * 3)
    given = np.array([[0.0, 1.0]] * 2 + [[0.1, 0.0]] * 3)
    found, leaves = compared(SCORES, wanted, given, "dynamic")
    assert found.noise < 1
    with pytest.raises(ValueError, match=r"equal actions on 40\.0%"):
        check(SCORES, found, "dynamic", leaves)


def test_a_mean_error_of_a_quarter_of_the_range_does_not_pass():
    wanted = np.zeros((10, 2))
    found, leaves = compared(MEANS, wanted, wanted + np.array([0.9, 0]), "int8")
    check(MEANS, found, "int8", leaves)
    found, leaves = compared(MEANS, wanted, wanted + np.array([1.1, 0]), "int8")
    with pytest.raises(ValueError, match=r"off by up to 2\.2"):
        check(MEANS, found, "int8", leaves)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_never_pass(bad):
    with pytest.raises(ValueError, match="NaN or infinity on 1 of 2"):
        compared(SCORES, [[0, 1], [1, 0]], [[0, bad], [1, 0]], "float16")


def test_a_policy_that_gives_infinity_itself_is_told_before_it_is_converted():
    leaves = [np.float32([[1, 2], [np.inf, 0], [0, 0], [0, np.nan]])]
    with pytest.raises(ValueError, match="policy gives NaN or infinity on 2 of 4 drawn observ"):
        check_finite(SCORES, leaves, recorded=False)
    check_finite(SCORES, [leaves[0][[0, 2]]], recorded=False)
