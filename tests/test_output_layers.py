"""Whose units are a network's outputs; what can't be known is left to `kernel_names`."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.kernel_names import prunable
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.output_layers import output_layers
from tfdrlprune.recipe import Selection

layers = tf.keras.layers


class HeadFirst(tf.keras.Model):
    """Makes its head before its body, so that the order of its weights says nothing."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(2, name="head")
        self.body = layers.Dense(8, name="body")

    def build(self, shape):
        self.head.build((None, 8))
        self.body.build(shape)
        self.built = True

    def call(self, inputs):
        return tf.nn.softmax(self.head(tf.nn.relu(self.body(inputs))))


class Stubborn(HeadFirst):
    """Cannot be called on symbols."""

    def call(self, inputs):
        return super().call(tf.constant(inputs.numpy()))


def nested(inner, shape=(4,)):
    source = tf.keras.Input(shape)
    return tf.keras.Model(source, inner(source))


def ends_of(model):
    return [layer.name for layer in output_layers(model)]


def test_the_end_of_a_nested_model_is_the_end():
    inner = tf.keras.Sequential([layers.Dense(8, input_shape=(4,)), layers.Dense(2, name="end")])
    assert ends_of(nested(inner)) == ["end"]
    two = tf.keras.Input((4,))
    both = tf.keras.Model(two, [layers.Dense(2, name="a")(two), layers.Dense(3, name="b")(two)])
    source = tf.keras.Input((4,))
    first, second = both(source)
    assert ends_of(tf.keras.Model(source, [first, layers.Dense(1, name="c")(second)])) == ["a", "c"]


def test_a_network_around_a_policys_model_ends_where_that_does():
    agent = tp.agents.dqn("CartPole-v1", hidden=(8,), dueling=True)
    policy = tp.policies.from_agent(agent)
    again = tp.agents.dqn("CartPole-v1", policy=policy)
    kernels = find_kernels(again._q_network)
    wanted = [kernel.is_output for kernel in find_kernels(policy.model)]
    assert [kernel.is_output for kernel in kernels] == wanted
    assert sum(wanted) == 2


def test_a_nested_model_without_weights_is_passed_through():
    soft = tf.keras.Sequential([layers.Softmax(input_shape=(2,))])
    assert ends_of(tf.keras.Sequential([layers.Dense(2, name="end", input_shape=(4,)), soft])) == [
        "end"
    ]


def test_wrapped_heads_are_heads():
    source = tf.keras.Input((5, 4))
    body = layers.LSTM(6, return_sequences=True)(source)
    head = layers.TimeDistributed(layers.Dense(3, name="head"))
    model = tf.keras.Model(source, head(body))
    assert ends_of(model) == ["head"]
    assert [k.is_output for k in find_kernels(model)] == [False, False, True]
    both = tf.keras.Model(source, layers.Bidirectional(layers.LSTM(3))(head(body)))
    assert [k.is_output for k in find_kernels(both)] == [
        False,
        False,
        False,
        True,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("known_by", ["a call", "its shape", "the model around it"])
def test_a_subclassed_model_that_makes_its_head_first_keeps_its_outputs(known_by):
    model = HeadFirst()
    if known_by == "a call":
        model(tf.ones((2, 4)))
    elif known_by == "its shape":
        tf.keras.Model.build(model, (None, 4))
    else:
        model = nested(model)
    kernels = prunable(find_kernels(model), Selection(granularity="unit"))
    assert [kernel.name for kernel in kernels] == ["body"]


def test_where_the_end_cannot_be_known_the_layer_made_last_is_taken_for_it():
    model = Stubborn()
    model(tf.ones((2, 4)))
    assert output_layers(model) == []
    kernels = prunable(find_kernels(model), Selection(granularity="unit"))
    assert [kernel.name for kernel in kernels] == ["head"]


def test_looking_leaves_a_model_as_it_was():
    model = HeadFirst()
    before = model(tf.ones((2, 4)))
    names = [weight.name for weight in model.weights]
    assert ends_of(model) == ["head"]
    np.testing.assert_array_equal(model(tf.ones((2, 4))), before)
    assert [weight.name for weight in model.weights] == names


def test_a_model_with_a_head_behind_its_own_model_ends_in_the_head():
    class Headed(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.model = tf.keras.Sequential([layers.Dense(8, name="body", input_shape=(4,))])
            self.head = layers.Dense(2, name="head")

        def call(self, inputs):
            return self.head(self.model(inputs))

    made = Headed()
    made(tf.ones((2, 4)))
    assert ends_of(made) == ["head"]
