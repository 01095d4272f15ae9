"""Paths that were probably meant."""

import pytest

from tfdrlprune.nearest import check_policy_there, inside, instead_of_artifact, similar


def is_artifact(path):
    return (path / "policy.json").is_file()


def make(folder, *files):
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).touch()


def test_the_first_part_that_is_missing_is_compared(tmp_path):
    make(tmp_path / "runs" / "cartpole")
    assert similar(tmp_path / "run" / "cartpole") == f" Did you mean {tmp_path / 'runs'}?"
    wanted = tmp_path / "runs" / "cartpole"
    assert similar(tmp_path / "runs" / "carpole" / "policy") == f" Did you mean {wanted}?"
    assert similar(tmp_path / "other") == ""


def test_what_is_wanted_is_found_two_folders_down_and_its_parts_are_not(tmp_path):
    make(tmp_path / "a" / "first", "policy.json")
    make(tmp_path / "a" / "first" / "copy", "policy.json")
    make(tmp_path / "b", "policy.json")
    make(tmp_path / "b" / "copy", "policy.json")
    found = inside(tmp_path, is_artifact)
    assert found == f" Did you mean {tmp_path / 'b'} or {tmp_path / 'a' / 'first'}?"
    assert inside(tmp_path / "no such", is_artifact) == ""


@pytest.mark.parametrize("file", ["run.json", "saved_model.pb", "policy-form.json"])
def test_a_policy_where_an_artifact_belongs_is_to_be_exported(file, tmp_path):
    make(tmp_path / "run", file)
    said = instead_of_artifact(tmp_path / "run", is_artifact)
    assert f"tfdrlprune export {tmp_path / 'run'} --out DIR" in said


def test_a_missing_policy_names_its_neighbour(tmp_path):
    (tmp_path / "dqn.keras").touch()
    with pytest.raises(FileNotFoundError, match=r"no such file or folder\. Did you mean .*dqn.ker"):
        check_policy_there(tmp_path / "dqn.kears")
    check_policy_there(tmp_path / "dqn.keras")


def test_an_artifact_where_a_policy_belongs_is_told_first(tmp_path):
    make(tmp_path / "small", "policy.tflite")
    for path in (tmp_path / "small", tmp_path / "small" / "policy.tflite"):
        with pytest.raises(ValueError, match="is an exported artifact"):
            check_policy_there(path)
