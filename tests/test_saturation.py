"""Ranges before a tanh or a sigmoid in an int8 file, and what they leave of the actions."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_graph import read
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

X = np.random.default_rng(0).uniform(-1, 1, (400, 6)).astype(np.float32)


def policy(activation, gain, units=32):
    """Returns a policy whose hidden layer gets sums as large as ``gain``, and needs small ones."""
    tf.keras.utils.set_random_seed(0)
    source = tf.keras.Input((6,), name="x")
    tensor = tf.keras.layers.Dense(units, activation, name="hidden")(source)
    model = tf.keras.Model(source, tf.keras.layers.Dense(2, name="outputs")(tensor))
    kernel, bias = model.get_layer("hidden").get_weights()
    kernel[:, 0] *= gain  # a unit that is saturated nearly always; the others are steep
    model.get_layer("hidden").set_weights([kernel, bias])
    return Policy(
        model, Head("affine"), ArraySpec("x", (6,), "float32"), ArraySpec("action", (2,), "float32")
    )


def exported(made, folder):
    export(made, folder, precision="int8", observations=X)
    return read((folder / "policy.tflite").read_bytes())


@pytest.mark.parametrize(
    ("activation", "kind", "end"), [("tanh", "TANH", 4), ("sigmoid", "LOGISTIC", 8)]
)
def test_a_range_ends_where_the_activation_behind_it_has(tmp_path, activation, kind, end):
    made = policy(activation, 40.0)
    graph = exported(made, tmp_path / "a")
    (node,) = (node for node in graph.nodes if node.kind == kind)
    sums = graph.tensors[node.inputs[0]]
    assert (sums.low, sums.high) == pytest.approx((-end, end), rel=0.01)


def test_a_range_that_ends_before_stays(tmp_path):
    made = policy("tanh", 1.0)
    found = X @ made.model.get_layer("hidden").get_weights()[0]
    graph = exported(made, tmp_path / "a")
    (node,) = (node for node in graph.nodes if node.kind == "TANH")
    sums = graph.tensors[node.inputs[0]]
    assert (sums.low, sums.high) == pytest.approx((found.min(), found.max()), rel=0.02)
    assert max(-sums.low, sums.high) < 4


def test_actions_are_nearer_to_the_policys_than_steps_over_the_whole_range_leave_them(
    tmp_path, monkeypatch
):
    made = policy("tanh", 40.0)
    errors = []
    for name in ("limited", "whole"):
        export(made, tmp_path / name, precision="int8", observations=X)
        errors.append(np.abs(runtime.load(tmp_path / name).outputs(X) - made.outputs(X)).mean())
        monkeypatch.setattr("tfdrlprune.deployment.converter.limited", lambda model: model)
    assert errors[0] < 0.4 * errors[1]


def test_sums_that_others_read_too_keep_their_range(tmp_path):
    tf.keras.utils.set_random_seed(0)
    source = tf.keras.Input((6,), name="x")
    sums = tf.keras.layers.Dense(8, name="sums")(source)
    both = tf.keras.layers.Concatenate()([tf.keras.layers.Activation("tanh")(sums), sums])
    model = tf.keras.Model(source, tf.keras.layers.Dense(2, name="outputs")(both))
    layer = model.get_layer("sums")
    layer.set_weights([10 * each for each in layer.get_weights()])
    made = Policy(
        model, Head("affine"), ArraySpec("x", (6,), "float32"), ArraySpec("action", (2,), "float32")
    )
    graph = exported(made, tmp_path / "a")
    (node,) = (node for node in graph.nodes if node.kind == "TANH")
    assert graph.tensors[node.inputs[0]].high > 6
