import pytest

from tfdrlprune.deployment.counting import check_requested


@pytest.mark.parametrize("zeros", [80, 79, 78, 100])
def test_the_requested_zeros_may_miss_one_a_kernel_and_may_be_exceeded(zeros):
    check_requested(zeros, total=100, requested=0.8, kernels=2)


def test_lost_zeros_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"0\.8000, but 77 of 100 weights"):
        check_requested(77, total=100, requested=0.8, kernels=2)
