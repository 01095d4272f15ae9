"""The artifact's manifest and files: written whole, read back, and refused when they don't fit."""

import hashlib
import json

import pytest

from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.artifact import Manifest, Parameters, Sparsity
from tfdrlprune.specs import ArraySpec, Head

MANIFEST = Manifest(
    observation={"b": ArraySpec("b", (3,), "float32", -1.0, (1.0, 2.0, 3.0))},
    action=ArraySpec("action", (), "int64", 1, 4),
    head=Head("argmax", offset=1.0),
    precision="int8",
    sparsity=Sparsity(0.9, 0.905),
    parameters=Parameters(1000, 900, 100),
    source="DqnAgent",
    recipe={"sparsity": 0.9},
    versions={"tfdrlprune": "0.1.0"},
    verdict={"verdict": "PASS"},
)
FILES = {"policy.tflite": b"model", "test_vectors.npz": b"vectors"}


def test_a_manifest_holds_exactly_the_documented_keys(tmp_path):
    artifact.write(tmp_path / "a", FILES, MANIFEST)
    value = json.loads((tmp_path / "a" / "policy.json").read_text())
    assert list(value) == [
        *(
            "format_version",
            "observation",
            "action",
            "state",
            "head",
            "precision",
            "float_layers",
            "micro",
            "sparsity",
        ),
        *("parameters", "files", "source", "recipe", "versions", "verdict"),
    ]
    assert value["format_version"] == 1
    assert value["action"] == {
        **{"kind": "discrete", "name": "action", "shape": [], "dtype": "int64"},
        **{"low": 1, "high": 4},
    }
    assert value["observation"]["dict"]["b"]["high"] == [1.0, 2.0, 3.0]
    assert value["state"] is None
    assert value["sparsity"] == {"requested": 0.9, "achieved": 0.905}
    assert value["parameters"] == {"dense": 1000, "total": 900, "nonzero": 100}
    assert value["files"]["policy.tflite"] == {
        "size_bytes": 5,
        "sha256": hashlib.sha256(b"model").hexdigest(),
    }


def test_an_artifact_comes_back_as_it_was_written(tmp_path):
    written = artifact.write(tmp_path / "a", FILES, MANIFEST)
    assert artifact.verify(tmp_path / "a") == written
    assert artifact.read_file(tmp_path / "a", written, "policy.tflite") == b"model"
    assert written.observation == MANIFEST.observation
    assert written.head == MANIFEST.head


def test_a_continuous_action_says_so(tmp_path):
    box = ArraySpec("action", (2,), "float32", -1.0, 1.0)
    value = Manifest(**{**vars(MANIFEST), "action": box, "head": Head("tanh")}).to_json()
    assert value["action"]["kind"] == "continuous"


def test_force_replaces_artifacts_and_nothing_else(tmp_path):
    artifact.write(tmp_path / "a", FILES, MANIFEST)
    with pytest.raises(FileExistsError, match="not overwritten"):
        artifact.write(tmp_path / "a", FILES, MANIFEST)
    artifact.write(tmp_path / "a", {"policy.tflite": b"new"}, MANIFEST, force=True)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "policy.json",
        "policy.tflite",
    ]
    home = tmp_path / "home"
    home.mkdir()
    (home / "policy.json").write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match="something else"):
        artifact.write(home, FILES, MANIFEST, force=True)
    assert (home / "policy.json").read_text() == '{"mine": 1}'


def test_a_damaged_artifact_may_be_replaced_by_force(tmp_path):
    artifact.write(tmp_path / "a", FILES, MANIFEST)
    (tmp_path / "a" / "policy.tflite").unlink()
    artifact.write(tmp_path / "a", FILES, MANIFEST, force=True)
    artifact.verify(tmp_path / "a")


def test_a_manifest_that_json_cannot_hold_writes_nothing(tmp_path):
    for recipe in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises(ValueError, match="JSON"):
            artifact.write(tmp_path / "a", FILES, Manifest(**{**vars(MANIFEST), "recipe": recipe}))
    with pytest.raises(ValueError, match="plain name"):
        artifact.write(tmp_path / "a", {"../x": b""}, MANIFEST)
    assert list(tmp_path.iterdir()) == []


def test_changed_cut_and_missing_files_are_found(tmp_path):
    folder = tmp_path / "a"
    manifest = artifact.write(folder, FILES, MANIFEST)
    (folder / "policy.tflite").write_bytes(b"mod")
    with pytest.raises(ValueError, match=r"has 3 bytes, and policy\.json says 5"):
        artifact.verify(folder)
    (folder / "policy.tflite").write_bytes(b"MODEL")
    with pytest.raises(ValueError, match="SHA-256 differs"):
        artifact.read_file(folder, manifest, "policy.tflite")
    (folder / "policy.tflite").unlink()
    with pytest.raises(FileNotFoundError, match="missing from the folder"):
        artifact.read_file(folder, manifest, "policy.tflite")
    with pytest.raises(FileNotFoundError, match=r"missing from policy\.json"):
        artifact.read_file(folder, manifest, "policy.c")


def _edited(**changes):
    value = MANIFEST.to_json() | changes
    return json.dumps({key: item for key, item in value.items() if item != "drop"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ("[1]", "not of tfdrlprune"),
        ('{"format_version": "1"}', "not of tfdrlprune"),
        (_edited(format_version=2), "format_version 2, and this tfdrlprune reads 1"),
        (_edited(head="drop"), "'head' is missing"),
        (_edited(head={"kind": "softmax", "scale": 1, "offset": 0}), "kind is 'argmax'"),
        (_edited(precision="int4"), "precision is one of"),
        (_edited(sparsity=3), "damaged"),
        (_edited(files={"../../x": {"size_bytes": 1, "sha256": ""}}), "plain name"),
        (_edited(observation=7), "damaged"),
    ],
)
def test_manifests_that_cannot_be_are_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        artifact.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path):
    for folder in (tmp_path, tmp_path / "none", __file__):
        with pytest.raises(FileNotFoundError, match="is not an artifact"):
            artifact.read(folder)
    (tmp_path / "policy.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="damaged: it is no text"):
        artifact.read(tmp_path)


def test_signature_names_are_identifiers_and_differ():
    leaves = ["a/b", "a_b", "0", "from", "café", ""]
    nest = tuple(ArraySpec(name, (), "float32") for name in leaves)
    names = artifact.signature_names(nest)
    assert names == ["a_b", "a_b_2", "x_0", "from_", "caf_", "x_"]
    assert all(name.isidentifier() for name in names)
