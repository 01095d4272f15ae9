"""Layers that make Q-values, against NumPy, and from their configs."""

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.scores import Duel, ExpectedValue


def test_the_mean_of_each_distribution_comes_out():
    logits = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    layer = ExpectedValue([-1.0, 0.5, 4.0])
    weights = np.exp(logits.reshape(7, 2, 3))
    wanted = (weights * [-1.0, 0.5, 4.0]).sum(-1) / weights.sum(-1)
    np.testing.assert_allclose(layer(logits), wanted, atol=1e-5)
    again = ExpectedValue.from_config(layer.get_config())
    np.testing.assert_array_equal(again(logits), layer(logits))
    # 0.25 * -1 + 0.25 * 0.5 + 0.5 * 4, by hand.
    by_hand = layer(np.log(np.float32([[0.25, 0.25, 0.5]])))
    np.testing.assert_allclose(by_hand, [[1.875]], atol=1e-6)


def test_advantages_count_from_their_mean():
    duel = Duel()([tf.constant([[10.0], [20.0]]), tf.constant([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])])
    np.testing.assert_array_equal(duel, [[8, 9, 13], [19, 19, 22]])
