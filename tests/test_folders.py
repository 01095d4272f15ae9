"""Output folders appear whole or not at all."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tfdrlprune.folders import atomic_folder, check_free


def fill(target, error=None, *, force=False):
    """Writes a folder, and raises ``error`` half-way."""
    with atomic_folder(target, force=force) as folder:
        (folder / "new").write_text("2")
        if error is not None:
            raise error


def test_a_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "a" / "b"
    with atomic_folder(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_the_block_raises(tmp_path, error):
    with pytest.raises(error):
        fill(tmp_path / "a" / "b", error)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "mine").write_text("1")
    with pytest.raises(FileExistsError, match="not overwritten"), atomic_folder(target):
        pytest.fail("the block must not run")
    assert (target / "mine").read_text() == "1"


def test_force_replaces_the_whole_folder(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    with atomic_folder(target, force=True) as folder:
        (folder / "new").write_text("2")
        assert (target / "old").exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_keeps_the_old_folder_when_the_block_raises(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    with pytest.raises(ValueError, match="no"):
        fill(target, ValueError("no"), force=True)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_old_folder_comes_back_when_the_last_rename_fails(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    rename = os.replace

    def fails_for_the_new_one(source, destination):
        if str(source).endswith(".partial"):
            raise OSError("disk full")
        rename(source, destination)

    monkeypatch.setattr(os, "replace", fails_for_the_new_one)
    with pytest.raises(OSError, match="disk full"):
        fill(target, force=True)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_spares_a_folder_of_another_kind(tmp_path):
    target = tmp_path / "home"
    target.mkdir()
    (target / "thesis").write_text("1")
    with pytest.raises(FileExistsError, match="something else"):
        check_free(target, force=True, replaces=lambda folder: (folder / "policy.json").exists())


def test_an_empty_folder_may_be_filled_and_a_file_never(tmp_path):
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as folder:
        (folder / "x").write_text("1")
    assert (tmp_path / "empty" / "x").exists()
    (tmp_path / "file").write_text("1")
    with pytest.raises(FileExistsError, match="is a file"):
        check_free(tmp_path / "file", force=True)


def test_a_mount_point_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == os.path.realpath(tmp_path))
    with pytest.raises(FileExistsError, match=r"mounted.*Name a folder in it"):
        check_free(tmp_path)
    check_free(tmp_path / "inside")


def test_where_nothing_can_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    # Root may write anywhere, so the answer is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != os.path.realpath(tmp_path))
    with pytest.raises(PermissionError, match=r"nothing can be written in .*Name another folder"):
        check_free(tmp_path / "runs" / "out")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"since .*file is a file\. Name another"):
        check_free(tmp_path / "file" / "out")
    (tmp_path / "mine").mkdir()
    check_free(tmp_path / "mine" / "out")


def test_ctrl_c_leaves_nothing(tmp_path):
    script = textwrap.dedent("""
        import sys, time
        from tfdrlprune.folders import atomic_folder
        with atomic_folder(sys.argv[1] + "/runs/out") as folder:
            (folder / "x").write_text("1")
            print("ready", flush=True)
            time.sleep(60)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    assert list(tmp_path.iterdir()) == []
