from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import recurrent_dqn, recurrent_ppo

from tfdrlprune import policies
from tfdrlprune.compression.narrow import narrowed, trainable_parameters
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.scores import Duel, ExpectedValue
from tfdrlprune.specs import ArraySpec, Head
from tfdrlprune.structure.gated_recurrence import gates_of
from tfdrlprune.structure.gating import gated


def policy(hidden):
    observation = tf.keras.Input((4,), name="observation")
    x = tf.keras.layers.Normalization(mean=[1.0] * 4, variance=[2.0] * 4, name="scale")(observation)
    for index, units in enumerate(hidden):
        x = tf.keras.layers.Dense(units, "relu", name=f"hidden_{index}")(x)
    outputs = tf.keras.layers.Dense(2, name="outputs")(x)
    action = ArraySpec("action", (), "int64", 0, 1)
    spec = ArraySpec("observation", (4,), "float32")
    return Policy(tf.keras.Model(observation, outputs), Head("argmax"), spec, action)


def gates_in(model):
    return [layer for layer in model.layers if getattr(layer, "unit_gate", False)]


def trainable(policy_):
    return sum(np.prod(weight.shape) for weight in policy_.model.trainable_weights)


def test_the_widest_network_that_fits_is_found():
    # 4-w-w-2 has w*w + 8w + 2 parameters: 562 for 20, 611 for 21.
    thin = narrowed(policy((64, 64)), 600)
    assert [layer.units for layer in thin.model.layers if hasattr(layer, "units")] == [20, 20, 2]
    assert trainable(thin) == 562


def test_layers_keep_their_proportions():
    thin = narrowed(policy((80, 40)), 600)
    first, second = (thin.model.get_layer(f"hidden_{index}").units for index in (0, 1))
    assert first == pytest.approx(2 * second, abs=1)
    assert 500 < trainable(thin) <= 600


def test_layers_that_the_outputs_are_summed_up_from_keep_their_units():
    observation = tf.keras.Input((4,), name="observation")
    hidden = tf.keras.layers.Dense(32, "relu", name="hidden")(observation)
    value = tf.keras.layers.Dense(1, name="value")(hidden)
    advantage = tf.keras.layers.Dense(2, name="advantage")(hidden)
    outputs = Duel(name="outputs")([value, advantage])
    spec, action = ArraySpec("observation", (4,), "float32"), ArraySpec("action", (), "int64", 0, 1)
    dueling = Policy(tf.keras.Model(observation, outputs), Head("argmax"), spec, action)
    thin = narrowed(dueling, 100)
    # 5 w for the hidden layer, 3 w + 3 for the rest.
    units = {name: thin.model.get_layer(name).units for name in ("hidden", "value", "advantage")}
    assert units == {"hidden": 12, "value": 1, "advantage": 2}
    logits = tf.keras.layers.Dense(2 * 5, name="logits")(hidden)
    outputs = ExpectedValue(range(5), name="outputs")(logits)
    c51 = Policy(tf.keras.Model(observation, outputs), Head("argmax"), spec, action)
    thin = narrowed(c51, 100)
    # 5 w for the hidden layer, 10 w + 10 for the rest.
    assert [thin.model.get_layer(name).units for name in ("hidden", "logits")] == [6, 10]


def test_the_original_is_left_alone():
    wide = policy((16,))
    before = wide.model.get_weights()
    narrowed(wide, 40)
    for ours, theirs in zip(before, wide.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fewer_parameters_than_one_unit_a_layer_are_refused():
    # 4-1-1-2: 5 + 2 + 4.
    with pytest.raises(ValueError, match=r"at least 11 parameters\. Received: parameters=10"):
        narrowed(policy((8, 8)), 10)
    assert trainable(narrowed(policy((8, 8)), 11)) == 11


@pytest.mark.parametrize(
    "layer",
    [
        tf.keras.layers.SeparableConv2D(16, 2, name="wide"),
        tf.keras.layers.Conv2DTranspose(16, 2, name="wide"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_every_convolution_gets_thinner(layer):
    observation = tf.keras.Input((4, 4, 3), name="observation")
    x = tf.keras.layers.Flatten()(layer(observation))
    outputs = tf.keras.layers.Dense(2, name="outputs")(x)
    spec = ArraySpec("observation", (4, 4, 3), "float32")
    action = ArraySpec("action", (), "int64", 0, 1)
    whole = Policy(tf.keras.Model(observation, outputs), Head("argmax"), spec, action)
    thin = narrowed(whole, trainable(whole) // 2)
    assert thin.model.get_layer("wide").filters < 16
    assert trainable(thin) <= trainable(whole) // 2


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(recurrent_dqn, id="dqn"),
        pytest.param(recurrent_ppo, id="ppo", marks=pytest.mark.slow),
    ],
)
def test_a_recurrent_agents_policy_gets_thinner_with_its_state(make):
    policy = policies.from_agent(make("CartPole-v1", lstm=32))
    dense = trainable_parameters(policy)
    small = narrowed(policy, dense // 10)
    assert 0 < trainable_parameters(small) <= dense // 10
    ((width,), *others) = [spec.shape for spec in small.states]
    assert width < 16
    assert all(shape == (width,) for shape in others)
    outputs = small.batch_outputs([np.zeros((5, 4), np.float32)])
    assert outputs.shape == (5, 2)


@pytest.mark.parametrize("penalty", [None, "l1"])
def test_gates_of_a_narrower_network_are_open(penalty):
    wide = policy((32, 32))
    model = gated(wide.model, penalty).model
    for layer in gates_in(model):
        layer.set_weights([np.zeros_like(each) for each in layer.get_weights()])
    thin = narrowed(wide.replace(model=model), 400)
    assert [layer.units for layer in thin.model.layers if hasattr(layer, "units")][-1] == 2
    assert gates_in(thin.model)
    assert all(layer.is_open().all() for layer in gates_in(thin.model))
    # The normaliser's numbers are taken over.
    np.testing.assert_array_equal(thin.model.get_layer("scale").mean, [[1.0] * 4])


def test_a_gate_in_a_cell_gets_thinner_with_it_and_is_open():
    wide = policies.from_agent(recurrent_dqn("CartPole-v1", lstm=16))
    model = gated(wide.model, "l1").model
    for gate in gates_of(model).values():
        gate.set_open([False] * len(gate.values()))
    thin = narrowed(wide.replace(model=model), trainable_parameters(wide) // 2)
    ((name, gate),) = [each for each in gates_of(thin.model).items() if "lstm" in each[0]]
    assert gate.values().tolist() == [1.0] * thin.states[0].shape[0]
    assert 1 < len(gate.values()) < 16
    assert name in gates_of(model)
