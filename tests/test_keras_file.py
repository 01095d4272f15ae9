"""Keras files become policies; code in them is never run."""

import json
import zipfile

from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest

from tfdrlprune import policies
from tfdrlprune.policies import wrappers
from tfdrlprune.specs import ArraySpec, Head

ACTION = ArraySpec("action", (), "int64", 1, 3)
BOX = ArraySpec("action", (3,), "float32", -1.0, 1.0)
FORMATS = ("model.keras", "model.h5", "folder")


def observations(count=50, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def sequential():
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Dense(8, activation="relu", input_shape=(4,)),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.Dense(3, bias_initializer="random_normal"),
        ]
    )
    model.layers[1].set_weights([np.full(8, value) for value in (2.0, 1.0, 0.5, 4.0)])
    return model


@pytest.mark.parametrize("name", FORMATS)
def test_a_sequential_model_becomes_an_argmax_over_its_outputs(tmp_path, name):
    model = sequential()
    model.save(tmp_path / name)
    policy = policies.load(tmp_path / name, action=ACTION)
    wanted = model(observations()).numpy()
    np.testing.assert_allclose(policy.outputs(observations()), wanted, atol=1e-6)
    np.testing.assert_array_equal(policy(observations()), wanted.argmax(1) + 1)
    assert policy.observation_spec == ArraySpec("observation", (4,), "float32")


def test_a_functional_model_keeps_its_graph_and_takes_our_names(tmp_path):
    inputs = {name: tf.keras.Input((size,), name=name) for name, size in (("p", 3), ("v", 2))}
    joined = tf.keras.layers.Concatenate()(list(inputs.values()))
    # A layer that has the name which the last one is to get.
    hidden = tf.keras.layers.Dense(5, name="outputs")(joined)
    hidden = tf.keras.layers.Add()([hidden, tf.keras.layers.Dense(5)(inputs["v"] / 2.0)])
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(3, name="q")(hidden))
    model.save(tmp_path / "m.keras")
    policy = policies.load(tmp_path / "m.keras", action=ACTION)
    batch = {"p": observations()[:, :3], "v": observations()[:, :2]}
    np.testing.assert_allclose(policy.outputs(batch), model(batch), atol=1e-6)
    nest = {
        "body": (ArraySpec("body/0", (3,), "float32"), ArraySpec("body/1", (2,), "float32")),
    }
    policy = policies.load(tmp_path / "m.keras", action=ACTION, observation=nest)
    assert policy.model.input_names == ["body/0", "body/1"]
    batch = {"body": (batch["p"], batch["v"])}
    wanted = model({"p": batch["body"][0], "v": batch["body"][1]})
    np.testing.assert_allclose(policy.outputs(batch), wanted, atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_tfmot_wrappers_are_stripped_and_their_zeros_kept(tmp_path, name):
    keras = tfmot().sparsity.keras
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(8, input_shape=(4,)), tf.keras.layers.Dense(3)]
    )
    model = keras.prune_low_magnitude(model, keras.ConstantSparsity(0.75, 0, frequency=1))
    model.compile("sgd", "mse")
    callbacks = [keras.UpdatePruningStep()]
    model.fit(observations(), np.ones((50, 3)), verbose=0, callbacks=callbacks)
    wanted = model(observations(), training=False).numpy()
    model.save(tmp_path / name)
    policy = policies.load(tmp_path / name, action=ACTION)
    assert not wrappers.is_wrapped(policy.model)
    zeros = [np.mean(layer.get_weights()[0] == 0) for layer in policy.model.layers[1:]]
    assert zeros == [0.75, 0.75]
    np.testing.assert_allclose(policy.outputs(observations()), wanted, atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_a_lambda_is_refused_and_not_run(tmp_path, name):
    model = tf.keras.Sequential(
        [tf.keras.layers.Lambda(lambda x: x, input_shape=(4,)), tf.keras.layers.Dense(3)]
    )
    model.save(tmp_path / name)
    with pytest.raises(ValueError, match="holds code in a Lambda layer"):
        policies.load(tmp_path / name, action=ACTION)


def _edit(path, change):
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (content | {"config.json": json.dumps(config)}).items():
            archive.writestr(name, data)


def test_a_module_that_is_not_keras_is_not_imported(tmp_path):
    path = tmp_path / "m.keras"
    sequential().save(path)
    marker = tmp_path / "was_run"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Dense: pass\n")

    def change(config):
        layer = config["config"]["layers"][-1]
        layer |= {"module": "evil", "registered_name": "evil>Dense"}

    _edit(path, change)
    with pytest.raises(ValueError, match="asks for the Python module 'evil'"):
        policies.load(path, action=ACTION)
    assert not marker.exists()


def test_a_tensorflow_function_that_touches_files_is_refused(tmp_path):
    inputs = tf.keras.Input((4,))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(3)(tf.math.abs(inputs)))
    model.save(tmp_path / "m.keras")
    policies.load(tmp_path / "m.keras", action=ACTION)

    def change(config):
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "TFOpLambda":
                layer["config"]["function"] = "io.write_file"

    _edit(tmp_path / "m.keras", change)
    with pytest.raises(ValueError, match=r"holds code in a io\.write_file layer"):
        policies.load(tmp_path / "m.keras", action=ACTION)


