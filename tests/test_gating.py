"""Gates are put behind every group that may go, where a closed unit is zero."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp
from keras_models import batch_of, chain, randomized

from tfdrlprune.structure.gated_recurrence import gates_of
from tfdrlprune.structure.gates import Gate, LearntGate
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.graph import groups_of

L = tf.keras.layers


def after(model, gate):
    """Returns the names of the layers whose outputs a gate takes, one for each call."""
    nodes = model.get_layer(gate).inbound_nodes
    return [tf.nest.flatten(node.inbound_layers)[0].name for node in nodes]


def residual():
    inputs = tf.keras.Input((6, 6, 2))
    stem = L.Conv2D(4, 3, padding="same", activation="relu", name="stem")(inputs)
    block = L.Conv2D(4, 3, padding="same", name="block")(stem)
    block = L.ReLU(name="bent")(L.BatchNormalization(name="normal")(block))
    x = L.Flatten()(L.Add(name="sum")([stem, block]))
    x = L.Dense(5, "tanh", name="hidden")(x)
    return randomized(tf.keras.Model(inputs, L.Dense(2, name="outputs")(x)))


def test_open_gates_change_nothing_and_stand_behind_norm_and_activation():
    model = residual()
    found = gated(model)
    assert found.gates == {"stem": "stem_gate", "hidden": "hidden_gate"}
    assert found.messages == ("outputs has no gate: they are outputs of the model.",)
    # One gate for both branches, whose units are added.
    assert after(found.model, "stem_gate") == ["stem", "bent"]
    assert after(found.model, "hidden_gate") == ["hidden"]
    batch = batch_of(model)
    np.testing.assert_array_equal(found.model(batch), model(batch))


def test_the_model_that_was_given_is_left_alone():
    model = residual()
    before = [layer.name for layer in model.layers], model.get_weights()
    gated(model).model.get_layer("stem").kernel.assign_add(tf.ones((3, 3, 2, 4)))
    assert [layer.name for layer in model.layers] == before[0]
    for ours, theirs in zip(model.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_closed_gate_is_the_column_closed_by_hand():
    model = residual()
    found = gated(model).model
    found.get_layer("hidden_gate").set_open([True, False, True, True, False])
    kernel, bias = model.get_layer("outputs").get_weights()
    kernel[[1, 4]] = 0
    model.get_layer("outputs").set_weights([kernel, bias])
    batch = batch_of(model)
    np.testing.assert_array_equal(found(batch), model(batch))


def test_a_policy_stays_a_policy_and_some_groups_may_be_left_out():
    policy = mlp()
    found = gated(policy.model, "l1", shrinkage=0.01, layers=["hidden_1"])
    again = policy.replace(model=found.model)
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_array_equal(again(observations), policy(observations))
    assert found.gates == {"hidden_1": "hidden_1_gate"}
    assert isinstance(found.model.get_layer("hidden_1_gate"), LearntGate)
    assert float(found.model.get_layer("hidden_1_gate").shrinkage) == np.float32(0.01)


def test_the_graph_knows_a_gate_as_a_weight_that_follows_its_units():
    group = groups_of(gated(residual()).model).group("stem")
    assert ("follows", "stem_gate", "gate") in {(a.role, a.layer, a.weight) for a in group.axes}
    assert group.free.all()


@pytest.mark.parametrize("cell", [L.LSTM, L.GRU, L.SimpleRNN])
def test_recurrent_layers_have_their_gate_in_their_cell(cell):
    model = chain(tf.keras.Input((5, 3)), cell(4, name="l"), L.Dense(3, name="d"), L.Dense(2))
    found = gated(model, "l1", shrinkage=0.01)
    assert found.gates == {"l": "l_gate", "d": "d_gate"}
    assert found.messages == (
        f"{model.layers[-1].name} has no gate: they are outputs of the model.",
    )
    layer = found.model.get_layer("l")
    assert layer.gate is gates_of(found.model)["l_gate"]
    assert isinstance(layer.gate, LearntGate)
    batch = batch_of(model)
    np.testing.assert_array_equal(found.model(batch), model(batch))
    group = groups_of(found.model).group("l")
    assert ("follows", "l", "gate") in {(a.role, a.layer, a.weight) for a in group.axes}
    with pytest.raises(ValueError, match="has gates already"):
        gated(found.model)


def not_at_zero():
    return chain(tf.keras.Input((5, 3)), L.GRU(4, "sigmoid", name="l"), L.Dense(3), L.Dense(2))


def begun_by_a_layer():
    inputs = tf.keras.Input((5, 3)), tf.keras.Input((2,))
    x = L.GRU(4, name="l")(inputs[0], initial_state=L.Dense(4, name="begin")(inputs[1]))
    return tf.keras.Model(inputs, L.Dense(2)(L.Dense(3)(x)))


def begun_at_a_half():
    inputs, state = tf.keras.Input((1, 3)), tf.keras.Input((4,), name="state_0")
    begin = L.Activation("sigmoid")(state)
    x, after = L.GRU(4, name="l", return_state=True)(inputs, initial_state=begin)
    outputs = [L.Dense(2)(L.Dense(3)(x)), L.Activation("linear", name="next_state_0")(after)]
    return tf.keras.Model([inputs, state], outputs)


def goes_on_as_something_else():
    inputs, state = tf.keras.Input((1, 3)), tf.keras.Input((4,), name="state_0")
    x, after = L.GRU(4, name="l", return_state=True)(inputs, initial_state=state)
    outputs = [L.Dense(2)(L.Dense(3)(x)), L.Activation("sigmoid", name="next_state_0")(after)]
    return tf.keras.Model([inputs, state], outputs)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (not_at_zero, "its activation sigmoid is 0.5 at 0, so that a closed unit would not stay"),
        (begun_by_a_layer, "they go together with those of begin"),
        (begun_at_a_half, "a closed unit stays at zero where the state begins there, and that of"),
        (goes_on_as_something_else, "that of l is given, or goes on, as something else"),
    ],
)
def test_a_recurrent_layer_whose_units_would_not_stay_at_zero_has_none_and_is_named(make, reason):
    found = gated(make())
    assert len(found.gates) == 1
    (message,) = (each for each in found.messages if reason in each)
    assert "has no gate: " in message
    assert message.endswith("; prune its units by PruningCallback(granularity='unit').")


def test_units_in_another_order_in_one_of_their_layers_have_no_gate():
    inputs = tf.keras.Input((3,))
    parts = [L.Dense(2, name=name)(inputs) for name in ("a", "b")]
    both = L.Add()([L.Concatenate()(parts), L.Dense(4, name="c")(inputs)])
    model = tf.keras.Model(inputs, L.Dense(2)(L.Dense(3, name="d")(both)))
    assert (
        "a has no gate: its layers have its units in different orders" in gated(model).messages[0]
    )


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (lambda: chain(tf.keras.Input((3,)), L.Dense(2)), {}, "No group of units can have a gate"),
        (lambda: gated(residual()).model, {}, "has gates already"),
        (residual, {"layers": ["hiden"]}, "Did you mean 'hidden'"),
        (residual, {"penalty": "l2"}, "penalty is one of"),
    ],
)
def test_what_cannot_be_gated_is_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        gated(model(), **arguments)


def test_a_name_that_is_taken_is_numbered():
    model = chain(tf.keras.Input((3,)), L.Dense(2, name="a"), L.ReLU(name="a_gate"), L.Dense(2))
    found = gated(model)
    assert found.gates == {"a": "a_gate_1"}
    assert isinstance(found.model.get_layer("a_gate_1"), Gate)
