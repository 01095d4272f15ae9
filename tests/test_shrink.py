"""The smaller model gives what the masked one gives, and is as small as was said."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, dqn, forward, mlp, ppo
from keras_models import batch_of, chain, randomized

from tfdrlprune.policies import from_agent
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


def masked(model, name, unit, gates=1):
    """Returns the outputs of a model with a unit of a layer closed by hand, and puts it back."""
    layer = model.get_layer(name)
    before = layer.get_weights()
    after = [weight.copy() for weight in before]
    for weight in after:
        weight[..., unit :: weight.shape[-1] // gates] = 0
    layer.set_weights(after)
    batch = batch_of(model)
    outputs = model(batch).numpy()
    layer.set_weights(before)
    return batch, outputs


def test_a_dense_network_loses_columns_and_rows_by_hand():
    policy = mlp(sizes=(4, 3, 2))
    first, second, last = (layer.get_weights() for layer in policy.model.layers[1:])
    small = shrink(policy.model, {"hidden_0": [1], "hidden_1": [0]})
    wanted = [
        *(first[0][:, [0, 2]], first[1][[0, 2]]),
        *(second[0][[0, 2]][:, [1]], second[1][[1]]),
        *(last[0][[1]], last[1]),
    ]
    for ours, theirs in zip(small.model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert small.widths == {"hidden_0": (3, 2), "hidden_1": (2, 1)}
    assert {k: list(v) for k, v in small.removed.items()} == {"hidden_0": [1], "hidden_1": [0]}
    # 4-3-2-3: 15 + 8 + 9; 4-2-1-3: 10 + 3 + 6.
    assert (small.parameters_before, small.parameters_after) == (32, 19)
    assert small.exact
    batch = batch_of(policy.model)
    np.testing.assert_allclose(
        policy.replace(model=small.model).outputs(batch),
        forward(policy.replace(model=small.model), batch),
        atol=1e-5,
    )


def test_the_model_that_was_given_is_left_alone():
    policy = mlp()
    before = policy.model.get_weights()
    shrink(policy.model, {"hidden_0": [0, 1]})
    for ours, theirs in zip(policy.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_zeros_that_go_change_no_bit_where_sums_are_exact():
    # Sums of small whole numbers are exact in any order; of others the order may show in the last
    # bits, because a shorter sum is split among vector registers in another way.
    model = mlp(sizes=(6, 32, 16)).model
    generator = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(generator.integers(-3, 4, variable.shape))
    observations = generator.integers(-9, 10, (500, 6)).astype(np.float32)
    small = shrink(model, {"hidden_0": range(0, 32, 3), "hidden_1": [5]}, observations)
    batch, wanted = observations, None
    masks = {"hidden_0": range(0, 32, 3), "hidden_1": [5]}
    for name, units in masks.items():
        layer = model.get_layer(name)
        kernel, bias = layer.get_weights()
        kernel[:, list(units)] = 0
        bias[list(units)] = 0
        layer.set_weights([kernel, bias])
    wanted = model(batch).numpy()
    assert small.exact
    np.testing.assert_array_equal(small.model(batch).numpy(), wanted)
    assert np.abs(wanted).max() > 100


def test_what_a_closed_unit_puts_out_moves_into_the_next_bias():
    # Sigmoid at zero is 0.5: the next bias gains half the unit's row.
    model = chain(tf.keras.Input((3,)), L.Dense(2, "sigmoid", name="a"), L.Dense(2, name="b"))
    kernel, bias = model.get_layer("b").get_weights()
    small = shrink(model, {"a": [1]})
    np.testing.assert_allclose(
        small.model.get_layer("b").get_weights()[1], bias + 0.5 * kernel[1], rtol=1e-6
    )
    assert not small.exact
    batch, wanted = masked(model, "a", 1)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)


def test_a_layer_without_a_bias_gets_one_to_take_a_constant():
    model = chain(
        tf.keras.Input((3,)),
        L.Dense(2, "sigmoid", name="a"),
        L.Dense(2, use_bias=False, name="b"),
    )
    kernel = model.get_layer("b").get_weights()[0]
    small = shrink(model, {"a": [0]})
    np.testing.assert_allclose(small.model.get_layer("b").get_weights()[1], 0.5 * kernel[0])
    # 3-2-2: 8 + 4; 3-1-2: 4 + 2, and 2 of the new bias.
    assert (small.parameters_before, small.parameters_after) == (12, 8)


@pytest.mark.parametrize(
    ("window", "padding", "activation", "stays"),
    [
        (3, "valid", "sigmoid", False),
        (3, "same", "relu", False),
        (3, "same", "sigmoid", True),
        (1, "same", "sigmoid", False),  # a window of one pixel sees no border
    ],
)
def test_a_constant_beside_padding_stays_unless_it_is_zero(window, padding, activation, stays):
    model = chain(
        tf.keras.Input((5, 5, 1)),
        L.Conv2D(3, 2, activation=activation, name="a"),
        L.Conv2D(2, window, padding=padding, name="b"),
        L.Flatten(),
        L.Dense(2, name="out"),
    )
    small = shrink(model, {"a": [1]})
    assert ("a" not in small.widths) == stays
    told = [message for message in small.messages if message.startswith("a: unit 1 stays closed")]
    assert len(told) == len(small.kept) == stays
    batch, wanted = masked(model, "a", 1)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
@pytest.mark.parametrize("sequences", [True, False])
def test_a_recurrent_unit_goes_from_every_gate(kind, gates, sequences):
    layer = getattr(L, kind)(4, return_sequences=sequences, name="r")
    model = chain(tf.keras.Input((None, 3)), layer, L.Dense(2, name="out"))
    small = shrink(model, {"r": [1]})
    assert small.widths == {"r": (4, 3)}
    assert small.exact
    batch, wanted = masked(model, "r", 1, gates)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)
    kernel = model.get_layer("r").get_weights()[0].reshape(3, gates, 4)
    np.testing.assert_array_equal(
        small.model.get_layer("r").get_weights()[0].reshape(3, gates, 3), kernel[..., [0, 2, 3]]
    )


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_constant_that_a_recurrent_layer_reads_moves_into_its_bias(kind):
    model = chain(
        tf.keras.Input((4, 3)),
        L.Dense(3, "sigmoid", name="a"),
        getattr(L, kind)(4, name="r"),
        L.Dense(2, name="out"),
    )
    small = shrink(model, {"a": [2]})
    assert small.widths == {"a": (3, 2)}
    batch, wanted = masked(model, "a", 2)
    np.testing.assert_allclose(small.model(batch), wanted, atol=1e-5)


def test_a_recurrent_unit_that_is_not_still_when_closed_stays():
    # exp(0) is 1, and the state begins at 0.
    model = chain(
        tf.keras.Input((4, 3)), L.SimpleRNN(3, "sigmoid", name="r"), L.Dense(2, name="out")
    )
    small = shrink(model, {"r": [0]})
    assert small.widths == {}
    told = "r: unit 0 stays closed: what it puts out even so is not the same everywhere."
    assert told in small.messages
    assert {k: list(v) for k, v in small.kept.items()} == {"r": [0]}


def residual():
    inputs = tf.keras.Input((8, 8, 2))
    x = L.Conv2D(6, 3, padding="same", name="stem")(inputs)
    for block in "ab":
        y = L.BatchNormalization()(x)
        y = L.Conv2D(4, 3, padding="same", use_bias=False, name=f"{block}_1")(L.ReLU()(y))
        y = L.BatchNormalization()(y)
        y = L.Conv2D(6, 3, padding="same", name=f"{block}_2")(L.ReLU()(y))
        x = L.Add()([x, y])
    x = L.Flatten()(L.MaxPooling2D()(x))
    return randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(x)))


def test_a_residual_stream_loses_a_unit_of_every_block():
    small = shrink(residual(), {"stem": [0, 5], "b_1": [2]})
    assert small.widths == {"stem": (6, 4), "a_2": (6, 4), "b_1": (4, 3), "b_2": (6, 4)}
    assert small.model.get_layer("out").kernel.shape == (4 * 4 * 4, 2)
    assert small.exact
    assert small.deviation < 1e-5


def test_concatenated_and_flattened_filters_go_with_their_pixels():
    inputs = tf.keras.Input((4, 4, 1))
    parts = [L.Conv2D(2, 2, name=name)(inputs) for name in "ab"]
    flat = L.Flatten()(L.Concatenate()(parts))
    model = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(flat)))
    kernel = model.get_layer("out").get_weights()[0].reshape(9, 4, 2)
    small = shrink(model, {"a": [1], "b": [0]})
    np.testing.assert_array_equal(
        small.model.get_layer("out").get_weights()[0].reshape(9, 2, 2), kernel[:, [0, 3]]
    )


def test_a_reshape_to_steps_gets_its_new_shape():
    model = chain(
        tf.keras.Input((3,)),
        L.Dense(6, name="a"),
        L.Reshape((2, 3)),
        L.LSTM(2, name="r"),
        L.Dense(2, name="out"),
    )
    small = shrink(model, {"a": [1]})
    assert small.widths == {"a": (6, 4)}
    assert small.model.layers[2].target_shape == (2, 2)


def test_a_layer_that_is_called_twice_takes_no_constant():
    inputs = tf.keras.Input((3,))
    a, b = L.Dense(2, "sigmoid", name="a"), L.Dense(2, name="b")
    shared = L.Dense(2, name="shared")
    out = L.Concatenate()([shared(a(inputs)), shared(b(inputs))])
    model = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(out)))
    small = shrink(model, {"a": [0]})
    assert small.widths == {}
    told = "a: unit 0 stays closed: no bias of shared can stand for the constant"
    assert any(message.startswith(told) for message in small.messages)


def test_an_encoder_and_a_decoder_share_units_through_the_state():
    inputs = tf.keras.Input((None, 3))
    encoded, *state = L.LSTM(4, return_state=True, name="encoder")(inputs)
    decoded = L.LSTM(4, name="decoder")(inputs, initial_state=state)
    out = L.Dense(2, name="out")(L.Concatenate()([encoded, decoded]))
    small = shrink(randomized(tf.keras.Model(inputs, out)), {"encoder": [2]})
    assert small.widths == {"encoder": (4, 3), "decoder": (4, 3)}


def test_a_state_that_is_an_input_keeps_its_units():
    inputs = [tf.keras.Input((None, 3)), tf.keras.Input((4,), name="state")]
    hidden, state = L.GRU(4, return_state=True, name="r")(inputs[0], initial_state=inputs[1])
    model = randomized(tf.keras.Model(inputs, [L.Dense(2, name="out")(hidden), state]))
    with pytest.raises(ValueError, match="Unit 0 of r cannot go: the model's input state holds"):
        shrink(model, {"r": [0]})


def test_a_sequential_model_and_named_inputs_and_outputs_come_back_as_they_were():
    layers = [tf.keras.Input((3,)), L.Dense(4, name="a"), L.Dense(2, name="out")]
    assert shrink(randomized(tf.keras.Sequential(layers)), {"a": [0]}).widths == {"a": (4, 3)}
    inputs = {"x": tf.keras.Input((3,), name="x")}
    trunk = L.Dense(4, name="trunk")(inputs["x"])
    outputs = {"mean": L.Dense(2, name="mean")(trunk), "std": L.Dense(1, name="std")(trunk)}
    model = randomized(tf.keras.Model(inputs, outputs))
    small = shrink(model, {"trunk": [1]}, {"x": np.ones((2, 3))}).model
    assert small.output_names == ["mean", "std"]
    assert {k: v.shape[1] for k, v in small({"x": np.ones((5, 3))}).items()} == {
        "mean": 2,
        "std": 1,
    }


def image_dqn():
    from tf_agents.networks import q_network
    from tf_agents.specs import tensor_spec

    image = tensor_spec.BoundedTensorSpec((8, 8, 2), tf.float32, 0.0, 1.0, name="observation")
    convolutions = ((4, 3, 1), (5, 2, 2))
    return dqn(
        q_network.QNetwork(image, CHOICE, conv_layer_params=convolutions, fc_layer_params=(6,)),
        image,
    )


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(dqn, id="QNetwork"),
        pytest.param(image_dqn, id="QNetwork of images"),
        pytest.param(
            lambda: dqn(DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=(6, 5))), id="dueling"
        ),
        pytest.param(lambda: ppo(VECTOR, FORCE), id="ActorDistributionNetwork, normal"),
        pytest.param(lambda: ppo(VECTOR, CHOICE), id="ActorDistributionNetwork, categorical"),
    ],
)
def test_policies_of_agents_shrink_and_stay_policies(agent):
    policy = from_agent(agent())
    graph = groups_of(policy.model)
    remove = {group.name: [0, 2] for group in graph.groups if group.free.all()}
    small = shrink(policy.model, remove)
    units = np.concatenate([graph.group(name).units[[0, 2]] for name in remove])
    assert small.parameters_after == graph.parameters(units) == small.model.count_params()
    assert small.exact
    thinner = policy.replace(model=small.model)  # its checks hold
    spec = policy.observation_spec
    batch = np.random.default_rng(0).uniform(-1, 1, (9, *spec.shape)).astype(np.float32)
    for name, indices in remove.items():
        for layer in (policy.model.get_layer(each) for each in graph.group(name).layers):
            weights = layer.get_weights()
            for weight in weights:
                weight[..., indices] = 0
            layer.set_weights(weights)
    np.testing.assert_allclose(thinner.outputs(batch), policy.outputs(batch), atol=1e-5)


def test_a_c51_policy_shrinks_before_the_layer_that_takes_means():
    from tfdrlprune.policies.scores import ExpectedValue

    model = chain(
        tf.keras.Input((3,)),
        L.Dense(6, "relu", name="hidden"),
        L.Dense(10, name="logits"),
        ExpectedValue(range(5), name="outputs"),
    )
    small = shrink(model, {"hidden": [0]})
    assert small.widths == {"hidden": (6, 5)}
    with pytest.raises(ValueError, match="Unit 3 of logits cannot go: outputs reads them, and"):
        shrink(model, {"logits": [3]})


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ({"hidden_9": [0]}, "Received: 'hidden_9'"),
        ({"hidden_0": [3]}, r"whole numbers from 0 to 2\. Received: \[3\]"),
        ({"hidden_0": [-1]}, "whole numbers from 0 to 2"),
        ({"hidden_0": [0.5]}, "whole numbers from 0 to 2"),
        ({"hidden_0": 1}, "whole numbers from 0 to 2"),
        (
            {"hidden_0": [0, 1, 2]},
            "One unit of a layer stays at least. Received: all 3 of hidden_0",
        ),
        ({"outputs": [0]}, "Unit 0 of outputs cannot go: they are outputs of the model"),
    ],
)
def test_units_that_cannot_go_are_refused_by_name(remove, message):
    with pytest.raises(ValueError, match=message):
        shrink(mlp(sizes=(4, 3, 2)).model, remove)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (np.zeros((2, 5)), r"shaped \(None, 4\).*Received: \(2, 5\)"),
        (np.zeros((0, 4)), "one sample or more"),
        ({"other": np.zeros((2, 4))}, r"named as the model's inputs, \['observation'\]"),
    ],
)
def test_observations_that_do_not_fit_are_refused(observations, message):
    with pytest.raises(ValueError, match=message):
        shrink(mlp().model, {}, observations)


def test_a_difference_is_never_handed_out(monkeypatch):
    from tfdrlprune.structure import shrink as module

    def wrong(graph, uses, removed, silent):
        model = module.copied(graph.model)
        kernel, bias = model.get_layer("outputs").get_weights()
        model.get_layer("outputs").set_weights([kernel, np.add(bias, [0, 1e-3, 0])])
        return model

    monkeypatch.setattr(module, "smaller", wrong)
    with pytest.raises(ValueError, match=r"differs from what it was made of by up to 0\.001"):
        shrink(mlp().model)


def test_a_model_that_gives_nan_is_refused():
    model = mlp().model
    model.get_layer("outputs").set_weights([np.full((8, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        shrink(model, {"hidden_0": [0]})


def test_the_proof_is_on_the_observations_too():
    model = mlp().model
    assert shrink(model, {"hidden_0": [0]}, np.ones((1, 4))).deviation < 1e-5
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        shrink(model, {"hidden_0": [0]}, np.full((1, 4), 3e38) * [1, -1, 1, -1])
