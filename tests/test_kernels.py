from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from tf_agents.networks import actor_distribution_network, q_network, sequential
from tf_agents.specs import tensor_spec

from tfdrlprune.pruning.kernel_names import named, prunable, without
from tfdrlprune.pruning.kernels import Kernel, find_kernels
from tfdrlprune.recipe import Selection

OBSERVATION = tensor_spec.BoundedTensorSpec((4,), tf.float32, -1, 1)
DISCRETE = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 1)
BOX = tensor_spec.BoundedTensorSpec((2,), tf.float32, -1, 1)


def listed(module):
    return [(kernel.name, kernel.shape) for kernel in find_kernels(module)]


def test_a_q_network_has_its_kernels_in_the_order_of_its_layers():
    network = q_network.QNetwork(OBSERVATION, DISCRETE, fc_layer_params=(8, 6))
    network.create_variables()
    expected = [("dense", (4, 8)), ("dense_1", (8, 6)), ("dense_2", (6, 2))]
    assert listed(network) == expected
    # The names do not depend on what else the process has built.
    again = q_network.QNetwork(OBSERVATION, DISCRETE, fc_layer_params=(8, 6))
    again.create_variables()
    assert listed(again) == expected


def test_a_sequential_network_and_an_actor_have_theirs():
    network = sequential.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(2)])
    network.create_variables(OBSERVATION)
    assert listed(network) == [("dense", (4, 3)), ("dense_1", (3, 2))]
    actor = actor_distribution_network.ActorDistributionNetwork(
        OBSERVATION, BOX, fc_layer_params=(5,)
    )
    actor.create_variables()
    assert listed(actor) == [("dense", (4, 5)), ("means_projection_layer", (5, 2))]


def test_layers_that_preprocess_are_no_obstacle():
    layers = tf.keras.layers
    network = q_network.QNetwork(
        {"camera": tensor_spec.TensorSpec((5, 5, 2), tf.float32), "speed": OBSERVATION},
        DISCRETE,
        fc_layer_params=(8,),
        preprocessing_layers={
            "camera": tf.keras.Sequential([layers.Conv2D(3, 4), layers.Flatten()]),
            "speed": tf.keras.Sequential([layers.Dense(6)]),
        },
        preprocessing_combiner=layers.Concatenate(),
    )
    network.create_variables()
    assert [shape for _, shape in listed(network)] == [(4, 4, 2, 3), (4, 6), (18, 8), (8, 2)]


def test_convolutions_and_recurrent_layers_count_and_embeddings_biases_and_norms_do_not():
    image = tf.keras.Input((8, 8, 3))
    x = tf.keras.layers.Conv2D(4, 3, name="conv")(image)
    x = tf.keras.layers.BatchNormalization()(x)
    x = tf.keras.layers.SeparableConv2D(5, 3, name="separable")(x)
    x = tf.keras.layers.Flatten()(x)
    token = tf.keras.Input((7,))
    y = tf.keras.layers.Embedding(10, 6)(token)
    y = tf.keras.layers.GRU(3, name="gru")(y)
    z = tf.keras.layers.Concatenate()([x, y])
    model = tf.keras.Model([image, token], tf.keras.layers.Dense(2, name="out")(z))
    assert [kernel.name.removeprefix("gru/") for kernel in find_kernels(model)] == [
        "conv",
        "separable/depthwise_kernel",
        "separable/pointwise_kernel",
        "gru_cell",
        "gru_cell/recurrent_kernel",
        "out",
    ]


def test_a_shared_layer_counts_once():
    layer = tf.keras.layers.Dense(4, name="shared")
    source = tf.keras.Input((4,))
    model = tf.keras.Model(source, layer(layer(source)))
    assert listed(model) == [("shared", (4, 4))]


def test_spared_kernels_are_left_out():
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(3, name="first", input_shape=(2,)), tf.keras.layers.Dense(1)]
    )
    kernels = find_kernels(model)
    assert [kernel.name for kernel in without(kernels, "first")] == [kernels[1].name]


