"""Group scores by hand, of a small dense network and of groups of several layers."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.structure import scores
from tfdrlprune.structure.graph import groups_of

L = tf.keras.layers


@pytest.fixture
def graph():
    """Two hidden units: column (1, -2) and row (3,); column (0, 4) and row (-1,)."""
    inputs = tf.keras.Input((2,))
    out = L.Dense(1, name="out")(L.Dense(2, name="a")(inputs))
    model = tf.keras.Model(inputs, out)
    model.get_layer("a").set_weights([np.array([[1, 0], [-2, 4]]), np.array([100, 100])])
    model.get_layer("out").set_weights([np.array([[3], [-1]]), np.array([100])])
    return groups_of(model)


@pytest.mark.parametrize(
    ("aggregate", "l1", "l2", "mean"),
    [
        ("sum", [3 + 3, 4 + 1], [5**0.5 + 3, 4 + 1], [1.5 + 3, 2 + 1]),
        ("mean", [3, 2.5], [(5**0.5 + 3) / 2, 2.5], [2.25, 1.5]),
        ("max", [3, 4], [3, 4], [3, 2]),
    ],
)
def test_columns_and_rows_are_scored_and_aggregated(graph, aggregate, l1, l2, mean):
    np.testing.assert_allclose(scores.l1(graph, aggregate)["a"], l1)
    np.testing.assert_allclose(scores.l2(graph, aggregate)["a"], l2)
    np.testing.assert_allclose(scores.mean_magnitude(graph, aggregate)["a"], mean)


def test_taylor_is_what_a_slice_adds_to_the_loss_squared(graph):
    gradients = {
        "a": [np.array([[1, 5], [2, 0.5]]), np.zeros(2)],
        "out": [np.array([[1], [2]]), np.zeros(1)],
    }
    # Columns: 1 - 4 = -3 and 0 + 2; rows: 3 and -2.
    found = scores.taylor(graph, gradients, "sum")
    np.testing.assert_allclose(found["a"], [9 + 9, 4 + 4])
    with pytest.raises(ValueError, match=r"gradient of out/kernel is shaped \(2, 1\).*None"):
        scores.taylor(graph, {"a": gradients["a"]})
    with pytest.raises(ValueError, match=r"out/kernel is shaped \(2, 1\)\. Received: \(1, 2\)"):
        scores.taylor(graph, gradients | {"out": [np.ones((1, 2)), np.zeros(1)]})


def test_activations_are_means_of_absolute_outputs(graph):
    outputs = {"a": np.array([[[1.0, -2], [3, 0]]]), "out": np.ones((3, 1))}
    found = scores.activation(graph, outputs)
    np.testing.assert_allclose(found["a"], [2, 1])
    with pytest.raises(
        ValueError, match=r"activations of a are shaped \(\.\.\., 2\)\. Received: none"
    ):
        scores.activation(graph, {})


def test_an_aggregate_that_is_none_is_refused(graph):
    for score in (scores.l1, scores.l2, scores.mean_magnitude):
        with pytest.raises(ValueError, match="aggregate is one of 'mean', 'max', 'sum'"):
            score(graph, "median")


def test_tied_layers_are_one_score_and_a_recurrent_unit_counts_all_its_gates():
    inputs = tf.keras.Input((2,))
    parts = [L.Dense(1, name="a")(inputs), L.Dense(2, name="b")(inputs)]
    both = L.Add()([L.Concatenate()(parts), L.Dense(3, name="c")(inputs)])
    model = tf.keras.Model(inputs, L.Dense(1, name="out")(both))
    for index, name in enumerate(("a", "b", "c", "out")):
        layer = model.get_layer(name)
        layer.set_weights([np.full(w.shape, index + 1) for w in layer.get_weights()])
    graph = groups_of(model)
    # Unit 0: columns of a (2) and c (6), row of out (4); units 1, 2: columns of b (4) and c.
    np.testing.assert_allclose(scores.l1(graph, "sum")["a"], [12, 14, 14])
    np.testing.assert_allclose(scores.l1(graph, "mean")["a"], [4, 14 / 3, 14 / 3])
    sequence = tf.keras.Input((None, 3))
    recurrent = tf.keras.Model(sequence, L.Dense(1, name="out")(L.LSTM(2, name="r")(sequence)))
    recurrent.set_weights([np.ones(w.shape) for w in recurrent.get_weights()])
    # 3 x 4 in the kernel, 2 x 4 columns and 8 of the row in the recurrent one, 1 in the next.
    np.testing.assert_allclose(scores.l1(groups_of(recurrent), "sum")["r"], [12 + 8 + 8 + 1] * 2)
