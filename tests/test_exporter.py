"""Exported artifacts act as their policies, keep their zeros, and are refused when they don't."""

import json

from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest
from builders import Scale, forward, mlp, randomize

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact, converter, counting, exporter
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_file import operations
from tfdrlprune.policies import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

BOX = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
SQUASHED = Head("tanh", (2.0, 2.0), (0.0, 1.0))
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


def observations(count=300, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def pruned(policy, sparsity=0.75):
    """Sets the smallest weights of every kernel to zero, exactly ``sparsity`` of each."""
    for layer in policy.model.layers:
        if isinstance(layer, (tf.keras.layers.Dense, tf.keras.layers.Conv2D)):
            kernel, *rest = layer.get_weights()
            flat = kernel.ravel()
            flat[np.argsort(np.abs(flat), kind="stable")[: int(sparsity * flat.size)]] = 0
            layer.set_weights([flat.reshape(kernel.shape), *rest])
    return policy


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


def test_the_normaliser_stays_float_in_int8(tmp_path):
    variance = np.array([1e-6, 1.0, 1e4, 2.0])
    normalizer = ObservationNormalizer(np.array([0.0, 1, 100, 0]), variance)
    policy = mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer, sizes=(4, 32, 32))
    batch = (observations() * np.sqrt(variance) + [0, 1, 100, 0]).astype(np.float32)
    result = export(policy, tmp_path / "a", precision="int8", observations=batch)
    found = operations((tmp_path / "a" / "policy.tflite").read_bytes())
    first = next(index for index, op in enumerate(found) if op.kernel is not None)
    kinds = [op.kind for op in found]
    assert kinds[:first] == ["MUL", "ADD", "MINIMUM", "MAXIMUM", "QUANTIZE"]
    assert all(set(op.input_dtypes) == {"float32"} for op in found[:first])
    layers = [op for op in found if op.kernel is not None]
    assert [op.kernel.dtype.name for op in layers] == ["int8"] * 3
    after = found[kinds.index("DEQUANTIZE") + 1 :]
    assert [op.kind for op in after][:3] == ["TANH", "MUL", "ADD"]
    assert all(set(op.input_dtypes) == {"float32"} for op in after)
    # With the normaliser in int8 the first feature, a thousandth of the third, would be lost.
    assert result.comparison.action_deviation < 0.25


def test_scores_far_from_zero_survive_int8_because_they_are_centred(tmp_path):
    policy = mlp(sizes=(4, 32, 32))
    layer = policy.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    batch = observations()
    common = np.random.default_rng(2).normal(size=(32, 1))
    balance = (forward(policy, batch) - bias).mean(axis=0)
    high = [0.05 * kernel + 0.2 * common, 80 - 0.05 * balance]
    layer.set_weights(high)
    wanted = forward(policy, batch)
    assert np.ptp(wanted, axis=1).mean() < 0.01 * wanted.mean()
    assert min(np.bincount(wanted.argmax(1), minlength=3)) > 20
    result = export(policy, tmp_path / "a", precision="int8", observations=batch)
    assert result.comparison.agreement > 0.9
    np.testing.assert_allclose(layer.get_weights()[1], high[1])
    uncentred = converter.convert(policy, "int8", [batch])
    raw = runtime.Policy(uncentred, result.manifest)
    assert np.mean(raw.action(batch) == wanted.argmax(1)) < 0.8


def test_centring_keeps_every_action_and_every_zero():
    policy = pruned(mlp(sizes=(4, 16, 12)), 0.4)
    layer = policy.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 50])
    batch = observations()
    same = converter.centred(policy, [batch])
    np.testing.assert_array_equal(same(batch), policy(batch))
    held = same.model.get_layer("outputs").get_weights()[0]
    np.testing.assert_array_equal(held[kernel == 0], 0)
    full = (kernel != 0).all(axis=1)
    assert full.any()
    assert not full.all()
    np.testing.assert_allclose(held[full].sum(axis=1), 0, atol=1e-6)
    np.testing.assert_array_equal(held[~full], kernel[~full])
    assert abs(same.outputs(batch).mean()) < 1e-4
    squashed = mlp(SQUASHED, BOX, outputs=2)
    assert converter.centred(squashed, [batch]) is squashed


