"""The tanh and the stretch at the end of an actor are found, and nothing else is taken for them."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.policies.squashing import squash_head, unsquashed
from tfdrlprune.specs import ArraySpec, Head

Dense, Rescaling = tf.keras.layers.Dense, tf.keras.layers.Rescaling


def test_a_tanh_and_its_stretch_become_a_head_with_the_same_actions():
    first, last = Dense(4, "relu"), Dense(2, "tanh", name="action", bias_initializer="ones")
    stretch = Rescaling([2.0, 5.0], [0.0, 5.0])
    observations = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    wanted = stretch(last(first(observations)))
    steps, head = unsquashed([first, last, stretch])
    assert head == Head("tanh", (2.0, 5.0), (0.0, 5.0))
    assert steps[0] is first
    assert [layer.name for layer in steps] == [first.name, "action"]
    action = ArraySpec("action", (2,), "float32", (-2.0, 0.0), (2.0, 10.0))
    outputs = steps[1](first(observations)).numpy()
    np.testing.assert_allclose(head.action(outputs, action), wanted, atol=1e-6)


def test_one_number_for_all_stays_one_number():
    last = Dense(2, "tanh")
    last.build((None, 3))
    assert unsquashed([last, Rescaling(2.0)])[1] == Head("tanh", 2.0, 0.0)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Dense(1, "tanh")],
        [Rescaling(2.0)],
        [Dense(1, "sigmoid"), Rescaling(2.0)],
        [tf.keras.layers.Flatten(), Rescaling(2.0)],
        [Dense(1, "tanh"), Rescaling(2.0), Dense(1)],
    ],
)
def test_other_ends_are_left_alone(steps):
    assert unsquashed(steps) == (steps, None)


def test_the_head_of_tf_agents_squash_has_the_bounds_and_needs_them():
    spec = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
    assert squash_head(spec) == Head("tanh", 2.0, (0.0, 1.0))
    with pytest.raises(ValueError, match=r"and .* has none"):
        squash_head(ArraySpec("action", (2,), "float32"))
