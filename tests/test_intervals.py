"""What operations make of intervals, by hand and by trying what lies inside."""

from __future__ import annotations

import numpy as np
import pytest

from tfdrlprune.evidence.bounding.intervals import Interval, curve, linear, softmax


def interval(low, high):
    return Interval(*(np.atleast_2d(np.asarray(end, float)) for end in (low, high)))


def ends(found):
    return found.low.tolist(), found.high.tolist()


def test_arithmetic_goes_to_the_outermost_ends():
    one, other = interval([-1, 2], [3, 4]), interval([-2, -1], [5, 1])
    assert ends(one + other) == ([[-3, 1]], [[8, 5]])
    assert ends(one - other) == ([[-6, 1]], [[5, 5]])
    # -1..3 times -2..5: from 3 * -2 to 3 * 5; 2..4 times -1..1: from 4 * -1 to 4 * 1.
    assert ends(one * other) == ([[-6, -4]], [[15, 4]])


def test_a_layer_is_exact_at_the_corners():
    kernel, bias = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([10.0, 0.0])
    x = interval([-1, 0], [2, 3])
    found = linear(kernel, bias, Interval(x.low[:, None], x.high[:, None]))
    # -1 - 6 + 10 = 3 to 2 - 0 + 10 = 12; -0.5 to 1.
    assert found.low.tolist() == [[[3, -0.5]]]
    assert found.high.tolist() == [[[12, 1]]]


KINDS = ("ELU", "EXP", "LOGISTIC", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "TANH")


@pytest.mark.parametrize("kind", [*KINDS, "LEAKY_RELU"])
def test_values_and_slopes_lie_within_those_of_the_curve(kind):
    function = curve(kind, {"alpha": 0.25})
    generator = np.random.default_rng(0)
    for low in (-8.0, -1.5, -0.5, 0.0, 0.5, 5.0):
        for width in (0.0, 0.3, 1.2, 9.0):
            found = function.of(interval([low], [low + width]))
            least, most = function.slopes(found.low * 0 + low, found.low * 0 + low + width)
            x = np.sort(generator.uniform(low, low + width, 200))
            value = function.value(x)
            assert (value >= found.low - 1e-12).all()
            assert (value <= found.high + 1e-12).all()
            if width:
                slope = np.diff(value) / np.diff(x)
                assert (slope >= least - 1e-6).all()
                assert (slope <= most + 1e-6).all()


def test_slopes_are_as_tight_as_the_curve_allows():
    for kind, low, high, slopes in (
        ("RELU", 0.0, 2.0, (1, 1)),
        ("RELU", -2.0, 0.0, (0, 0)),
        ("RELU", -1.0, 1.0, (0, 1)),
        ("RELU6", 6.0, 7.0, (0, 0)),
        ("RELU6", 5.0, 7.0, (0, 1)),
        ("TANH", -1.0, 2.0, (1 - np.tanh(2) ** 2, 1)),
        ("TANH", 1.0, 2.0, (1 - np.tanh(2) ** 2, 1 - np.tanh(1) ** 2)),
        ("LOGISTIC", -1.0, 0.5, (np.e / (1 + np.e) ** 2, 0.25)),
        ("ELU", -2.0, 1.0, (np.exp(-2), 1)),
    ):
        found = curve(kind).slopes(np.array(low), np.array(high))
        assert np.allclose(found, slopes, atol=1e-12), kind


def test_what_falls_is_no_curve():
    assert curve("GELU") is None
    assert curve("LEAKY_RELU", {"alpha": -0.5}) is None


def test_a_share_is_largest_where_only_its_own_score_is():
    found = softmax(interval([0.0, 0.0], [np.log(3), 0.0]), 1.0)
    np.testing.assert_allclose(found.low, [[0.5, 0.25]])
    np.testing.assert_allclose(found.high, [[0.75, 0.5]])
    # Scores far apart neither overflow nor divide by zero.
    extreme = softmax(interval([-500.0, 400.0], [500.0, 600.0]), 1.0)
    assert np.isfinite([extreme.low, extreme.high]).all()
