"""A file that is not what it should be is not written, nor is anything of a bad request."""

import json

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import mlp
from exports import BOX, SQUASHED, observations, pruned

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact, converter, exporter
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies.normalizer import ObservationNormalizer


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
