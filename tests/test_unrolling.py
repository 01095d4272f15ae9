"""Recurrent layers that look at a history act in the file as they do in Keras, at every call."""

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp, randomize

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.unrolling import unrolled
from tfdrlprune.policies import Policy
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers


def policy_of(*layers):
    inputs = tf.keras.Input((4, 3), name="observation")
    tensor = inputs
    for layer in layers:
        tensor = layer(tensor)
    model = tf.keras.Model(inputs, L.Dense(3, name="outputs")(tensor))
    randomize(model.trainable_variables)
    spec = ArraySpec("observation", (4, 3), "float32", -3.0, 3.0)
    return Policy(model, Head("argmax"), spec, ArraySpec("action", (), "int64", 0, 2))


@pytest.mark.parametrize(
    "kind", ["LSTM", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("GRU", "SimpleRNN"))]
)
def test_no_call_depends_on_an_earlier_one(tmp_path, kind):
    policy = policy_of(getattr(L, kind)(8, return_sequences=True), L.Bidirectional(L.LSTM(5)))
    export(policy, tmp_path / "a")
    loaded = runtime.load(tmp_path / "a")
    batch = np.random.default_rng(0).normal(size=(20, 4, 3)).astype(np.float32)
    wanted = policy.outputs(batch)
    np.testing.assert_allclose(loaded.outputs(batch), wanted, atol=1e-5)
    np.testing.assert_allclose(loaded.outputs(batch[::-1]), wanted[::-1], atol=1e-5)


def test_weights_stay_and_the_callers_model_is_left_alone():
    policy = policy_of(L.GRU(8))
    plain = unrolled(policy)
    assert plain is not policy
    assert plain.model.layers[1].unroll
    assert not policy.model.layers[1].unroll
    batch = np.random.default_rng(1).normal(size=(5, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(plain.outputs(batch), policy.outputs(batch), atol=1e-6)


def test_a_policy_without_recurrent_layers_stays_itself():
    policy = mlp()
    assert unrolled(policy) is policy
