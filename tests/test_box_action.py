from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from scipy import stats
from tf_agents.specs import tensor_spec

from tfdrlprune.agents.box_action import BoxAction, is_one_bounded_vector

FORCE = tensor_spec.BoundedTensorSpec((2,), tf.float32, [-2.0, 0.0], [2.0, 10.0])


def test_numbers_are_stretched_to_the_bounds_and_clipped_at_them():
    box = BoxAction({"only": FORCE})
    np.testing.assert_array_equal(
        box.stretch(np.float32([[-1, -1], [0, 0], [0.5, 1]])), [[-2, 0], [0, 5], [1, 10]]
    )
    clipped = box.clip(np.float64([[-3, 11], [1, 4]]))
    np.testing.assert_array_equal(clipped, [[-2, 10], [1, 4]])
    assert clipped.dtype == np.float32


def test_bounds_of_one_number_hold_for_every_element():
    box = BoxAction(tensor_spec.BoundedTensorSpec((2, 2), tf.float32, -1.0, 3.0))
    np.testing.assert_array_equal(box.stretch(np.float32([[0, 1, -1, 0]])), [[[1, 3], [-1, 1]]])


def test_draws_are_uniform_within_the_bounds():
    drawn = BoxAction(FORCE).uniform(4_000, np.random.default_rng(0))
    assert (drawn.shape, drawn.dtype) == ((4_000, 2), np.float32)
    for column, low, span in zip(drawn.T, (-2, 0), (4, 10), strict=True):
        assert stats.kstest(column, stats.uniform(low, span).cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        (FORCE, True),
        ({"only": FORCE}, False),
        (tensor_spec.BoundedTensorSpec((2,), tf.int32, 0, 3), False),
        (tensor_spec.BoundedTensorSpec((2, 1), tf.float32, 0, 3), False),
        (tensor_spec.BoundedTensorSpec((1,), tf.float32, 0, np.finfo(np.float32).max), False),
    ],
)
def test_one_bounded_vector_is_told_from_the_rest(spec, fits):
    assert is_one_bounded_vector(spec) is fits