@pytest.mark.parametrize("precision", PRECISIONS)
def test_zeros_in_the_file_are_those_of_the_policy(tmp_path, precision):
    policy = pruned(mlp(sizes=(4, 32, 32), outputs=4))
    result = export(
        policy,
        tmp_path / "a",
        precision=precision,
        observations=observations(),
        requested_sparsity=0.75,
        recipe={"sparsity": 0.75},
    )
    kernels = [
        op.kernel
        for op in operations((tmp_path / "a" / "policy.tflite").read_bytes())
        if op.kernel is not None
    ]
    zeros, total = sum(int((k == 0).sum()) for k in kernels), sum(k.size for k in kernels)
    assert total == 4 * 32 + 32 * 32 + 32 * 4
    if precision == "float32":
        assert zeros == 0.75 * total
    assert zeros >= 0.75 * total
    assert result.manifest.sparsity.requested == 0.75
    assert result.manifest.sparsity.achieved == pytest.approx(zeros / total)
    parameters = result.manifest.parameters
    assert parameters.dense == total + 32 + 32 + 4
    if precision == "float32":
        assert parameters.total == parameters.dense
        assert parameters.nonzero == parameters.dense - zeros


def test_sparsity_counts_over_the_kernels_that_may_be_pruned(tmp_path):
    policy = mlp(sizes=(4, 32, 32), outputs=4)
    layer = policy.model.get_layer("hidden_1")
    kernel, bias = layer.get_weights()
    kernel[:, :16] = 0
    layer.set_weights([kernel, bias])
    result = export(policy, tmp_path / "a", prunable=["hidden_1"], requested_sparsity=0.5)
    assert result.manifest.sparsity.achieved == 0.5
    with pytest.raises(ValueError, match=r"Requested sparsity 0.5000, but 512 of 1280"):
        export(policy, tmp_path / "b", requested_sparsity=0.5)
    with pytest.raises(ValueError, match=r"No kernels of those names: \['hidden_9'\]"):
        export(policy, tmp_path / "b", prunable=["hidden_9"])
    assert not (tmp_path / "b").exists()


def test_unit_sparsity_is_the_fraction_of_parameters_that_are_gone(tmp_path):
    result = export(
        mlp(sizes=(4, 16, 8)),
        tmp_path / "a",
        recipe={"granularity": "unit"},
        dense_parameters=1000,
        requested_sparsity=0.7,
    )
    count = 4 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3
    assert result.manifest.parameters.dense == 1000
    assert result.manifest.parameters.total == count
    assert result.manifest.sparsity.achieved == pytest.approx(1 - count / 1000)


def test_tfmot_wrappers_are_stripped_with_their_masks(tmp_path):
    policy = mlp(sizes=(4, 32), outputs=4)
    keras = tfmot().sparsity.keras
    wrapped = keras.prune_low_magnitude(policy.model, keras.ConstantSparsity(0.5, 0, frequency=1))
    wrapped.compile("sgd", "mse")
    wrapped.fit(observations(), np.ones((300, 4)), verbose=0, callbacks=[keras.UpdatePruningStep()])
    masks = [layer.pruning_vars[0][1].numpy() for layer in wrapped.layers[1:]]
    assert [mask.mean() for mask in masks] == [0.5, 0.5]
    # After an optimizer step tfmot leaves the kernels dense until the next forward pass.
    for layer in wrapped.layers[1:]:
        kernel = layer.layer.kernel
        kernel.assign(tf.where(kernel == 0, 7.0, kernel))
    plain = exporter.stripped(wrapped)
    assert [type(layer).__name__ for layer in plain.layers] == ["InputLayer", "Dense", "Dense"]
    policy = policy.replace(model=plain)
    result = export(policy, tmp_path / "a", requested_sparsity=0.5)
    assert result.manifest.sparsity.achieved == 0.5


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


