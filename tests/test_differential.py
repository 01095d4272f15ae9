"""The difference of two networks, operation by operation, by hand."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import randomize
from dense_nets import exported, filling

from tfdrlprune.evidence.bounding import boxes
from tfdrlprune.evidence.bounding.interval_bounds import bound_difference
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

LINE = ArraySpec("observation", (1,), "float32")
ONE = ArraySpec("action", (1,), "float32")
SUMS = (tf.keras.layers.Add, tf.keras.layers.Subtract, tf.keras.layers.Multiply)
ENDS = (tf.keras.layers.Maximum, tf.keras.layers.Minimum)


def normalised(variance, clip):
    """Gives clip(x / sqrt(variance), -clip, clip)."""
    given = tf.keras.Input((1,), name="observation")
    normalizer = ObservationNormalizer([0.0], [variance], epsilon=0.0, clip=clip)
    layer = tf.keras.layers.Dense(1, name="outputs")
    model = tf.keras.Model(given, layer(normalizer(given)))
    layer.set_weights([np.float32([[1]]), np.float32([0])])
    return exported(Policy(model, Head("affine"), LINE, ONE))[1]


def apart(ours, theirs, low, high):
    box = boxes.given(LINE, [low], [high])
    found = bound_difference(ours, theirs, box)
    assert found.differential
    return found.output_low[0], found.output_high[0]


def test_a_clip_between_its_ends_lets_the_difference_through():
    # x / 2 - x / 4 for x in -1..1.
    found = apart(normalised(4.0, 1.0), normalised(16.0, 1.0), -1.0, 1.0)
    assert found == pytest.approx((-0.25, 0.25), abs=1e-5)


def test_a_clip_beyond_its_ends_leaves_no_difference():
    found = apart(normalised(4.0, 1.0), normalised(16.0, 1.0), 5.0, 6.0)
    assert found == pytest.approx((0, 0), abs=1e-5)


def test_a_clip_that_may_hold_lets_a_part_through():
    # min(x / 2, 1) - min(x / 4, 1) for x in 0..8: a part of x / 4 in 0..2, and by both boxes at
    # most 1.
    found = apart(normalised(4.0, 1.0), normalised(16.0, 1.0), 0.0, 8.0)
    assert found == pytest.approx((0, 1), abs=1e-5)


def test_clips_at_different_ends_are_apart_by_what_is_between_them():
    found = apart(normalised(1.0, 3.0), normalised(1.0, 2.0), 5.0, 6.0)
    assert found == pytest.approx((1, 1), abs=1e-5)


@pytest.mark.parametrize("merge", [*SUMS, *ENDS], ids=lambda layer: layer.__name__)
def test_differences_of_merged_branches_hold_and_are_tighter_than_two_boxes(merge):
    """Two networks with nearly the same weights, in small boxes around many points."""
    given = tf.keras.Input((3,), name="observation")
    first, second = (tf.keras.layers.Dense(6, "tanh")(given) for _ in range(2))
    outputs = tf.keras.layers.Dense(2, name="outputs")(merge()([first, second]))
    model = tf.keras.Model(given, outputs)
    randomize(model.trainable_variables)
    observation = ArraySpec("observation", (3,), "float32")
    action = ArraySpec("action", (2,), "float32")
    theirs = exported(Policy(model, Head("affine"), observation, action))
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(0.01 * generator.normal(size=variable.shape))
    ours = exported(Policy(model, Head("affine"), observation, action))
    for centre in generator.normal(size=(8, 3)):
        low, high = centre - 0.1, centre + 0.1
        found = bound_difference(ours[1], theirs[1], boxes.given(observation, low, high))
        states = filling(low, high, 300)
        seen = ours[0].outputs(states).astype(np.float64) - theirs[0].outputs(states)
        assert (seen >= found.output_low).all()
        assert (seen <= found.output_high).all()
        # The outputs themselves move by some tenths in such a box.
        assert found.largest_output < 0.3
