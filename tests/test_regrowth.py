"""One exchange of weights: worked by hand, and what must hold of any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfdrlprune.pruning.regrowth import drop_and_grow, drop_share


def test_the_smallest_weights_go_and_the_highest_scores_come():
    weights = np.array([[4.0, -1.0, 0.0], [2.0, 0.0, -3.0]])
    mask = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    growth = np.array([[0.0, 5.0, 6.0], [1.0, 2.0, 0.0]])
    new, grown = drop_and_grow(weights, mask, growth, count=2)
    # -1 and 2 go. Of what is then missing, 6 and 5 score highest: -1 comes back, as a zero.
    np.testing.assert_array_equal(new, [[1, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(grown, [[False, True, True], [False, False, False]])


def test_a_weight_that_is_zero_but_there_goes_before_a_larger_one():
    new, _ = drop_and_grow(np.array([0.0, 1.0, 0.0]), np.array([1, 1, 0]), np.arange(3.0), 1)
    np.testing.assert_array_equal(new, [0, 1, 1])


@pytest.mark.parametrize(("mask", "count"), [([1, 1], 1), ([0, 0], 1), ([1, 0], 0)])
def test_nothing_moves_where_nothing_can(mask, count):
    new, grown = drop_and_grow(np.array([1.0, 2.0]), np.array(mask), np.ones(2), count)
    np.testing.assert_array_equal(new, mask)
    assert not grown.any()


@given(st.integers(1, 60), st.data())
def test_the_number_of_weights_stays(size, data):
    numbers = st.lists(st.integers(-2, 2), min_size=size, max_size=size)
    weights, growth = (np.array(data.draw(numbers), float) for _ in range(2))
    mask = np.array(data.draw(st.lists(st.sampled_from([0, 1]), min_size=size, max_size=size)))
    count = data.draw(st.integers(0, size))
    new, grown = drop_and_grow(weights * mask, mask, growth, count)
    assert new.sum() == mask.sum()
    moved = min(count, int(mask.sum()), size - int(mask.sum()))
    assert grown.sum() == moved
    kept = (new == 1) & ~grown
    assert kept.sum() == mask.sum() - moved
    # Nothing that stayed is smaller than anything that went.
    went = (mask == 1) & ~kept
    if kept.any() and went.any():
        assert np.abs(weights[kept]).min() >= np.abs(weights[went]).max()


def test_the_share_falls_along_half_a_cosine():
    assert [round(drop_share(0.4, step, 100), 4) for step in (0, 25, 50, 75, 100, 200)] == [
        *(0.4, 0.3414, 0.2, 0.0586),
        *(0.0, 0.0),
    ]
