import numpy as np

from tfdrlprune.pruning.criteria import criterion


def test_magnitude_is_the_absolute_value():
    (scores,) = criterion("magnitude", seed=0)([np.array([[-3.0, 0.5], [0.0, 2.0]])])
    np.testing.assert_array_equal(scores, [[3.0, 0.5], [0.0, 2.0]])


def test_random_scores_ignore_the_weights_and_follow_the_seed():
    kernels = [np.zeros((50, 40)), np.ones((40, 3))]
    scores = criterion("random", seed=1)(kernels)
    assert [score.shape for score in scores] == [(50, 40), (40, 3)]
    assert abs(scores[0].mean() - 0.5) < 0.03
    again = criterion("random", seed=1)([kernel + 5 for kernel in kernels])
    for ours, theirs in zip(scores, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (criterion("random", seed=2)(kernels)[0] != scores[0]).all()
