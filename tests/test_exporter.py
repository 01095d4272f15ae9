"""Exported artifacts act as their policies: on disk, in TFLite, in every precision."""

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import Scale, forward, mlp, randomize
from exports import BOX, PRECISIONS, SQUASHED, observations

from tfdrlprune import runtime
from tfdrlprune.deployment import counting
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_file import operations
from tfdrlprune.policies import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_become_the_same_actions_in_every_precision(tmp_path, precision):
    policy = mlp(sizes=(4, 32, 32))
    batch = observations()
    result = export(policy, tmp_path / "a", precision=precision, observations=batch)
    loaded = runtime.load(tmp_path / "a")
    agreement = np.mean(loaded.action(batch) == forward(policy, batch).argmax(1))
    assert agreement == pytest.approx(result.comparison.agreement)
    assert agreement >= {"float32": 1.0, "float16": 0.99}.get(precision, 0.93)
    assert result.manifest.precision == precision
    assert result.comparison.recorded


def test_what_export_returns_is_printed_without_arrays_and_files(tmp_path):
    made = export(mlp(), tmp_path / "a", formats=("tflite", "c"))
    assert "array(" not in repr(made)
    assert len(repr(made)) < 5_000


@pytest.mark.parametrize("precision", PRECISIONS)
def test_squashed_means_keep_their_units_in_every_precision(tmp_path, precision):
    normalizer = ObservationNormalizer(np.full(4, 0.5), np.full(4, 2.0))
    policy = mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer, sizes=(4, 32, 32))
    batch = observations()
    export(policy, tmp_path / "a", precision=precision, observations=batch)
    actions = runtime.load(tmp_path / "a").action(batch)
    wanted = np.tanh(forward(policy, batch)) * 2 + [0, 1]
    tolerance = {"float32": 1e-5, "float16": 5e-3}.get(precision, 0.25)
    np.testing.assert_allclose(actions, wanted, atol=tolerance)
    assert (np.abs(actions[:, 0]) <= 2).all()
    assert actions.dtype == np.float32


def test_images_and_nested_observations_go_through_the_file(tmp_path):
    nest = {
        "camera": ArraySpec("camera", (12, 10, 2), "uint8", 0, 255),
        "body": (ArraySpec("body/0", (3,), "float32"), ArraySpec("body/1", (), "float32")),
    }
    inputs = [
        tf.keras.Input((12, 10, 2), dtype="uint8", name="camera"),
        tf.keras.Input((3,), name="body/0"),
        tf.keras.Input((), name="body/1"),
    ]
    image = tf.keras.layers.Conv2D(4, 3, 2, activation="relu")(Scale()(inputs[0]))
    image = tf.keras.layers.DepthwiseConv2D(2, activation="elu")(image)
    parts = [
        tf.keras.layers.Flatten()(image),
        inputs[1],
        tf.keras.layers.Reshape((1,))(inputs[2]),
    ]
    hidden = tf.keras.layers.Dense(16, "tanh")(tf.keras.layers.Concatenate()(parts))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(3, name="outputs")(hidden))
    randomize(model.trainable_variables)
    action = ArraySpec("action", (), "int64", 2, 4)
    policy = Policy(model, Head("argmax", offset=2.0), nest, action)
    generator = np.random.default_rng(0)
    batch = {
        "camera": generator.integers(0, 256, (60, 12, 10, 2)).astype(np.uint8),
        "body": (
            generator.normal(size=(60, 3)).astype(np.float32),
            generator.normal(size=60).astype(np.float32),
        ),
    }
    for precision in ("float32", "int8"):
        export(policy, tmp_path / precision, precision=precision, observations=batch)
        loaded = runtime.load(tmp_path / precision)
        actions = loaded.action(batch)
        assert np.mean(actions == policy(batch)) >= (1.0 if precision == "float32" else 0.9)
        assert set(actions.tolist()) <= {2, 3, 4}
        one = {"camera": batch["camera"][0], "body": (batch["body"][0][0], batch["body"][1][0])}
        assert loaded.action(one) == actions[0]
    shapes = [kernel.shape for kernel in counting.kernels_of(policy).values()]
    assert shapes == [(4, 3, 3, 2), (1, 2, 2, 4), (16, 4 * 3 * 4 + 4), (3, 16)]
    found = operations((tmp_path / "float32" / "policy.tflite").read_bytes())
    assert [op.kind for op in found if op.kernel is not None] == [
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED"),
    ]


@pytest.mark.parametrize("dtype", ["float64", "int8", "uint8", "int32"])
def test_actions_come_in_the_environments_dtype(tmp_path, dtype):
    head = SQUASHED if dtype == "float64" else Head("argmax", offset=1.0)
    action = (
        ArraySpec("action", (2,), dtype, (-2.0, -1.0), (2.0, 3.0))
        if dtype == "float64"
        else ArraySpec("action", (), dtype, 1, 2)
    )
    policy = mlp(head, action, outputs=2)
    export(policy, tmp_path / "a")
    loaded = runtime.load(tmp_path / "a")
    for given in (observations()[0], observations()):
        assert loaded.action(given).dtype == np.dtype(dtype)
    np.testing.assert_allclose(loaded.action(observations()), policy(observations()), atol=1e-5)


def test_the_test_vectors_are_what_the_file_does(tmp_path):
    export(mlp(), tmp_path / "a", observations=observations())
    vectors = np.load(tmp_path / "a" / "test_vectors.npz")
    assert sorted(vectors.files) == ["actions", "observation/observation", "outputs"]
    assert len(vectors["actions"]) == 64
    loaded = runtime.load(tmp_path / "a")
    given = vectors["observation/observation"]
    np.testing.assert_array_equal(loaded.outputs(given), vectors["outputs"])
    np.testing.assert_array_equal(loaded.action(given), vectors["actions"])


def test_without_observations_they_are_drawn_where_the_normaliser_looked(tmp_path):
    normalizer = ObservationNormalizer(np.full(4, 1000.0), np.full(4, 4.0))
    policy = mlp(normalizer=normalizer)
    policy = policy.replace(observation_spec=ArraySpec("observation", (4,), "float32"))
    result = export(policy, tmp_path / "a")
    assert not result.comparison.recorded
    assert result.comparison.count == 1000
    given = np.load(tmp_path / "a" / "test_vectors.npz")["observation/observation"]
    assert 0.3 < np.mean(np.abs(given - 1000) < 20) < 0.7
