"""What goes together: worked by hand for each kind of layer."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import dqn, mlp

from tfdrlprune.policies import from_agent
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.structure.graph import groups_of

from builders import CHOICE, VECTOR  # isort: skip

L = tf.keras.layers


@tf.keras.utils.register_keras_serializable(package="tests")
class Mystery(L.Layer):
    """A layer of a user's own."""

    def call(self, inputs):
        return tf.sin(inputs)


@tf.keras.utils.register_keras_serializable(package="tests")
class Sine(Mystery):
    """One that says what it does."""

    elementwise = True


def graph_of(inputs, *layers, outputs=2):
    """Returns the graph of a chain of layers with a Dense layer at its end."""
    tensor = inputs
    for layer in layers:
        tensor = layer(tensor)
    return groups_of(tf.keras.Model(inputs, L.Dense(outputs, name="out")(tensor)))


def axes(graph, name):
    """Returns the axes of a group, and which of its units each slice is of, -1 for none."""
    group = graph.group(name)
    index = {int(unit): i for i, unit in enumerate(group.units)}
    return {
        (each.role, f"{each.layer}/{each.weight}", each.axis): [
            index.get(int(unit), -1) for unit in each.units
        ]
        for each in group.axes
    }


def test_a_dense_unit_is_a_column_a_bias_and_a_row_of_the_next():
    graph = graph_of(tf.keras.Input((3,)), L.Dense(2, name="a"), L.Dropout(0.5), L.ReLU())
    assert axes(graph, "a") == {
        ("makes", "a/kernel", 1): [0, 1],
        ("makes", "a/bias", 0): [0, 1],
        ("reads", "out/kernel", 0): [0, 1],
    }
    assert graph.group("a").free.all()


def test_the_outputs_stay_and_are_named():
    graph = graph_of(tf.keras.Input((3,)), L.Dense(2, name="a"))
    assert graph.group("out").reasons == ("they are outputs of the model",) * 2
    assert graph.messages() == ("out: 2 of 2 units stay: they are outputs of the model.",)


def test_a_flattened_filter_is_a_row_for_every_pixel():
    graph = graph_of(tf.keras.Input((2, 4, 1)), L.Conv2D(2, 2, name="c"), L.Flatten())
    # 1 x 3 pixels of 2 channels, channels last.
    assert axes(graph, "c") == {
        ("makes", "c/kernel", 3): [0, 1],
        ("makes", "c/bias", 0): [0, 1],
        ("reads", "out/kernel", 0): [0, 1, 0, 1, 0, 1],
    }


def test_permuted_pixels_are_rows_in_another_order():
    graph = graph_of(
        tf.keras.Input((2, 4, 1)), L.Conv2D(2, 2, name="c"), L.Permute((3, 1, 2)), L.Flatten()
    )
    assert axes(graph, "c")[("reads", "out/kernel", 0)] == [0, 0, 0, 1, 1, 1]


def test_normalisation_padding_pooling_and_depthwise_filters_follow_the_channel():
    graph = graph_of(
        tf.keras.Input((6, 6, 1)),
        L.Conv2D(2, 3, name="c"),
        L.BatchNormalization(name="n"),
        L.ZeroPadding2D(1),
        L.MaxPooling2D(2),
        L.DepthwiseConv2D(3, depth_multiplier=2, name="d"),
        L.PReLU(shared_axes=[1, 2], name="p"),
        L.GlobalAveragePooling2D(),
    )
    found = axes(graph, "c")
    for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
        assert found[("follows", f"n/{weight}", 0)] == [0, 1]
    assert found[("follows", "d/depthwise_kernel", 2)] == [0, 1]
    assert found[("follows", "d/bias", 0)] == [0, 0, 1, 1]
    assert found[("follows", "p/alpha", 2)] == [0, 0, 1, 1]
    assert found[("reads", "out/kernel", 0)] == [0, 0, 1, 1]


def test_a_separable_convolution_reads_in_both_kernels():
    graph = graph_of(
        tf.keras.Input((6, 1)),
        L.Conv1D(2, 3, name="c"),
        L.SeparableConv1D(3, 2, depth_multiplier=2, name="s"),
        L.GlobalMaxPooling1D(),
    )
    found = axes(graph, "c")
    assert found[("reads", "s/depthwise_kernel", 1)] == [0, 1]
    assert found[("reads", "s/pointwise_kernel", 1)] == [0, 0, 1, 1]
    assert axes(graph, "s") == {
        ("makes", "s/pointwise_kernel", 2): [0, 1, 2],
        ("makes", "s/bias", 0): [0, 1, 2],
        ("reads", "out/kernel", 0): [0, 1, 2],
    }


