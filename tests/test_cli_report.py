"""``tfdrlprune report``: the page is made anew from what was written; nothing else is touched."""

from __future__ import annotations

import json
import os

import pytest
from reports import report

from tfdrlprune.cli.app import run

FILES = {"report.json", "report.npz", "report.md", "report.html"}


@pytest.fixture
def folder(tmp_path):
    report(small=True).write(tmp_path / "out")
    return tmp_path / "out"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_report_is_made_anew_as_it_was(folder, capsys):
    before = contents(folder)
    (folder / "report.html").write_text("spoilt")
    (folder / "report.md").unlink()
    assert run(["report", str(folder)]) == 0
    assert contents(folder) == before
    out = capsys.readouterr().out
    assert "PASS: not worse than" in out
    assert f"Wrote {folder / 'report.html'} and {folder / 'report.md'}." in " ".join(out.split())


def test_a_plain_page_replaces_a_page_and_other_files_stay(folder, tmp_path):
    (folder / "policy.tflite").write_text("x")
    times = {name: os.stat(folder / name).st_mtime_ns for name in ("report.json", "report.npz")}
    assert run(["report", str(folder), "--plain", "--json", str(tmp_path / "r.json")]) == 0
    assert "<script" not in (folder / "report.html").read_text()
    assert {name: os.stat(folder / name).st_mtime_ns for name in times} == times
    assert set(contents(folder)) == FILES | {"policy.tflite"}
    written = json.loads((tmp_path / "r.json").read_text())
    kept = json.loads((folder / "report.json").read_text())
    assert written == {name: value for name, value in kept.items() if name != "arrays"}


def test_what_is_no_report_is_one_line_and_exit_code_2_and_changes_nothing(folder, capsys):
    content = (folder / "report.json").read_text()
    (folder / "report.json").write_text(content[:-200])
    before = contents(folder)
    assert run(["report", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: ")
    assert "report.json is damaged" in line
    assert "compress the policy again" in line
    assert contents(folder) == before
    assert run(["report", str(folder / "nowhere")]) == 2
    assert "holds no report" in capsys.readouterr().err


@pytest.mark.parametrize("value", [None, [], "fast", {"median": "fast", "p99": 1.0}], ids=str)
def test_numbers_that_were_changed_into_something_else_are_bad_input_too(folder, value, capsys):
    content = json.loads((folder / "report.json").read_text())
    content["stages"][0]["latency_us"] = value
    (folder / "report.json").write_text(json.dumps(content))
    before = contents(folder)
    assert run(["report", str(folder), "--plain"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "report.json was changed, and cannot be shown" in line
    assert contents(folder) == before


def test_a_folder_in_which_nothing_can_be_written_is_told(folder, monkeypatch, capsys):
    # Root may write anywhere, so the answer is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder)
    assert run(["report", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"Error: Nothing can be written in {folder}. Copy it, and make the copy's page anew.\n"
    )