def test_an_unknown_name_to_spare_gets_the_nearest_one():
    model = tf.keras.Sequential([tf.keras.layers.Dense(3, name="hidden", input_shape=(2,))])
    with pytest.raises(ValueError, match=r"'hiden'\. Did you mean 'hidden'"):
        without(find_kernels(model), ["hiden"])


def network(*names, number=0):
    return [Kernel(name, tf.ones((2, 2)), network=number) for name in names]


def test_first_and_last_are_those_of_each_network():
    kernels = [*network("a", "b", "c"), *network("d", "e", number=1)]
    assert [kernel.name for kernel in without(kernels, ["first"])] == ["b", "c", "e"]
    assert [kernel.name for kernel in without(kernels, ["first", "last"])] == ["b"]


def test_a_layer_that_is_called_last_goes_before_the_word():
    kernels = network("last", "middle", "end")
    assert [kernel.name for kernel in without(kernels, ["last"])] == ["middle", "end"]


def test_a_layer_stands_for_all_its_kernels_and_a_path_for_one():
    model = tf.keras.Sequential(
        [tf.keras.Input((3, 2)), tf.keras.layers.RNN(tf.keras.layers.LSTMCell(5, name="cell"))]
    )
    kernels = find_kernels(model)
    assert [(kernel.attribute, kernel.gates) for kernel in kernels] == [
        ("kernel", 4),
        ("recurrent_kernel", 4),
    ]
    layer = kernels[0].layer
    assert named(kernels, layer, "to spare") == kernels
    assert named(kernels, f"{layer}/kernel", "to spare") == kernels[:1]
    assert named(kernels, f"{layer}/recurrent_kernel", "to spare") == kernels[1:]


def test_units_of_the_last_layer_are_outputs_and_stay():
    kernels = network("a", "b", "c")
    chosen = prunable(kernels, Selection(granularity="unit", spare=("a",)))
    assert [kernel.name for kernel in chosen] == ["b"]
    chosen = prunable(kernels, Selection(granularity="block:2x2"))
    assert chosen == kernels


def test_a_depthwise_kernel_has_a_column_for_every_filter():
    layer = tf.keras.layers.DepthwiseConv2D(3, depth_multiplier=2, input_shape=(8, 8, 4))
    (kernel,) = find_kernels(tf.keras.Sequential([layer]))
    assert kernel.shape == (3, 3, 4, 2)
    assert kernel.outputs == 8


def test_a_kernel_with_its_outputs_first_is_turned_into_inputs_by_outputs_and_back():
    layer = tf.keras.layers.EinsumDense("ab,cb->ac", 5, bias_axes="c", input_shape=(3,))
    (kernel,) = find_kernels(tf.keras.Sequential([layer]))
    weights = np.arange(15.0).reshape(5, 3)
    assert kernel.outputs == 5
    assert kernel.bias is layer.bias
    np.testing.assert_array_equal(kernel.matrix(weights), weights.T)
    np.testing.assert_array_equal(kernel.from_matrix(weights.T), weights)
    np.testing.assert_array_equal(kernel.from_matrix(weights.T.ravel()), weights)


def test_the_heads_of_attention_are_its_outputs_and_have_no_bias_of_one_number_each():
    layer = tf.keras.layers.EinsumDense(
        "abc,dce->abde", (None, 2, 4), bias_axes="de", input_shape=(6, 3)
    )
    (kernel,) = find_kernels(tf.keras.Sequential([layer]))
    weights = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert kernel.outputs == 8
    assert kernel.bias is None
    np.testing.assert_array_equal(kernel.matrix(weights), weights.transpose(1, 0, 2).reshape(3, 8))
    np.testing.assert_array_equal(kernel.from_matrix(kernel.matrix(weights)), weights)
