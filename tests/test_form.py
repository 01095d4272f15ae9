"""The policy form: what it computes, what it refuses, and that it survives its file."""

import json

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import forward, mlp

from tfdrlprune.policies import Policy
from tfdrlprune.policies.form import is_saved_policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

BOX = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
SQUASHED = Head("tanh", (2.0, 2.0), (0.0, 1.0))


def observations(count=50, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def test_outputs_are_those_of_the_layers_worked_out_by_hand():
    normalizer = ObservationNormalizer(
        np.array([0.0, 1, 0, 0]), np.array([1.0, 4, 1e-6, 1]), clip=2.0
    )
    policy = mlp(normalizer=normalizer)
    batch = observations()
    np.testing.assert_allclose(policy.outputs(batch), forward(policy, batch), atol=1e-5)
    np.testing.assert_array_equal(policy(batch), forward(policy, batch).argmax(1))


def test_one_observation_gives_one_action_and_a_batch_a_batch():
    policy = mlp()
    batch = observations(3)
    actions = policy.action(batch)
    assert actions.shape == (3,)
    one = policy.action(batch[0])
    assert isinstance(one, np.int64)
    assert one == actions[0]
    assert policy.outputs(batch[0]).shape == (3,)
    box = mlp(SQUASHED, BOX, outputs=2)
    assert box.action(batch[0]).shape == (2,)
    assert box.action(batch).dtype == np.float32


def test_a_discrete_action_counts_from_where_the_environment_does():
    policy = mlp(Head("argmax", offset=5.0), ArraySpec("action", (), "int32", 5, 7))
    batch = observations()
    actions = policy(batch)
    assert actions.dtype == np.int32
    np.testing.assert_array_equal(actions, forward(policy, batch).argmax(1) + 5)


def test_a_squashed_mean_is_scaled_and_clipped_by_hand():
    policy = mlp(Head("tanh", (2.0, 9.0), (0.0, 1.0)), BOX, outputs=2)
    batch = observations()
    wanted = np.clip(np.tanh(forward(policy, batch)) * [2, 9] + [0, 1], [-2, -1], [2, 3])
    assert (wanted[:, 1] == 3).any()
    np.testing.assert_allclose(policy(batch), wanted, atol=1e-5)


def test_several_observations_arrive_at_their_inputs():
    inputs = [tf.keras.Input((2,), name="b/x"), tf.keras.Input((), dtype="uint8", name="a")]
    tensor = tf.keras.layers.Concatenate()(
        [inputs[0], tf.keras.layers.Rescaling(1.0)(tf.keras.layers.Reshape((1,))(inputs[1]))]
    )
    tensor = tf.keras.layers.Dense(2, use_bias=False, name="outputs")(tensor)
    model = tf.keras.Model(inputs, tensor)
    model.set_weights([np.array([[1, 0], [0, 10], [100, 0]], np.float32)])
    nest = {
        "b": {"x": ArraySpec("b/x", (2,), "float32")},
        "a": ArraySpec("a", (), "uint8", 0, 255),
    }
    policy = Policy(model, Head("argmax"), nest, ArraySpec("action", (), "int64", 0, 1))
    outputs = policy.outputs({"a": 7, "b": {"x": [3.0, 4.0]}})
    np.testing.assert_allclose(outputs, [703, 40])


def test_a_saved_policy_comes_back_bit_equal(tmp_path):
    normalizer = ObservationNormalizer(np.arange(4.0), np.full(4, 2.0), epsilon=0.01, clip=3.0)
    policy = mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer)
    policy.save(tmp_path / "p")
    loaded = Policy.load(tmp_path / "p")
    batch = observations()
    np.testing.assert_array_equal(loaded.outputs(batch), policy.outputs(batch))
    assert loaded.head == policy.head
    assert loaded.action_spec == policy.action_spec
    assert loaded.observation_spec == policy.observation_spec
    assert loaded.source == "test"
    assert loaded.normalizers[0].clip == 3.0
    with pytest.raises(FileExistsError):
        policy.save(tmp_path / "p")


def test_a_nested_policy_comes_back(tmp_path):
    nest = (ArraySpec("0", (2,), "float32"), ArraySpec("1", (3,), "float32"))
    inputs = [tf.keras.Input((2,), name="0"), tf.keras.Input((3,), name="1")]
    tensor = tf.keras.layers.Concatenate()(inputs)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="outputs")(tensor))
    policy = Policy(model, Head("argmax"), nest, ArraySpec("action", (), "int64", 0, 1))
    policy.save(tmp_path / "p")
    loaded = Policy.load(tmp_path / "p")
    value = (np.ones(2), np.arange(3.0))
    assert loaded.observation_spec == nest
    np.testing.assert_array_equal(loaded.outputs(value), policy.outputs(value))


def test_a_damaged_or_missing_policy_says_so_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a saved policy"):
        Policy.load(tmp_path / "none")
    mlp().save(tmp_path / "p")
    whole = (tmp_path / "p" / "policy.keras").read_bytes()
    (tmp_path / "p" / "policy.keras").write_bytes(whole[:200])
    with pytest.raises(ValueError, match="cannot be read") as caught:
        Policy.load(tmp_path / "p")
    assert "\n" not in str(caught.value)
    (tmp_path / "p" / "policy.keras").write_bytes(whole)
    form = json.loads((tmp_path / "p" / "policy-form.json").read_text())
    (tmp_path / "p" / "policy-form.json").write_text(json.dumps(form | {"form_version": 2}))
    with pytest.raises(ValueError, match="form_version 2"):
        Policy.load(tmp_path / "p")
    (tmp_path / "p" / "policy-form.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        Policy.load(tmp_path / "p")
    assert is_saved_policy(tmp_path / "p")


def test_models_that_do_not_fit_their_specs_are_refused():
    policy = mlp()
    with pytest.raises(ValueError, match="one input for each leaf"):
        policy.replace(observation_spec=ArraySpec("observation", (5,), "float32"))
    with pytest.raises(ValueError, match="one input for each leaf"):
        policy.replace(observation_spec=ArraySpec("state", (4,), "float32"))
    with pytest.raises(ValueError, match=r"outputs of the shape \(batch, 2\)"):
        policy.replace(action_spec=ArraySpec("action", (), "int64", 0, 1))
    with pytest.raises(ValueError, match="gives integers between bounds"):
        policy.replace(action_spec=BOX)
    inputs = tf.keras.Input((4,), name="observation")
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(3, name="q")(inputs))
    with pytest.raises(
        ValueError, match=r"has the outputs \['outputs'\], made by layers of these names"
    ):
        policy.replace(model=model)


def test_new_weights_are_seen_at_once():
    policy = mlp()
    batch = observations()
    before = policy.outputs(batch)
    layer = policy.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 1])
    np.testing.assert_allclose(policy.outputs(batch), before + 1, atol=1e-5)
