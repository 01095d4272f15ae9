import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from tfdrlprune.pruning.ranking import Offer, lowest


def test_the_lowest_scores_go():
    scores = np.array([[0.3, 0.1], [0.2, 0.4]])
    np.testing.assert_array_equal(lowest(scores, 2), [[1, 0], [0, 1]])


def test_among_ties_what_was_removed_before_goes_first():
    previous = np.array([1.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(lowest(np.ones(4), 2, previous), [0, 1, 0, 1])


@given(
    scores=st_numpy.arrays(
        np.float32,
        st_numpy.array_shapes(min_dims=1, max_dims=3),
        elements=st.floats(0, 3, width=16),
    ),
    share=st.floats(0, 1),
)
def test_the_count_is_exact_and_what_stays_scores_no_less_than_what_goes(scores, share):
    zeros = round(share * scores.size)
    mask = lowest(scores, zeros)
    assert int((mask == 0).sum()) == zeros
    if 0 < zeros < scores.size:
        assert scores[mask == 1].min() >= scores[mask == 0].max()


def groups(scores, sizes, kept=None):
    kept = np.ones(len(scores), bool) if kept is None else np.array(kept, bool)
    return Offer(np.array(scores), kept, np.array(sizes), sum(sizes), 0)


def test_totals_of_groups_are_those_of_the_lowest_ones():
    offer = groups([3.0, 1.0, 2.0], [5, 2, 4])  # in their order 2, 6, 11
    assert offer.neighbours(0.5) == (0, 2)
    assert offer.neighbours(2.0) == (2, 2)
    assert offer.neighbours(5.9) == (2, 6)
    assert offer.neighbours(11.0) == (11, 11)
    np.testing.assert_array_equal(offer.mask(6), [1, 0, 0])
    np.testing.assert_array_equal(offer.mask(0), [1, 1, 1])


def test_among_groups_of_equal_score_what_is_gone_goes_first():
    offer = groups([1.0, 1.0, 1.0], [2, 2, 2], kept=[1, 0, 1])
    np.testing.assert_array_equal(offer.mask(2), [1, 0, 1])
    np.testing.assert_array_equal(offer.mask(4), [0, 0, 1])
