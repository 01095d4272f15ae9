"""Recurrent policies whose state goes in and comes out: it gets narrower with the units."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import recurrent_dqn, recurrent_ppo
from keras_models import randomized

from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies import from_agent
from tfdrlprune.policies.form import Policy
from tfdrlprune.structure import scores
from tfdrlprune.structure.calls import copied
from tfdrlprune.structure.gated_recurrence import gates_of
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.selection import select
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers
CELLS = {L.LSTM: 2, L.GRU: 1, L.SimpleRNN: 1}


def policy(cell=L.LSTM, units=8):
    """Returns a model from an observation and a state to outputs and the next state."""
    count = CELLS[cell]
    observation = tf.keras.Input((3,), name="observation")
    before = [tf.keras.Input((units,), name=f"state_{i}") for i in range(count)]
    x = L.Reshape((1, 3))(L.Dense(3, "relu", name="front")(observation))
    x, *after = cell(units, return_state=True, name="memory")(x, initial_state=before)
    after = [L.Activation("linear", name=f"next_{i}")(each) for i, each in enumerate(after)]
    outputs = L.Dense(2, name="outputs")(x)
    model = randomized(tf.keras.Model([observation, *before], [outputs, *after]))
    return model, {f"state_{i}": f"next_{i}" for i in range(count)}


def play(model, observations, units):
    """Returns the outputs of a model over a sequence, its state from zero."""
    states = [np.zeros((1, units), np.float32) for _ in model.inputs[1:]]
    found = []
    for observation in observations:
        output, *states = model([observation[None], *states])
        found.append(output.numpy()[0])
    return np.array(found)


def close(model, units):
    """Closes units of the recurrent layer by hand, in every gate."""
    layer = model.get_layer("memory")
    width, weights = layer.units, layer.get_weights()
    for weight in weights:
        for unit in units:
            weight[..., unit::width] = 0
    layer.set_weights(weights)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_a_state_gets_narrower_and_a_whole_episode_is_the_same(cell):
    model, states = policy(cell)
    small = shrink(model, {"memory": [1, 4, 6]}, states=states)
    assert small.widths == {"memory": (8, 5)}
    assert [tuple(each.shape[1:]) for each in small.model.inputs[1:]] == [(5,)] * CELLS[cell]
    assert [tuple(each.shape[1:]) for each in small.model.outputs[1:]] == [(5,)] * CELLS[cell]
    assert small.exact
    assert small.kept == small.unused_inputs == {}
    close(model, [1, 4, 6])
    observations = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    ours, theirs = play(small.model, observations, 5), play(model, observations, 8)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_without_being_told_the_states_units_stay():
    model, _ = policy()
    assert not groups_of(model).group("memory").free.any()


def test_states_named_as_a_policys_need_not_be_told():
    observation, before = tf.keras.Input((3,)), tf.keras.Input((8,), name="state_0")
    x, after = L.GRU(8, return_state=True, name="memory")(
        L.Reshape((1, 3))(observation), initial_state=before
    )
    outputs = [L.Dense(2)(x), L.Activation("linear", name="next_state_0")(after)]
    model = randomized(tf.keras.Model([observation, before], outputs))
    assert groups_of(model).states == {"state_0": "next_state_0"}
    assert not groups_of(model, {}).group("memory").free.any()
    small = shrink(model, {"memory": [0]})
    assert tuple(small.model.inputs[1].shape) == (None, 7)


def test_units_that_are_closed_already_are_dead():
    model, states = policy(L.GRU)
    close(model, [0, 7])
    small = shrink(model, states=states)
    assert {name: list(units) for name, units in small.removed.items()} == {"memory": [0, 7]}


def test_units_that_nothing_reads_are_dead_whatever_their_state():
    model, states = policy()
    memory, outputs = model.get_layer("memory"), model.get_layer("outputs")
    kernel, recurrent, bias = memory.get_weights()
    recurrent[3] = 0
    memory.set_weights([kernel, recurrent, bias])
    last, last_bias = outputs.get_weights()
    last[3] = 0
    outputs.set_weights([last, last_bias])
    assert shrink(model, states=states).widths == {"memory": (8, 7)}


def test_a_state_that_is_not_zero_though_its_units_have_no_weights_is_no_constant():
    # A bias alone moves the state at every step.
    model, states = policy()
    kernel, recurrent, bias = model.get_layer("memory").get_weights()
    kernel[:, ::8], recurrent[:, ::8] = 0, 0
    bias[::8] = 1
    model.get_layer("memory").set_weights([kernel, recurrent, bias])
    assert shrink(model, states=states).widths == {}


def test_ninety_percent_of_an_lstm_policy_goes():
    model, states = policy(units=32)
    graph = groups_of(model, states)
    chosen = select(graph, scores.l2(graph), 0.9, of="parameters")
    small = shrink(model, chosen, np.ones((5, 3), np.float32), states=states)
    assert small.parameters_after <= 0.11 * small.parameters_before


@pytest.mark.parametrize(
    "make", [recurrent_dqn, pytest.param(recurrent_ppo, marks=pytest.mark.slow)]
)
def test_an_agents_recurrent_policy_shrinks_and_stays_a_policy(make, tmp_path):
    agent = make("CartPole-v1", lstm=12)
    policy = from_agent(agent)
    graph = groups_of(policy.model)
    chosen = select(graph, scores.l1(graph), 0.75)
    observations = np.random.default_rng(0).uniform(-1, 1, (60, 4)).astype(np.float32)
    small = shrink(policy.model, chosen, observations)
    shrunk = policy.replace(model=small.model)
    assert [spec.shape for spec in shrunk.states] == [(3,), (3,)]
    assert small.parameters_after < 0.2 * small.parameters_before
    # The same units closed by hand, in a copy that is as wide as before.
    wide = copied(policy.model)
    for name, units in chosen.items():
        layer = wide.get_layer(name)
        weights = layer.get_weights()
        for weight in weights:
            weight.reshape(-1, weight.shape[-1] // layer.units, layer.units)[..., units] = 0
        layer.set_weights(weights)
    closed = policy.replace(model=wide)
    ours, theirs = (each.sequence([observations])[0] for each in (shrunk, closed))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    shrunk.save(tmp_path / "shrunk")
    again = Policy.load(tmp_path / "shrunk")
    np.testing.assert_array_equal(again.sequence([observations])[0], ours)


@pytest.mark.parametrize("penalty", [None, "l1"])
def test_a_policy_with_gates_in_its_cell_is_saved_and_shrinks_to_a_file_without(penalty, tmp_path):
    policy = from_agent(recurrent_dqn("CartPole-v1", lstm=12))
    found = gated(policy.model, penalty)
    lstm = next(name for name in found.gates if "lstm" in name)
    gate = gates_of(found.model)[found.gates[lstm]]
    opened = policy.replace(model=found.model)
    observations = np.random.default_rng(0).uniform(-1, 1, (60, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        opened.sequence([observations])[0], policy.sequence([observations])[0]
    )
    gate.set_open(np.arange(12) % 3 == 0)
    if penalty:  # a number that is left is part of the weights afterwards
        gate.gate.assign(0.5 * gate.gate)
    wanted = opened.sequence([observations])[0]
    opened.save(tmp_path / "gated")
    again = Policy.load(tmp_path / "gated")
    np.testing.assert_array_equal(again.sequence([observations])[0], wanted)
    small = shrink(again.model, observations=observations)
    assert small.widths == {lstm: (12, 4)}
    assert small.exact == (penalty is None)
    shrunk = again.replace(model=small.model)
    assert [spec.shape for spec in shrunk.states] == [(4,), (4,)]
    np.testing.assert_allclose(shrunk.sequence([observations])[0], wanted, atol=1e-5)
    for name, each in {"with": again, "without": shrunk}.items():
        export(each, tmp_path / name, observations=observations)
        file = runtime.load(tmp_path / name)
        again.reset()
        np.testing.assert_array_equal(file.action(observations), again.action(observations))


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"state": "next_0"}, r"Received: 'state': 'next_0'\. Inputs: \['observation', 'state_0'"),
        ({"state_0": "outputs"}, r"state_0 of shape \(8,\) and outputs of shape \(2,\)"),
    ],
)
def test_states_that_are_none_are_refused(states, message):
    with pytest.raises(ValueError, match=message):
        groups_of(policy()[0], states)
