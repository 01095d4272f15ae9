import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfdrlprune.pruning.distribution import DISTRIBUTIONS, erk, pooled, uniform


def kernels(*shapes):
    return [np.ones(shape) for shape in shapes]


def test_erk_keeps_the_total_and_spares_the_small_kernels():
    # By hand: 448 of 4480 stay, shared as 68 : 128 : 66, so 448 * 68 / 262 = 116.3,
    # 448 * 128 / 262 = 218.9 and 448 * 66 / 262 = 112.9 stay.
    removed = erk(kernels((4, 64), (64, 64), (64, 2)), 4032)
    assert sum(removed) == 4032
    assert removed == [256 - 116, 4096 - 219, 128 - 113]


def test_erk_keeps_a_kernel_whole_when_its_share_exceeds_its_size_and_shares_the_rest_again():
    # 3,000 of 4,224 stay. By sums of shape, 66 : 128, the first would keep 1,020 of its 128: it is
    # kept whole, and the other keeps 2,872.
    removed = erk(kernels((64, 2), (64, 64)), 1224)
    assert removed == [0, 1224]


def test_erk_counts_the_kernel_size_of_a_convolution():
    # 100 of 3*3*8*16 + 16*4 = 1,216 stay, shared as 3+3+8+16 = 30 to 16+4 = 20.
    removed = erk(kernels((3, 3, 8, 16), (16, 4)), 1216 - 100)
    assert removed == [1152 - 60, 64 - 40]


def test_uniform_gives_every_kernel_the_same_sparsity():
    assert uniform(kernels((10, 10), (10, 5), (2, 5)), 80) == [50, 25, 5]


def test_global_compares_weights_across_kernels():
    scores = [np.array([[0.1, 5.0], [0.2, 6.0]]), np.array([[0.15, 0.3]])]
    assert pooled(scores, 3) == [2, 1]


def test_global_is_exact_when_all_scores_are_equal():
    assert sum(pooled(kernels((7, 3), (5, 5)), 19)) == 19


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
@given(
    shapes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5),
    sparsity=st.floats(0, 0.999),
)
def test_every_distribution_is_exact_in_total_and_within_each_kernel(name, shapes, sparsity):
    generator = np.random.default_rng(0)
    scores = [generator.integers(0, 5, size=shape).astype(float) for shape in shapes]
    zeros = round(sparsity * sum(score.size for score in scores))
    removed = DISTRIBUTIONS[name](scores, zeros)
    assert sum(removed) == zeros
    assert all(0 <= count <= score.size for count, score in zip(removed, scores, strict=True))