@pytest.mark.parametrize(
    ("kind", "gates", "bias_axis"), [("LSTM", 4, 0), ("GRU", 3, 1), ("SimpleRNN", 1, 0)]
)
def test_a_recurrent_unit_has_columns_in_every_gate_and_a_row_of_its_own(kind, gates, bias_axis):
    graph = graph_of(tf.keras.Input((None, 3)), getattr(L, kind)(2, name="r"))
    assert axes(graph, "r") == {
        ("makes", "r/kernel", 1): [0, 1] * gates,
        ("reads", "r/recurrent_kernel", 0): [0, 1],
        ("makes", "r/recurrent_kernel", 1): [0, 1] * gates,
        ("makes", "r/bias", bias_axis): [0, 1] * gates,
        ("reads", "out/kernel", 0): [0, 1],
    }


def test_concatenated_units_lie_side_by_side():
    inputs = tf.keras.Input((3,))
    parts = [L.Dense(2, name="a")(inputs), inputs, L.Dense(1, name="b")(inputs)]
    graph = graph_of(inputs, lambda _: L.Concatenate()(parts))
    assert axes(graph, "a")[("reads", "out/kernel", 0)] == [0, 1, -1, -1, -1, -1]
    assert axes(graph, "b")[("reads", "out/kernel", 0)] == [-1, -1, -1, -1, -1, 0]


@pytest.mark.parametrize("kind", ["Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract"])
def test_merged_units_go_together(kind):
    inputs = tf.keras.Input((3,))
    parts = [L.Dense(2, name="a")(inputs), L.Dense(2, name="b")(inputs)]
    graph = graph_of(inputs, lambda _: getattr(L, kind)()(parts))
    group = graph.group("b")
    assert (group.name, group.layers) == ("a", ("a", "b"))
    assert axes(graph, "a")[("makes", "b/kernel", 1)] == [0, 1]
    assert axes(graph, "a")[("reads", "out/kernel", 0)] == [0, 1]


def test_a_sum_with_a_concatenation_ties_its_parts():
    inputs = tf.keras.Input((3,))
    both = L.Concatenate()([L.Dense(1, name="a")(inputs), L.Dense(2, name="b")(inputs)])
    graph = graph_of(inputs, lambda _: L.Add()([both, L.Dense(3, name="c")(inputs)]))
    assert graph.group("c").layers == ("a", "b", "c")
    found = axes(graph, "c")
    assert found[("makes", "a/kernel", 1)] == [0]
    assert found[("makes", "b/kernel", 1)] == [1, 2]
    assert found[("makes", "c/kernel", 1)] == [0, 1, 2]


def test_a_sum_with_an_input_stays():
    inputs = tf.keras.Input((3,), name="x")
    graph = graph_of(inputs, lambda _: L.Add()([L.Dense(3, name="a")(inputs), inputs]))
    assert graph.group("a").reasons == ("the model's input x holds them",) * 3


def test_a_gate_of_one_channel_stays_and_ties_nothing():
    inputs = tf.keras.Input((3,))
    parts = [L.Dense(4, name="a")(inputs), L.Dense(1, activation="sigmoid", name="gate")(inputs)]
    graph = graph_of(inputs, lambda _: L.Multiply(name="times")(parts))
    assert graph.group("gate").reasons == ("times spreads it over all channels",)
    assert graph.group("a").layers == ("a",)
    assert graph.group("a").free.all()


def test_a_layer_that_is_called_twice_ties_what_it_reads():
    inputs = [tf.keras.Input((3,)), tf.keras.Input((3,))]
    shared = L.Dense(2, name="shared")
    parts = [shared(L.Dense(4, name=name)(each)) for name, each in zip("ab", inputs, strict=True)]
    out = L.Dense(2, name="out")(L.Concatenate()(parts))
    graph = groups_of(tf.keras.Model(inputs, out))
    assert graph.group("a").layers == ("a", "b")
    assert axes(graph, "shared")[("reads", "out/kernel", 0)] == [0, 1, 0, 1]


