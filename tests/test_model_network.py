"""A policy's model as a TF-Agents network, with weights of its own."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import VECTOR, dqn, greedy, mlp

from tfdrlprune.agents.acting import QValues
from tfdrlprune.policies import from_agent
from tfdrlprune.policies.model_network import ModelNetwork
from tfdrlprune.structure.gating import gated


def test_it_gives_the_policys_outputs_with_one_axis_of_batches_or_two():
    policy = mlp()
    network = ModelNetwork(VECTOR, policy)
    batch = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.testing.assert_array_equal(network(tf.constant(batch))[0], policy.outputs(batch))
    twice = network(tf.constant(batch.reshape(2, 3, 4)))[0]
    np.testing.assert_array_equal(tf.reshape(twice, (6, 3)), policy.outputs(batch))


def test_weights_are_its_own_and_a_copys_too():
    policy = mlp()
    network = ModelNetwork(VECTOR, policy)
    copy = network.copy(name="copy")
    for each in (network, copy):
        each.create_variables()
    network.model.get_layer("outputs").bias.assign_add([1.0, 1.0, 1.0])
    for ours, theirs in zip(copy.variables, policy.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert copy.name == "copy"


def test_an_agent_of_ones_own_with_it_is_converted_back():
    policy = mlp()
    agent = dqn(ModelNetwork(VECTOR, policy))
    again = from_agent(agent)
    batch = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    np.testing.assert_array_equal(again(batch), greedy(agent, batch))
    assert [layer.name for layer in again.model.layers] == [
        layer.name for layer in policy.model.layers
    ]


def test_a_network_with_gates_does_not_act_in_numpy_which_would_not_see_them_close():
    policy = mlp()
    found = gated(policy.model).model
    agent = dqn(ModelNetwork(VECTOR, policy.replace(model=found)))
    network = agent._q_network
    batch = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    acting = QValues(agent, network)
    before = acting([batch])
    assert not acting.in_numpy
    network.model.get_layer("hidden_1_gate").set_open([False] * 4 + [True] * 4)
    acting.refresh()
    after = acting([batch])
    np.testing.assert_allclose(after, network(tf.constant(batch))[0], atol=1e-5)
    assert np.abs(after - before).max() > 0.01


def test_other_observations_are_refused():
    with pytest.raises(ValueError, match="takes other observations than the environment gives"):
        ModelNetwork(tf.TensorSpec((5,), tf.float32), mlp())