def test_how_the_model_acts_must_be_said(tmp_path):
    path = tmp_path / "m.keras"
    sequential().save(path)
    with pytest.raises(ValueError, match=r"does not say how it acts\. Give the environment"):
        policies.load(path)
    with pytest.raises(ValueError, match=r"Give head=Head\('affine'\)"):
        policies.load(path, action=BOX)
    policy = policies.load(path, action=BOX, head=Head("tanh"))
    np.testing.assert_allclose(
        policy(observations()), np.tanh(policy.outputs(observations())), atol=1e-6
    )


def test_models_of_the_wrong_shape_are_refused(tmp_path):
    sequential().save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"outputs of the shape \(batch, 2\)"):
        policies.load(tmp_path / "m.keras", action=ArraySpec("action", (), "int64", 0, 1))
    with pytest.raises(ValueError, match="one input for each leaf"):
        policies.load(
            tmp_path / "m.keras", action=ACTION, observation=ArraySpec("o", (5,), "float32")
        )
    inputs = tf.keras.Input((4,))
    two = tf.keras.Model(inputs, [tf.keras.layers.Dense(3)(inputs) for _ in range(2)])
    two.save(tmp_path / "two.keras")
    with pytest.raises(ValueError, match=r"has one output\. Received 2"):
        policies.load(tmp_path / "two.keras", action=ACTION)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_damaged_file_says_so_in_one_line(tmp_path, name):
    sequential().save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="cannot be") as caught:
            policies.load(tmp_path / name, action=ACTION)
        assert "\n" not in str(caught.value)


class Halve(tf.keras.layers.Layer):
    """A layer that Keras does not know."""

    def call(self, inputs):
        return inputs / 2.0


def with_halve():
    return tf.keras.Sequential(
        [tf.keras.layers.Dense(3, input_shape=(4,)), Halve(), tf.keras.layers.Dense(3, name="q")]
    )


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_layer_of_ones_own_is_taken_from_ones_own_hand_only(tmp_path, name):
    model = with_halve()
    model.save(tmp_path / name)
    with pytest.raises(ValueError, match=r"Give it: .*custom_objects=|custom_objects={'Halve'"):
        policies.load(tmp_path / name, action=ACTION)
    own = {"Halve": Halve}
    policy = policies.load(tmp_path / name, action=ACTION, custom_objects=own)
    np.testing.assert_allclose(policy.outputs(observations()), model(observations()), atol=1e-6)
    folder = tmp_path / "saved"
    policy.save(folder)
    with pytest.raises(ValueError, match=r"custom_objects={'Halve': Halve}"):
        policies.load(folder)
    again = policies.load(folder, custom_objects=own)
    np.testing.assert_array_equal(again.outputs(observations()), policy.outputs(observations()))


def test_a_lambda_is_not_run_whatever_is_given(tmp_path):
    tf.keras.Sequential([tf.keras.layers.Lambda(lambda x: x, input_shape=(4,))]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(ValueError, match="holds code in a Lambda layer"):
        policies.load(
            tmp_path / "m.keras",
            action=ACTION,
            custom_objects={"Lambda": tf.keras.layers.Lambda},
        )


def test_a_module_in_a_saved_policy_is_not_imported(tmp_path):
    sequential().save(tmp_path / "m.keras")
    policies.load(tmp_path / "m.keras", action=ACTION).save(tmp_path / "p")

    def change(config):
        config["config"]["layers"][-1] |= {"module": "evil", "registered_name": "evil>Dense"}

    _edit(tmp_path / "p" / "policy.keras", change)
    with pytest.raises(ValueError, match="asks for the Python module 'evil'"):
        policies.load(tmp_path / "p")
