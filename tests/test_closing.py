"""Which gates close by a criterion, worked by hand."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp
from keras_models import randomized

from tfdrlprune.pruning.experience import Recorded
from tfdrlprune.structure.closing import Closing, Gates, functional_with_gates
from tfdrlprune.structure.gates import Gate
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


def two_layers(penalty=None):
    """Returns a gated model 2-4-4-1 whose units have the scores 1, 2, 3, 4 and 4, 3, 2, 1."""
    inputs = tf.keras.Input((2,))
    x = L.Dense(4, "relu", name="a")(inputs)
    x = L.Dense(4, "relu", name="b")(x)
    model = tf.keras.Model(inputs, L.Dense(1, name="out")(x))
    up, down = np.arange(1.0, 5.0), np.arange(4.0, 0.0, -1.0)
    model.get_layer("a").set_weights([np.tile(up, (2, 1)), np.zeros(4)])
    model.get_layer("b").set_weights([np.tile(down, (4, 1)), np.zeros(4)])
    model.get_layer("out").set_weights([down[:, None], np.zeros(1)])
    return gated(model, penalty).model


def opened(model):
    return {
        layer.name: layer.is_open().tolist() for layer in model.layers if hasattr(layer, "gate")
    }


def test_the_lowest_scores_close_and_come_back_with_the_schedule():
    model = two_layers()
    gates = Gates(model)
    gates.close(0.5, Closing(criterion="l1"))
    # a: columns 2, 4, 6, 8; rows of b are alike. b: columns 16, 12, 8, 4.
    assert opened(model) == {
        "a_gate": [False, False, True, True],
        "b_gate": [True, True, False, False],
    }
    assert gates.open_units() == {"a": (2, 4), "b": (2, 4)}
    gates.close(0.25, Closing(criterion="l1"))
    assert opened(model)["a_gate"] == [False, True, True, True]


def test_what_is_left_is_what_shrink_leaves():
    model = two_layers()
    gates = Gates(model)
    # 12 + 20 + 5.
    assert gates.parameters() == (37, 37)
    gates.close(0.5, Closing(criterion="l1"))
    small = shrink(model)
    # 6 + 6 + 3.
    assert gates.parameters() == (15, 37)
    assert small.parameters_after == 15
    assert small.exact


@pytest.mark.parametrize(
    ("closing", "sparsity", "left"),
    [
        (Closing("l1", multiple=3), 0.5, (3, 3)),
        (Closing("l1", least=3), 0.5, (3, 3)),
        (Closing("l1", share="global"), 0.5, (2, 2)),
        # 37 - 25 = 12 is nearest to a quarter of 37, and a quarter of the units each.
        (Closing("l1", of="parameters"), 0.25, (3, 3)),
    ],
)
def test_rounding_and_shares_are_those_of_select(closing, sparsity, left):
    gates = Gates(two_layers())
    gates.close(sparsity, closing)
    assert tuple(count for count, _ in gates.open_units().values()) == left


def test_a_target_network_closes_the_same_gates():
    model, target = two_layers(), two_layers()
    Gates(model, followers=[target]).close(0.5, Closing("l1"))
    assert opened(target) == opened(model)


def test_trained_gates_close_by_what_they_multiply_by_and_stay_closed():
    model = two_layers("l1")
    model.get_layer("a_gate").gate.assign([0.9, 0.0, 0.2, 0.5])
    gates = Gates(model)
    gates.close(0.0, Closing())
    assert opened(model)["a_gate"] == [True, False, True, True]
    gates.close(0.5, Closing())
    assert opened(model)["a_gate"] == [True, False, False, True]
    gates.close(0.0, Closing())
    assert opened(model)["a_gate"] == [True, False, False, True]


def test_trained_gates_that_are_all_zero_keep_the_least_open():
    model = two_layers("l1")
    model.get_layer("a_gate").gate.assign(np.zeros(4))
    Gates(model).close(0.0, Closing(least=2))
    assert sum(opened(model)["a_gate"]) == 2


def test_the_shrinkage_ends_and_begins_again():
    model = two_layers("l1")
    gates = Gates(model)
    gates.shrink(0.0)
    assert float(model.get_layer("a_gate").shrinkage) == 0.0
    gates.shrink(1.0)
    assert float(model.get_layer("a_gate").shrinkage) == np.float32(1e-4)


def test_activations_close_what_never_fires_first():
    model = two_layers()
    kernel = model.get_layer("a").kernel.numpy() * [1, -1, 1, -1]
    model.get_layer("a").kernel.assign(kernel)
    model.compile("sgd", "mse")
    data = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    Gates(model, experience=Recorded(model, data)).close(0.5, Closing("activation"))
    assert opened(model)["a_gate"] == [True, False, True, False]


def test_taylor_closes_what_the_loss_does_not_feel_first():
    model = two_layers()
    # Units of a that b reads by nothing have no gradient.
    kernel = model.get_layer("b").kernel.numpy()
    kernel[[0, 2]] = 0
    model.get_layer("b").kernel.assign(kernel)
    model.compile("sgd", "mse")
    data = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    Gates(model, experience=Recorded(model, data)).close(0.5, Closing("taylor"))
    assert opened(model)["a_gate"] == [False, True, False, True]


def remembering(blind):
    """Returns a gated LSTM of four units; none sees the last, and the first may see nothing."""
    inputs = tf.keras.Input((3, 2))
    x = L.LSTM(4, name="memory")(inputs)
    model = randomized(tf.keras.Model(inputs, L.Dense(1, name="out")(x)))
    layer, out = model.get_layer("memory"), model.get_layer("out")
    kernel, recurrent, bias = layer.get_weights()
    if blind:
        kernel[:, ::4], recurrent[:, ::4], bias[::4] = 0, 0, 0
    recurrent[3] = 0
    layer.set_weights([kernel, recurrent, bias])
    out.set_weights([out.kernel.numpy() * np.float32([1, 1, 1, 0])[:, None], out.bias.numpy()])
    model = gated(model).model
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("criterion", "closed"), [("activation", 0), ("taylor", 3), ("l1", 0), ("mean_magnitude", 0)]
)
def test_units_of_a_cell_close_by_every_criterion(criterion, closed):
    model = remembering(blind=closed == 0)
    data = np.random.default_rng(0).normal(size=(8, 3, 2)), np.ones((8, 1), np.float32)
    gates = Gates(model, experience=Recorded(model, data))
    gates.close(0.25, Closing(criterion, aggregate="max" if criterion == "taylor" else "mean"))
    open_units = [unit for unit in range(4) if unit != closed]
    gate = model.get_layer("memory").gate
    assert np.flatnonzero(gate.is_open()).tolist() == open_units
    small = shrink(model)
    # The last unit is dead by itself, and one that is blind, too.
    whole, without, left = (4 * n * (2 + n + 1) + n + 1 for n in (4, 3, 3 - (closed == 0)))
    assert gates.parameters() == (without, whole)
    assert small.parameters_after == left


def test_criteria_that_need_data_say_so():
    model = two_layers()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"criterion='taylor' needs data: give"):
        Gates(model, experience=Recorded(model, None)).close(0.5, Closing("taylor"))


def test_a_gate_that_is_not_behind_the_units_of_one_group_is_refused():
    inputs = tf.keras.Input((2,))
    both = L.Concatenate()([L.Dense(2, name=name)(inputs) for name in "ab"])
    model = tf.keras.Model(inputs, L.Dense(1)(Gate(name="g")(both)))
    with pytest.raises(ValueError, match="The gate g does not stand behind all units of one group"):
        Gates(model)


def test_gates_outside_a_functional_model_are_refused_with_the_remedy():
    class Mine(tf.Module):
        def __init__(self):
            super().__init__()
            self.gate = Gate(name="g")
            self.gate.build((None, 3))

    with pytest.raises(ValueError, match="The gate g is in no functional Keras model"):
        functional_with_gates(Mine())
    policy = mlp()
    assert functional_with_gates(policy.model) == []
