"""Which units are selected, by hand."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp

from tfdrlprune.structure.costs import multiply_adds, savings
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.selection import select
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


@pytest.fixture
def graph():
    """4-8-4-3: 40 + 36 + 15 = 91 parameters."""
    return groups_of(mlp(sizes=(4, 8, 4)).model)


SCORES = {
    "hidden_0": np.array([8.0, 1, 7, 2, 6, 3, 5, 4]),
    "hidden_1": np.array([0.4, 0.1, 0.3, 0.2]),
    "outputs": np.zeros(3),
}


def listed(chosen):
    return {name: list(indices) for name, indices in chosen.items()}


def test_every_layer_loses_the_same_fraction_lowest_first(graph):
    chosen = select(graph, SCORES, 0.5)
    assert listed(chosen) == {"hidden_0": [1, 3, 5, 7], "hidden_1": [1, 3]}
    assert select(graph, SCORES, 0.0) == {}


def test_of_equal_scores_the_first_go_and_the_best_stays(graph):
    equal = {name: np.ones(len(score)) for name, score in SCORES.items()}
    assert listed(select(graph, equal, 0.99)) == {
        "hidden_0": [1, 2, 3, 4, 5, 6, 7],
        "hidden_1": [1, 2, 3],
    }


def test_global_compares_scores_over_the_mean_of_their_group(graph):
    # Over the means 4.5 and 0.25: 0.22 0.44 0.67 0.89 ... against 0.4 0.8 1.2 1.6.
    chosen = select(graph, SCORES, 4 / 12, share="global")
    assert listed(chosen) == {"hidden_0": [1, 3, 5], "hidden_1": [1]}


def test_latency_takes_what_saves_most_for_its_score(graph):
    # A unit of hidden_0 saves 4 + 4 multiply-adds, of hidden_1 8 + 3.
    saved = savings(graph)
    assert (list(saved["hidden_0"]), list(saved["hidden_1"])) == ([8] * 8, [11] * 4)
    # Per multiply-add: 0.028 0.056 0.083 0.111 against 0.036 0.073 0.109.
    assert listed(select(graph, SCORES, 5 / 12, share="latency")) == {
        "hidden_0": [1, 3, 5],
        "hidden_1": [1, 3],
    }
    assert listed(select(graph, SCORES, 5 / 12, share="global")) == {
        "hidden_0": [1, 3, 5],
        "hidden_1": [1, 3],
    }
    assert listed(select(graph, SCORES, 2 / 12, share="latency")) == {
        "hidden_0": [1],
        "hidden_1": [1],
    }


def test_a_fraction_of_parameters_is_met_to_the_nearest_unit(graph):
    # Of 91: 4-4-2-3 has 20 + 10 + 9 = 39, so that 52 go; 4-5-2-3 has 46, 4-4-3-3 has 47.
    chosen = select(graph, SCORES, 52 / 91, of="parameters")
    assert listed(chosen) == {"hidden_0": [1, 3, 5, 7], "hidden_1": [1, 3]}
    assert shrink(mlp(sizes=(4, 8, 4)).model, chosen).parameters_after == 39
    # 4-1-1-3 has 5 + 2 + 6 = 13.
    with pytest.raises(ValueError, match=r"At most 0\.857 of the parameters can go.*sparsity=0\.9"):
        select(graph, SCORES, 0.9, of="parameters")


def test_widths_are_rounded_up_to_a_multiple_and_the_best_come_back(graph):
    assert listed(select(graph, SCORES, 0.6, multiple=4)) == {"hidden_0": [1, 3, 5, 7]}
    # 5 of 8 and 2 of 4 are to go: 3 stay, and 2 rounded up to 3.
    assert listed(select(graph, SCORES, 0.6, multiple=3)) == {
        "hidden_0": [1, 3, 5, 6, 7],
        "hidden_1": [1],
    }
    assert select(graph, SCORES, 0.9, multiple=8) == {}


def test_units_that_may_not_go_and_one_of_every_layer_stay():
    inputs = tf.keras.Input((2,))
    both = L.Concatenate()([L.Dense(1, name="a")(inputs), L.Dense(2, name="b")(inputs)])
    total = L.Add()([both, L.Dense(3, name="c")(inputs)])
    normal = L.LayerNormalization()(L.Dense(4, name="d")(total))
    graph = groups_of(tf.keras.Model(inputs, L.Dense(1, name="out")(normal)))
    scores = {"a": np.array([0.0, 2, 1]), "d": np.zeros(4), "out": np.zeros(1)}
    assert listed(select(graph, scores, 0.9)) == {"a": [2]}


def test_multiply_adds_are_counted_at_every_place():
    inputs = tf.keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, strides=2, padding="same", name="a")(inputs)  # 3 x 3 places
    x = L.SeparableConv2D(5, 2, name="b")(x)  # 2 x 2
    x = L.Reshape((4, 5))(x)
    x = L.GRU(3, name="r")(x)  # 4 steps
    graph = groups_of(tf.keras.Model(inputs, L.Dense(2, name="out")(x)))
    parts = (9 * 2 * 4 * 9, (4 * 4 + 4 * 5) * 4, (5 * 9 + 3 * 9) * 4, 3 * 2)
    assert multiply_adds(graph) == sum(parts)
    gone = graph.group("a").units[:1]
    assert multiply_adds(graph, gone) == sum(parts) - 9 * 2 * 9 - (4 + 5) * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sparsity": 50}, r"in \[0, 1\)\. Received: sparsity=50"),
        ({"share": "erk"}, "share is one of 'layer', 'global', 'latency'"),
        ({"of": "bytes"}, "of is one of 'units', 'parameters'"),
        ({"multiple": 0}, "multiple is at least 1"),
        ({"multiple": 1.5}, "multiple is a whole number"),
        ({"scores": {"hidden_0": np.ones(8)}}, "Scores of hidden_1 are 4 finite numbers.*none"),
        ({"scores": SCORES | {"hidden_1": [1, 2, 3, np.nan]}}, "Scores of hidden_1"),
    ],
)
def test_arguments_out_of_range_are_refused(graph, change, message):
    arguments = {"scores": SCORES, "sparsity": 0.5} | change
    with pytest.raises(ValueError, match=message):
        select(graph, **arguments)
