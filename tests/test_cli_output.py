"""What commands write: whole files, progress in lines, exit codes."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest
import rich.console
import rich.progress

from tfdrlprune.cli import exits, output


def test_json_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "result.json"
    output.write_json(file, {"a": [1, None]})
    assert json.loads(file.read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        output.write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": [1, None]}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_json_file_in_no_folder_is_refused_before_the_work(tmp_path):
    output.check_json(None)
    output.check_json(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        output.check_json(tmp_path / "missing" / "x.json")


def test_a_json_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda folder, mode: False)
    with pytest.raises(PermissionError, match="nothing can be written"):
        output.check_json(tmp_path / "x.json")


def test_json_goes_into_a_pipe_and_does_not_replace_it(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    output.check_json(pipe)
    output.write_json(pipe, [1])
    assert json.loads(os.read(reader, 100)) == [1]
    os.close(reader)
    assert pipe.is_fifo()


def test_json_goes_where_a_link_leads(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "x.json")
    output.write_json(tmp_path / "link.json", [1])
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real" / "x.json").read_text()) == [1]


def test_without_stdout_and_stderr_nothing_is_shown(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    with output.progress() as progress:
        progress("judging", 1, 1)
    output.show("done")


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self):
        return True


def test_a_terminal_is_told_that_tensorflow_loads_once_and_a_pipe_is_not(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    with output.loading():
        pass
    assert capsys.readouterr() == ("", "")
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    with output.loading():
        pass
    assert "Loading TensorFlow" in shown.getvalue()
    length = len(shown.getvalue())
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # is there
    with output.loading():
        pass
    assert len(shown.getvalue()) == length


def test_progress_elsewhere_than_on_a_terminal_is_two_lines_a_stage(capsys):
    with output.progress() as progress:
        for done in range(101):
            progress(f"pruning: round {done // 10}", done, 100)
        progress("pruning: again", 100, 100)
        progress("judging", 2, 2)
    assert capsys.readouterr().err.splitlines() == [
        "pruning ...",
        "pruning: round 10: 100 of 100",
        "judging ...",
        "judging: 2 of 2",
    ]


def test_verdicts_become_the_worst_ones_exit_code():
    assert exits.of_verdicts(["PASS", None, "PASS"]) == 0
    assert exits.of_verdicts(["PASS", "INCONCLUSIVE"]) == 4
    assert exits.of_verdicts(["INCONCLUSIVE", "FAIL", "PASS"]) == 3


def test_of_more_bars_than_a_terminal_has_lines_the_last_are_shown_and_all_at_the_end():
    bars = rich.progress.Progress(console=rich.console.Console(file=io.StringIO(), height=5))
    tasks = output._Tasks(bars)
    for number in range(9):
        tasks(f"lesson {number}", 1, 1)
    assert [bar.description for bar in bars.tasks if bar.visible] == [
        f"lesson {number}" for number in range(5, 9)
    ]
    tasks.show_all()
    assert all(bar.visible for bar in bars.tasks)
