"""A trimmed file is smaller, computes the same bits from the same constants, and stays aligned."""

from pathlib import Path

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp
from exports import BOX, PRECISIONS, SQUASHED, observations

from tfdrlprune import runtime
from tfdrlprune.deployment import converter, saturation
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_file import Reader, operations
from tfdrlprune.deployment.model_writer import packed
from tfdrlprune.deployment.trimming import trimmed
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head


def normalized():
    normalizer = ObservationNormalizer(np.array([0.0, 1, 2, 0]), np.array([1.0, 2, 3, 4]))
    return mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer, sizes=(4, 24, 16))


def pictures():
    image = tf.keras.Input((10, 10, 4), name="image")
    tensor = tf.keras.layers.Conv2D(8, 3, activation="relu")(image)
    tensor = tf.keras.layers.Flatten()(tensor)
    model = tf.keras.Model(image, tf.keras.layers.Dense(3, name="outputs")(tensor))
    spec = ArraySpec("image", (10, 10, 4), "float32")
    return Policy(model, Head("argmax"), spec, ArraySpec("action", (), "int64", 0, 2))


@pytest.fixture
def untrimmed(monkeypatch):
    """Returns a function that converts as TFLite's converter leaves it."""

    def convert(policy, precision, leaves):
        with monkeypatch.context() as patch:
            patch.setattr(converter, "trimmed", lambda content: content)
            return converter.convert(policy, precision, leaves)

    return convert


def constants(content):
    reader = Reader(content)
    found = [reader.read(index) for index in range(len(reader.graph.tensors))]
    return [array for array in found if array is not None]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_computes_the_same_bits_from_the_same_constants(tmp_path, untrimmed, precision):
    policy, leaves = normalized(), [observations()]
    manifest = export(policy, tmp_path / "a", observations=leaves[0]).manifest
    whole = untrimmed(policy, precision, leaves)
    short = trimmed(whole)
    assert len(short) < len(whole) - 300
    before, after = (runtime.Policy(content, manifest) for content in (whole, short))
    np.testing.assert_array_equal(before.action(leaves[0]), after.action(leaves[0]))
    np.testing.assert_array_equal(before.outputs(leaves[0]), after.outputs(leaves[0]))
    for one, other in zip(constants(whole), constants(short), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(operations(whole), operations(short), strict=True):
        assert (one.kind, one.layer, one.input_dtypes) == (
            other.kind,
            other.layer,
            other.input_dtypes,
        )


def test_so_does_one_with_pictures(tmp_path, untrimmed):
    policy = pictures()
    batch = np.random.default_rng(0).random((20, 10, 10, 4), np.float32)
    manifest = export(policy, tmp_path / "a", observations=batch).manifest
    whole = untrimmed(policy, "float32", [batch])
    short = trimmed(whole)
    assert len(short) < len(whole)
    before, after = (runtime.Policy(content, manifest) for content in (whole, short))
    np.testing.assert_array_equal(before.outputs(batch), after.outputs(batch))


def test_what_was_exported_is_trimmed(tmp_path, untrimmed):
    policy, leaves = normalized(), [observations()]
    export(policy, tmp_path / "a", observations=leaves[0])
    content = Path(tmp_path / "a" / "policy.tflite").read_bytes()
    assert content == trimmed(content) == trimmed(untrimmed(policy, "float32", leaves))


def test_only_constants_have_buffers_of_their_own(untrimmed):
    model = Reader(trimmed(untrimmed(normalized(), "int8", [observations()]))).model
    assert model.buffers[0].data is None
    assert all(len(each.data) for each in model.buffers[1:])
    used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
    used |= {each.buffer for each in model.metadata}
    assert used == set(range(len(model.buffers)))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_oldest_runtime_is_still_named(untrimmed, precision):
    model = Reader(trimmed(untrimmed(normalized(), precision, [observations()]))).model
    (entry,) = model.metadata
    assert entry.name == b"min_runtime_version"
    version = bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
    assert all(part.isdigit() for part in version.split("."))


def test_names_are_those_of_layers(untrimmed):
    reader = Reader(trimmed(untrimmed(normalized(), "float32", [observations()])))
    names = [tensor.name.decode() for tensor in reader.graph.tensors]
    assert "hidden_0/MatMul" in names
    assert not [name for name in names if name.startswith("policy/") or ";" in name]


@pytest.mark.parametrize("write", [trimmed, saturation.limited, lambda b: packed(Reader(b).model)])
def test_constants_begin_at_multiples_of_sixteen_bytes(untrimmed, write):
    content = write(untrimmed(normalized(), "float32", [observations()]))
    for array in constants(content):
        if array.nbytes > 16:  # shorter ones may stand elsewhere by chance
            assert content.index(array.tobytes()) % 16 == 0
