import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfdrlprune.pruning.distribution import (
    DISTRIBUTIONS,
    allocate,
    as_given,
    erk,
    pooled,
    uniform,
)
from tfdrlprune.pruning.ranking import Offer


def single(scores, shape=None, capacity=None):
    """Returns the offer of a kernel whose weights go one by one."""
    scores = np.asarray(scores, float)
    shape, flat = shape or scores.shape, np.ravel(scores)[:capacity]
    return Offer(flat, np.ones(flat.size, bool), None, scores.size, sum(shape))


def grouped(scores, size):
    scores = np.asarray(scores, float)
    sizes = np.full(scores.size, size)
    return Offer(scores, np.ones(scores.size, bool), sizes, sizes.sum(), 1)


def kernels(*shapes):
    return [single(np.ones(shape)) for shape in shapes]


def counts(distribution, offers, zeros):
    return allocate(offers, distribution(offers, zeros), zeros)


def test_erk_keeps_the_total_and_spares_the_small_kernels():
    # By hand: 448 of 4480 stay, shared as 68 : 128 : 66, so 448 * 68 / 262 = 116.3,
    # 448 * 128 / 262 = 218.9 and 448 * 66 / 262 = 112.9 stay.
    removed = counts(erk, kernels((4, 64), (64, 64), (64, 2)), 4032)
    assert removed == [256 - 116, 4096 - 219, 128 - 113]


def test_erk_keeps_a_kernel_whole_when_its_share_exceeds_its_size_and_shares_the_rest_again():
    # 3,000 of 4,224 stay. By sums of shape, 66 : 128, the first would keep 1,020 of its 128: it is
    # kept whole, and the other keeps 2,872.
    assert counts(erk, kernels((64, 2), (64, 64)), 1224) == [0, 1224]


def test_erk_counts_the_kernel_size_of_a_convolution():
    # 100 of 3*3*8*16 + 16*4 = 1,216 stay, shared as 3+3+8+16 = 30 to 16+4 = 20.
    assert counts(erk, kernels((3, 3, 8, 16), (16, 4)), 1216 - 100) == [1152 - 60, 64 - 40]


def test_uniform_gives_every_kernel_the_same_sparsity():
    assert counts(uniform, kernels((10, 10), (10, 5), (2, 5)), 80) == [50, 25, 5]


def test_global_compares_weights_across_kernels():
    scores = [np.array([[0.1, 5.0], [0.2, 6.0]]), np.array([[0.15, 0.3]])]
    assert counts(pooled, [single(score) for score in scores], 3) == [2, 1]


def test_global_is_exact_when_all_scores_are_equal():
    assert sum(counts(pooled, kernels((7, 3), (5, 5)), 19)) == 19


def test_global_compares_groups_by_their_scores_whatever_their_sizes():
    offers = [grouped([0.2, 0.9], 4), grouped([0.1, 0.3, 0.8], 6)]
    # 6 (0.1), 10 (0.2), 16 (0.3), ...: 12 is nearest to 10, 13 as near to both, and more goes.
    assert counts(pooled, offers, 12) == [4, 6]
    assert counts(pooled, offers, 13) == [4, 12]


def test_what_a_kernel_may_not_lose_is_shared_among_the_others():
    offers = [single(np.ones((10, 10)), capacity=20), single(np.ones((10, 10)))]
    assert counts(uniform, offers, 60) == [20, 40]
    assert counts(erk, offers, 110) == [20, 90]


def test_given_sparsities_grow_in_proportion_and_the_others_share_by_erk():
    offers = kernels((10, 10), (64, 2), (64, 64))
    distribution = as_given([0.6, None, None], final=1284 / 4324)
    assert counts(distribution, offers, 1284) == [60, 0, 1224]  # as ERK does alone, see above
    assert counts(distribution, offers, 642) == [30, 0, 612]


def test_given_sparsities_of_all_kernels_are_met():
    distribution = as_given([0.9, 0.5], final=0.7)
    assert counts(distribution, kernels((10, 10), (5, 20)), 140) == [90, 50]
    assert counts(distribution, kernels((10, 10), (5, 20)), 70) == [45, 25]


def test_whole_groups_are_as_near_to_the_total_as_rounding_allows():
    # Shares of 15 each; 12 or 16, 10 or 20, 14 or 21: 16 + 10 + 21 = 47, 12 + 20 + 14 = 46,
    # 16 + 10 + 14 = 40, 12 + 10 + 21 = 43, 12 + 10 + 14 = 36, 16 + 20 + 14 = 50.
    offers = [grouped(np.arange(9), 4), grouped(np.arange(9), 10), grouped(np.arange(9), 7)]
    assert allocate(offers, np.array([15.0, 15.0, 15.0]), 45) == [12, 20, 14]
    assert allocate(offers, np.array([15.0, 15.0, 15.0]), 49) == [16, 20, 14]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 30)), min_size=1, max_size=6),
    sparsity=st.floats(0, 1),
)
def test_no_rounding_of_the_shares_comes_nearer_to_the_total(sizes, sparsity):
    offers = [grouped(np.arange(groups), size) for groups, size in sizes]
    zeros = round(sparsity * sum(groups * size for groups, size in sizes))
    shares = uniform(offers, zeros)
    ways = [offer.neighbours(share) for offer, share in zip(offers, shares, strict=True)]
    best = min(abs(sum(way) - zeros) for way in itertools.product(*ways))
    found = allocate(offers, shares, zeros)
    assert abs(sum(found) - zeros) == best
    assert all(count in way for count, way in zip(found, ways, strict=True))


def test_many_kernels_are_shared_out_without_trying_all_combinations():
    offers = [grouped(np.arange(50), 3 + index) for index in range(60)]
    zeros = sum(offer.weights for offer in offers) // 2 + 1
    assert sum(counts(erk, offers, zeros)) == zeros


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
@given(
    shapes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5),
    sparsity=st.floats(0, 0.999),
)
def test_every_distribution_is_exact_in_total_and_within_each_kernel(name, shapes, sparsity):
    generator = np.random.default_rng(0)
    offers = [single(generator.integers(0, 5, size=shape)) for shape in shapes]
    zeros = round(sparsity * sum(offer.weights for offer in offers))
    removed = counts(DISTRIBUTIONS[name], offers, zeros)
    assert sum(removed) == zeros
    assert all(0 <= n <= offer.weights for n, offer in zip(removed, offers, strict=True))