def test_units_reshaped_to_time_steps_go_by_the_row():
    graph = graph_of(
        tf.keras.Input((3,)), L.Dense(6, name="a"), L.Reshape((2, 3)), L.LSTM(2, name="r")
    )
    # Row j of the LSTM's kernel reads units j and 3 + j, one at each step.
    assert len(graph.group("a").units) == 3
    assert graph.group("a").free.all()
    assert axes(graph, "a")[("makes", "a/kernel", 1)] == [0, 1, 2, 0, 1, 2]
    assert axes(graph, "a")[("reads", "r/kernel", 0)] == [0, 1, 2]


def test_units_along_another_axis_stay_where_a_layer_slides_over_them():
    graph = graph_of(
        tf.keras.Input((3,)),
        L.Dense(6, name="a"),
        L.Reshape((6, 1)),
        L.Conv1D(2, 3, name="slide"),
        L.Flatten(),
    )
    reason = "slide reads its units along another axis than the last"
    assert set(graph.group("a").reasons) == {reason}
    assert graph.group("slide").free.all()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (L.LayerNormalization(name="n"), "a LayerNormalization takes sums over all of them"),
        (L.Softmax(name="n"), "a Softmax takes sums over all of them"),
        (L.Activation("softmax", name="n"), "its activation softmax is not known"),
        (Mystery(name="n"), "a Mystery is not known here"),
    ],
)
def test_what_mixes_units_or_is_unknown_keeps_its_neighbours_by_name(layer, reason):
    graph = graph_of(tf.keras.Input((3,)), L.Dense(4, name="a"), layer, L.Dense(3, name="b"))
    assert all(why.startswith(f"n reads them, and {reason}") for why in graph.group("a").reasons)
    assert graph.group("b").free.all()
    assert any("a: 4 of 4 units stay: n reads them" in message for message in graph.messages())


def test_an_activation_over_units_inside_a_layer_keeps_it_whole():
    graph = graph_of(tf.keras.Input((3,)), L.Dense(4, name="a"), L.Dense(3, "softmax", name="b"))
    assert set(graph.group("a").reasons) == {
        "b reads them, and its activation softmax is not known to take each unit on its own"
    }
    with pytest.raises(ValueError, match=r"Received: 'b'.*Layers: a, out"):
        graph.group("b")


def test_a_layer_of_ones_own_says_that_it_is_elementwise():
    graph = graph_of(tf.keras.Input((3,)), L.Dense(4, name="a"), Sine())
    assert axes(graph, "a")[("reads", "out/kernel", 0)] == [0, 1, 2, 3]


def test_a_dueling_policy_shares_a_trunk_and_keeps_its_heads():
    network = DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=(6, 5))
    graph = groups_of(from_agent(dqn(network)).model)
    free = {group.name: int(group.free.sum()) for group in graph.groups}
    assert free == {
        "dense": 6,
        "value_hidden": 5,
        "advantage_hidden": 5,
        "value": 0,
        "advantage": 0,
    }
    assert axes(graph, "dense")[("reads", "value_hidden/kernel", 0)] == list(range(6))
    assert axes(graph, "dense")[("reads", "advantage_hidden/kernel", 0)] == list(range(6))


def test_several_heads_read_the_shared_trunk():
    inputs = tf.keras.Input((3,))
    trunk = L.Dense(4, name="trunk")(inputs)
    heads = [L.Dense(2, name="mean")(trunk), L.Dense(2, name="std", activation="softplus")(trunk)]
    graph = groups_of(tf.keras.Model(inputs, heads))
    found = axes(graph, "trunk")
    assert found[("reads", "mean/kernel", 0)] == found[("reads", "std/kernel", 0)] == [0, 1, 2, 3]
    assert not graph.group("std").free.any()


def test_shapes_and_parameters_are_those_of_the_smaller_model():
    graph = groups_of(mlp(sizes=(4, 16, 8)).model)
    assert graph.parameters() == 4 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3
    removed = np.concatenate([graph.group("hidden_0").units[:6], graph.group("hidden_1").units[:1]])
    assert graph.shapes(removed)["hidden_1"] == [(10, 7), (7,)]
    assert graph.parameters(removed) == 4 * 10 + 10 + 10 * 7 + 7 + 7 * 3 + 3


def test_a_name_that_is_none_is_refused_with_the_nearest():
    graph = groups_of(mlp().model)
    with pytest.raises(ValueError, match=r"Received: 'hidden_o'\. Did you mean 'hidden_\d'"):
        graph.group("hidden_o")


def test_a_model_that_is_not_functional_is_refused():
    class Own(tf.keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(TypeError, match=r"functional Keras model.*Received: Own\."):
        groups_of(Own())
