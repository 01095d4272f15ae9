"""How far scores are above each other, without what they have in common."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
from dense_nets import CHOICE, dense, exported, filling, made

from tfdrlprune.evidence.bounding import boxes
from tfdrlprune.evidence.bounding.margins import margins
from tfdrlprune.evidence.bounding.propagation import Propagation
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.scores import Duel
from tfdrlprune.specs import ArraySpec, Head


def margins_of(network, low, high):
    box = boxes.given(network.manifest.observation, low, high)
    side = Propagation(network.graph, box.inputs(box.low[None], box.high[None]))
    return margins(side, side.scores())[0]


def test_the_margin_of_two_rows_is_that_of_their_difference():
    policy = dense([([[1, 3, 0], [5, 5, 5]], [0, 1, 0])], Head("argmax"), CHOICE)
    found = margins_of(exported(policy)[1], [1, -9], [2, 9])
    # Score 1 above score 0: 2 x0 + 1 is 3 at least; 0 above 1: -2 x0 - 1 is -5 at least.
    np.testing.assert_allclose(found, [[0, -5, 1], [3, 0, 4], [-2, -7, 0]], atol=1e-3)


def test_what_a_dueling_network_adds_to_all_scores_falls_out():
    given = tf.keras.Input((2,), name="observation")
    value, advantage = tf.keras.layers.Dense(1), tf.keras.layers.Dense(3)
    outputs = Duel(name="outputs")([value(given), advantage(given)])
    value.set_weights([np.float32([[0], [100]]), np.float32([7])])
    advantage.set_weights([np.float32([[1, 3, 0], [5, 5, 5]]), np.float32([0, 1, 0])])
    observation = ArraySpec("observation", (2,), "float32")
    policy = Policy(tf.keras.Model(given, outputs), Head("argmax"), observation, CHOICE)
    found = margins_of(exported(policy)[1], [1, -9], [2, 9])
    np.testing.assert_allclose(found, [[0, -5, 1], [3, 0, 4], [-2, -7, 0]], atol=1e-2)


def test_margins_hold_where_scores_are_rounded_and_saturate():
    for precision in ("float32", "int8"):
        policy, network = made("linear", precision)
        low, high = np.full(5, -0.3), np.full(5, 6.0)
        found = margins_of(network, low, high)
        scores = policy.outputs(filling(low, high, 5_000)).astype(np.float64)
        apart = scores[:, :, None] - scores[:, None]
        assert (apart.min(axis=0) >= found).all()
