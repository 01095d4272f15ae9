"""An actor acts as its policy does, as its weights were at the last refresh."""

from tfdrlprune._tf import tf

import numpy as np
import pytest
from students import balancer, continuous

from tfdrlprune.compression.actor import Actor
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

SEEN = np.random.default_rng(0).normal(size=(256, 3)).astype("float32")


def normalized(activation="tanh"):
    tf.keras.utils.set_random_seed(0)
    given = tf.keras.Input((3,), name="observation")
    scale = ObservationNormalizer(np.float32([1.0, 0.0, -1.0]), np.float32([4.0, 1e-4, 1.0]))
    x = tf.keras.layers.Dense(16, activation, name="hidden")(scale(given))
    model = tf.keras.Model(given, tf.keras.layers.Dense(1, name="outputs")(x))
    spec = ArraySpec("observation", (3,), "float32")
    return Policy(model, Head("tanh", 2.0), spec, ArraySpec("action", (1,), "float32", -2.0, 2.0))


@pytest.mark.parametrize("policy", [normalized(), continuous(Head("affine"), 0)])
def test_dense_layers_run_in_numpy_and_act_as_the_policy_does(policy):
    actor = Actor(policy)
    np.testing.assert_allclose(actor.action(SEEN), policy.action(SEEN), atol=1e-5)
    assert actor._chain is not None
    np.testing.assert_allclose(actor.action(SEEN[0]), policy.action(SEEN[0]), atol=1e-5)


def test_other_layers_are_run_as_they_are():
    policy = normalized("elu")
    actor = Actor(policy)
    np.testing.assert_array_equal(actor.action(SEEN), policy.action(SEEN))
    assert actor._chain is None


def test_a_trained_policy_is_followed_from_the_next_refresh_on():
    policy = balancer()
    actor = Actor(policy)
    seen = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    before = actor.action(seen)
    outputs = policy.model.get_layer("outputs")
    outputs.set_weights([-each for each in outputs.get_weights()])
    np.testing.assert_array_equal(actor.action(seen), before)
    actor.refresh()
    np.testing.assert_array_equal(actor.action(seen), policy.action(seen))
    assert (actor.action(seen) != before).any()


def test_what_does_not_fit_is_refused_as_the_policy_refuses_it():
    with pytest.raises(ValueError, match="NaN or infinity"):
        Actor(normalized()).action(np.full((2, 3), np.nan, "float32"))
