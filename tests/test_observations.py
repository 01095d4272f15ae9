"""Observations: what is accepted, what is refused, and what is drawn."""

import numpy as np
import pytest

from tfdrlprune.observations import as_batch, bounds, sample
from tfdrlprune.specs import ArraySpec

VECTOR = ArraySpec("observation", (2,), "float32")
NESTED = {"arm": (ArraySpec("arm/0", (2,), "float32"), ArraySpec("arm/1", (), "int64", 0, 4))}


def test_one_observation_becomes_a_batch_of_one():
    (leaf,), batched = as_batch(VECTOR, np.array([1.0, 2.0], np.float32))
    assert not batched
    np.testing.assert_array_equal(leaf, [[1, 2]])


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        (1.0, 2.0),
        np.array([1, 2], np.float64),
        np.array([1, 2], np.int64),
        np.array([1, 9, 2], np.float32)[::2],
        np.array([True, True]) * np.array([1, 2], np.uint8),
    ],
)
def test_numbers_that_fit_are_cast(value):
    (leaf,), _ = as_batch(VECTOR, value)
    assert leaf.dtype == np.float32
    assert leaf.flags.c_contiguous
    np.testing.assert_array_equal(leaf, [[1, 2]])


def test_nests_come_out_in_the_order_of_the_specs():
    value = {"arm": (np.array([[1, 2], [3, 4]], np.float32), np.array([0, 4]))}
    leaves, batched = as_batch(NESTED, value)
    assert batched
    np.testing.assert_array_equal(leaves[0], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(leaves[1], [0, 4])


@pytest.mark.parametrize(
    ("nest", "value", "error", "message"),
    [
        (VECTOR, np.zeros(3), ValueError, r"shape \(2,\).*Received: \(3,\)"),
        (VECTOR, np.zeros((2, 2, 2)), ValueError, "Received"),
        (VECTOR, {"a": 1}, TypeError, "Received: dict"),
        (VECTOR, ["a", "b"], TypeError, "Received: list"),
        (VECTOR, [[1, 2], [3]], TypeError, "Received: list"),
        (VECTOR, [np.nan, 0], ValueError, "NaN or infinity"),
        (VECTOR, [0, np.inf], ValueError, "NaN or infinity"),
        (VECTOR, [0, 1e300], ValueError, "NaN or infinity"),
        (ArraySpec("o", (), "int64"), 1.5, TypeError, "dtype int64. Received: float64"),
        (ArraySpec("o", (), "uint8"), 256, TypeError, "does not fit"),
        (NESTED, {"leg": 1}, ValueError, r"keys \['arm'\]. Received: \['leg'\]"),
        (NESTED, {"arm": (np.zeros((3, 2)), np.zeros(2, int))}, ValueError, r"\[3, 2\]"),
        (NESTED, {"arm": (np.zeros(2), np.zeros(2, int))}, ValueError, r"\[None, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(nest, value, error, message):
    with pytest.raises(error, match=message):
        as_batch(nest, value)


def test_the_check_for_nan_can_be_turned_off():
    (leaf,), _ = as_batch(VECTOR, [np.nan, 0], check_finite=False)
    assert np.isnan(leaf[0, 0])


def test_integers_within_range_go_into_smaller_integers():
    (leaf,), _ = as_batch(ArraySpec("o", (2,), "uint8"), [0, 255])
    assert leaf.dtype == np.uint8
    assert leaf.tolist() == [[0, 255]]


def test_draws_keep_the_bounds_and_fill_them():
    spec = ArraySpec("o", (3,), "float32", (-2.0, 0.0, -3.4e38), (2.0, 1.0, 3.4e38))
    (drawn,) = sample(spec, 4000, seed=1)
    assert drawn.shape == (4000, 3)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.min(0)[:2], [-2, 0], atol=0.01)
    np.testing.assert_allclose(drawn.max(0)[:2], [2, 1], atol=0.01)
    assert abs(drawn[:, 2].std() - 3) < 0.2
    integers = sample(ArraySpec("o", (), "int64", 3, 6), 400, seed=1)[0]
    assert set(integers.tolist()) == {3, 4, 5, 6}
    images = sample(ArraySpec("o", (2, 2), "uint8", 0, 255), 400, seed=1)[0]
    assert (images.min(), images.max()) == (0, 255)


def test_draws_follow_the_seed():
    spec = ArraySpec("o", (3,), "float32")
    np.testing.assert_array_equal(sample(spec, 5, seed=3)[0], sample(spec, 5, seed=3)[0])
    assert (sample(spec, 5, seed=3)[0] != sample(spec, 5, seed=4)[0]).any()


def test_missing_bounds_are_infinite():
    low, high = bounds(ArraySpec("o", (2,), "float32", None, (1.0, 2.0)))
    assert low.tolist() == [-np.inf, -np.inf]
    assert high.tolist() == [1, 2]
