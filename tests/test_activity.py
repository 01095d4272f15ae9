"""What units put out, and who reads them, in networks of many kinds."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from tf_agents.networks import q_network
from tf_agents.specs import tensor_spec

from tfdrlprune.pruning.activity import measure, readers
from tfdrlprune.pruning.kernels import find_kernels

L = tf.keras.layers


def visiting(model, *shape, rows=5):
    seen = np.random.default_rng(0).normal(size=(rows, *shape)).astype("float32")
    return lambda: model(seen)


def found(model, visit):
    """Returns {kernel: {reader: units of its inputs}}."""
    kernels = find_kernels(model)
    return {
        kernel.name: {kernels[other].name: channels.tolist() for other, channels in own}
        for kernel, own in zip(kernels, readers(kernels, visit), strict=True)
    }


def test_activity_is_worked_by_hand():
    model = tf.keras.Sequential([L.Dense(3, "relu", name="d", input_shape=(1,)), L.Dense(1)])
    model.layers[0].set_weights([np.array([[1.0, -2.0, 0.0]]), np.array([0.0, 0.0, 0.5])])
    first, _ = measure(find_kernels(model), lambda: model(np.array([[1.0], [-1.0], [3.0]])))
    # Outputs are 1, 0, 3; 0, 2, 0; and 0.5 three times.
    np.testing.assert_allclose(first.mean, [4 / 3, 2 / 3, 0.5])
    np.testing.assert_allclose(first.active, [2 / 3, 1 / 3, 1.0])


def test_a_filter_is_measured_over_all_places_and_layers_are_left_as_they_were():
    model = tf.keras.Sequential([L.Conv2D(2, 1, input_shape=(2, 2, 1), use_bias=False)])
    model.layers[0].set_weights([np.array([[[[1.0, -1.0]]]])])
    image = np.array([[[[1.0], [2.0]], [[0.0], [-5.0]]]])
    (only,) = measure(find_kernels(model), lambda: model(image))
    np.testing.assert_allclose(only.mean, [2.0, 2.0])
    np.testing.assert_allclose(only.active, [0.75, 0.75])
    assert "call" not in vars(model.layers[0])


def test_a_layer_that_is_not_called_is_named():
    model = tf.keras.Sequential([L.Dense(2, name="one", input_shape=(1,)), L.Dense(2, name="two")])
    with pytest.raises(ValueError, match="The units of two are not what a layer"):
        measure(find_kernels(model), lambda: model.layers[0](np.ones((1, 1))))


def test_a_chain_is_read_by_the_next_layer_only():
    model = tf.keras.Sequential(
        [
            L.Dense(3, name="a", input_shape=(2,)),
            L.BatchNormalization(),
            L.ReLU(),
            L.Dense(2, name="b"),
            L.Dense(1, name="c"),
        ]
    )
    assert found(model, visiting(model, 2, rows=2)) == {
        "a": {"b": [0, 1, 2]},
        "b": {"c": [0, 1]},
        "c": {},
    }


def test_a_flattened_filter_feeds_every_input_that_is_one_of_its_places():
    model = tf.keras.Sequential(
        [
            L.Conv2D(2, 2, name="a", input_shape=(5, 5, 1)),
            L.MaxPooling2D(2),
            L.Conv2D(3, 2, name="b"),
            L.Flatten(),
            L.Dense(1, name="c"),
        ]
    )
    assert found(model, visiting(model, 5, 5, 1)) == {
        "a": {"b": [0, 1] * 4},
        "b": {"c": [0, 1, 2]},
        "c": {},
    }


def test_branches_and_concatenations_are_followed():
    x = tf.keras.Input((2,))
    a, b = L.Dense(2, name="a")(x), L.Dense(1, name="b")(x)
    both = L.Concatenate()([a, b])
    model = tf.keras.Model(x, [L.Dense(1, name="c")(both), L.Dense(1, name="d")(a)])
    assert found(model, visiting(model, 2)) == {
        "a": {"c": [0, 1, -1], "d": [0, 1]},
        "b": {"c": [-1, -1, 0]},
        "c": {},
        "d": {},
    }


def test_separable_and_recurrent_layers_are_followed():
    x = tf.keras.Input((4, 3))
    separable = L.SeparableConv1D(2, 2, depth_multiplier=2, name="b")
    y = separable(L.Dense(3, name="a")(x))
    model = tf.keras.Model(x, L.Dense(1, name="d")(L.LSTM(5, name="c")(y)))
    assert found(model, visiting(model, 4, 3, rows=2)) == {
        "a": {"b/pointwise_kernel": [0, 0, 1, 1, 2, 2]},
        "b/depthwise_kernel": {},
        "b/pointwise_kernel": {"lstm_cell": [0, 1]},
        "lstm_cell": {"d": [0, 1, 2, 3, 4]},
        "lstm_cell/recurrent_kernel": {"d": [0, 1, 2, 3, 4]},
        "d": {},
    }


def test_a_network_of_tf_agents_is_followed_from_its_preprocessing_on():
    network = q_network.QNetwork(
        tensor_spec.BoundedTensorSpec((4, 4, 1), tf.float32, 0, 1),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, 1),
        conv_layer_params=[(2, 3, 1)],
        fc_layer_params=(3,),
    )
    network.create_variables()
    assert found(network, visiting(network, 4, 4, 1)) == {
        "conv2d": {"dense": [0, 1] * 4},
        "dense": {"dense_1": [0, 1, 2]},
        "dense_1": {},
    }
