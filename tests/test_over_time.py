"""A one-step model over sequences: what it remembers, and where it forgets."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import VECTOR, recurrent_dqn
from keras_models import randomized
from tf_agents.trajectories import time_step as ts

from tfdrlprune.policies import from_agent
from tfdrlprune.policies.model_network import ModelNetwork
from tfdrlprune.policies.over_time import one_step, over_time

L = tf.keras.layers
MID, FIRST = int(ts.StepType.MID), int(ts.StepType.FIRST)


def adder():
    """Returns a model of one unit that adds up what it sees, and puts out twice that."""
    source, state = tf.keras.Input((1,), name="x"), tf.keras.Input((1,), name="state_0")
    layer = L.SimpleRNN(1, activation="linear", return_state=True, unroll=True)
    out, after = layer(L.Reshape((1, 1))(source), initial_state=[state])
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    outputs = L.Dense(1, name="outputs")
    model = tf.keras.Model(
        [source, state], [outputs(out), L.Activation("linear", name="next_state_0")(after)]
    )
    outputs.set_weights([2 * np.ones((1, 1)), np.zeros(1)])
    return model


def test_sums_go_on_and_begin_anew_where_an_episode_does():
    numbers = tf.constant([[1.0, 2, 3, 4], [10, 20, 30, 40]])[..., None]
    first = tf.constant([[False, False, True, False], [True, False, False, False]])
    outputs, (after,) = over_time(adder(), [numbers], first, [tf.constant([[5.0], [7.0]])])
    # 5 + 1, + 2, then 3, + 4; in the other row the 7 is forgotten at once.
    assert outputs[..., 0].numpy().tolist() == [[12, 16, 6, 14], [20, 60, 120, 200]]
    assert after.numpy().tolist() == [[7], [100]]


def test_what_an_episode_left_is_forgotten_even_if_it_is_infinite():
    begins = tf.constant([True])
    outputs, (after,) = one_step(adder(), [tf.ones((1, 1))], begins, [tf.constant([[np.inf]])])
    assert (outputs.numpy().tolist(), after.numpy().tolist()) == ([[2]], [[1]])


@pytest.mark.parametrize("compile_it", [False, True])
def test_gradients_are_those_of_steps_written_out(compile_it):
    policy = from_agent(recurrent_dqn("CartPole-v1", lstm=3))
    model = randomized(policy.model)
    generator = np.random.default_rng(0)
    inputs = tf.constant(generator.normal(size=(2, 5, 4)).astype(np.float32))
    first = tf.constant(generator.integers(0, 2, (2, 5)).astype(bool))
    state = [tf.ones((2, 3)), tf.ones((2, 3))]

    def whole(given):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(over_time(model, [given], first, state)[0]))
        return tape.gradient(loss, model.trainable_variables)

    with tf.GradientTape() as tape:
        rows, now = [], state
        for time in range(5):
            row, now = one_step(model, [inputs[:, time]], first[:, time], now)
            rows.append(row)
        loss = tf.reduce_sum(tf.sin(tf.stack(rows, axis=1)))
    wanted = tape.gradient(loss, model.trainable_variables)
    run = tf.function(whole, jit_compile=True) if compile_it else tf.function(whole)
    for ours, theirs in zip(run(inputs), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_network_acts_as_its_policy_step_by_step_and_in_one_go():
    policy = from_agent(recurrent_dqn("CartPole-v1"))
    network = ModelNetwork(VECTOR, policy)
    network.create_variables()
    rows = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    wanted, states = policy.sequence([rows])
    types = np.full(12, MID, np.int32)
    types[0] = FIRST
    outputs, after = network(rows[None], step_type=types[None], network_state=())
    np.testing.assert_allclose(outputs[0], wanted, atol=1e-6)
    state = tuple(np.full((1, 8), 9.0, np.float32) for _ in range(2))  # of another episode
    for row, kind, each in zip(rows, types, wanted, strict=True):
        output, state = network(row[None], step_type=kind[None], network_state=state)
        np.testing.assert_allclose(output[0], each, atol=1e-6)
    for one, other, last in zip(after, state, states, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        np.testing.assert_allclose(one[0], last[-1], atol=1e-6)


def test_episodes_in_one_sequence_are_the_episodes_alone():
    network = ModelNetwork(VECTOR, from_agent(recurrent_dqn("CartPole-v1")))
    rows = np.random.default_rng(0).normal(size=(1, 9, 4)).astype(np.float32)
    types = np.full((1, 9), MID, np.int32)
    types[0, [0, 4]] = FIRST
    together, _ = network(rows, step_type=types)
    alone = [
        network(rows[:, part], step_type=types[:, part])[0] for part in (slice(4), slice(4, 9))
    ]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-6)