def test_a_wrong_file_is_not_written(tmp_path, monkeypatch):
    policy, other = mlp(sizes=(4, 32, 32)), mlp(sizes=(4, 32, 32), seed=9)
    right = converter.convert(policy, "float32", [observations()])
    wrong = converter.convert(other, "float32", [observations()])
    monkeypatch.setattr(exporter, "convert", lambda *_: wrong)
    with pytest.raises(ValueError, match=r"The kernel of 'hidden_0' .* is not in the converted"):
        export(policy, tmp_path / "a")
    monkeypatch.setattr(exporter.counting, "zeros_kept", lambda *_: (0, 1))
    with pytest.raises(ValueError, match=r"does not act as the policy.*off by up to \d"):
        export(policy, tmp_path / "a")
    monkeypatch.setattr(exporter, "convert", lambda *_: right)
    export(policy, tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_garbage_in_a_low_precision_is_not_written(tmp_path, monkeypatch):
    for policy, other in (
        (mlp(sizes=(4, 32, 32)), mlp(sizes=(4, 32, 32), seed=9)),
        (mlp(SQUASHED, BOX, outputs=2), mlp(SQUASHED, BOX, outputs=2, seed=9)),
    ):
        wrong = converter.convert(other, "int8", [observations()])
        monkeypatch.setattr(exporter, "convert", lambda *_, wrong=wrong: wrong)
        monkeypatch.setattr(exporter.counting, "zeros_kept", lambda *_: (0, 1))
        with pytest.raises(ValueError, match="int8 model does not act as the policy"):
            export(policy, tmp_path / "a", precision="int8", observations=observations())
    assert list(tmp_path.iterdir()) == []


def test_nan_is_not_written(tmp_path):
    policy = mlp(SQUASHED, BOX, outputs=2)
    layer = policy.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * np.nan, bias])
    with pytest.raises(ValueError, match=r"not in the converted model|NaN or infinity"):
        export(policy, tmp_path / "a")
    normalizer = ObservationNormalizer(np.full(4, 1e5), np.full(4, 1.0))
    beyond_half = mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer)
    batch = (observations() + 1e5).astype(np.float32)
    with pytest.raises(ValueError, match=r"float16 model does not act|NaN or infinity"):
        export(beyond_half, tmp_path / "a", precision="float16", observations=batch)
    assert list(tmp_path.iterdir()) == []


def test_lost_zeros_are_found(tmp_path, monkeypatch):
    policy = pruned(mlp(sizes=(4, 32), outputs=4))
    dense = mlp(sizes=(4, 32), outputs=4)
    for layer, source in zip(dense.model.layers, policy.model.layers, strict=True):
        weights = [np.where(w == 0, 1e-7, w).astype(np.float32) for w in source.get_weights()]
        layer.set_weights(weights)
    content = converter.convert(dense, "float32", [observations()])
    monkeypatch.setattr(exporter, "convert", lambda *_: content)
    with pytest.raises(ValueError, match=r"'hidden_0' has 96 zeros in the policy and 0 in the"):
        export(policy, tmp_path / "a")


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"precision": "int4"}, ValueError, "precision is one of float32"),
        ({"requested_sparsity": 90}, ValueError, r"in \[0, 1\). Received"),
        ({"observations": np.zeros((0, 4))}, ValueError, "an empty batch"),
        ({"observations": np.zeros(4)}, ValueError, "without a batch axis"),
        ({"observations": np.zeros((3, 5))}, ValueError, "shape"),
        ({"observations": np.full((3, 4), np.nan)}, ValueError, "NaN"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(tmp_path, choices, error, message):
    with pytest.raises(error, match=message):
        export(mlp(), tmp_path / "a", **choices)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_the_work_and_replaced_by_force(tmp_path):
    export(mlp(), tmp_path / "a")
    with pytest.raises(FileExistsError):
        export(mlp(seed=3), tmp_path / "a")
    export(mlp(seed=3), tmp_path / "a", force=True, verdict={"verdict": "PASS"})
    loaded = runtime.load(tmp_path / "a")
    np.testing.assert_array_equal(loaded.action(observations()), mlp(seed=3)(observations()))
    value = json.loads((tmp_path / "a" / "policy.json").read_text())
    assert value["verdict"] == {"verdict": "PASS"}
    assert value["versions"]["tensorflow"] == tf.__version__
    artifact.verify(tmp_path / "a")


def test_what_tflite_does_not_have_is_named():
    inputs = tf.keras.Input((4,), name="observation")
    outputs = tf.keras.layers.Activation(tf.math.bessel_i0e, name="outputs")(
        tf.keras.layers.Dense(3)(inputs)
    )
    policy = mlp().replace(model=tf.keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match="cannot be converted to TFLite: TFLite has no BesselI0e"):
        converter.convert(policy, "float32", [observations()])


def test_the_converter_prints_nothing(capfd):
    converter.convert(mlp(), "int8", [observations()])
    assert capfd.readouterr() == ("", "")
