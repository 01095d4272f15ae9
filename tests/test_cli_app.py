"""The command as a whole: help, exit codes, errors in one line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import click
import pytest

import tfdrlprune
from tfdrlprune.cli import app
from tfdrlprune.cli.exits import Terminated

COMMANDS = ["benchmark", "compress", "demo", "evaluate", "export", "inspect", "report", "train"]


@pytest.fixture
def failing(monkeypatch):
    """Returns a function that runs a command which raises the given error."""

    def run(error: BaseException) -> int:
        @click.command("fail")
        def fail() -> None:
            raise error

        monkeypatch.setitem(app.app.commands, "fail", fail)
        return app.run(["fail"])

    return run


def test_there_are_these_commands(capsys):
    assert sorted(app.app.commands) == COMMANDS
    assert app.run(["--help"]) == 0
    assert "3 the gate says FAIL" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_seed_and_json(name, capsys):
    assert app.run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Example:\n    tfdrlprune {name} " in shown
    assert "--seed" in shown
    assert "--json" in shown


def test_help_and_bad_use_load_nothing_heavy():
    code = (
        "import sys; from tfdrlprune.cli.app import run;"
        "run(['compress', '--help']); run(['train', 'x', '--algo', 'sac', '--out', 'y']);"
        "heavy = {'tensorflow', 'numpy', 'rich', 'gymnasium', 'matplotlib'};"
        "print(sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_and_the_script_are_the_same_command():
    command = [sys.executable, "-m", "tfdrlprune", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"tfdrlprune, version {tfdrlprune.__version__}\n"


def test_without_click_the_command_says_what_to_install():
    code = (
        "import sys; sys.modules['click'] = None;"
        "from tfdrlprune.cli import main; sys.argv = ['tfdrlprune', '--help']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'tfdrlprune[train]'" in done.stderr


def test_where_something_else_brought_click_along_missing_packages_are_named_with_the_extra():
    code = (
        "import sys; sys.modules['gymnasium'] = None;"
        "from tfdrlprune.cli.app import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "evaluate", "x", "--env", "CartPole-v1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "Error: gymnasium is not installed. Install the training extra: "
        "pip install 'tfdrlprune[train]'\n"
    )


def test_bad_use_is_one_line_and_exit_code_2(capsys):
    assert app.run(["train", "CartPole-v1", "--algo", "trpo", "--out", "x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: Invalid value for '--algo': 'trpo' is not one of")
    assert captured.err.endswith("See tfdrlprune train --help.\n")
    assert captured.err.count("\n") == 1


def test_an_error_of_a_library_is_unexpected_and_says_how_to_see_more(failing, capsys):
    assert failing(ValueError("deep\ninside")) == 1  # raised in this test, not in the package
    assert capsys.readouterr().err == (
        "Unexpected error: ValueError: deep inside (Set TFDRLPRUNE_DEBUG=1 to see the traceback.)\n"
    )


def test_an_error_of_our_own_on_bad_input_is_one_line_and_exit_code_2(capsys):
    from tfdrlprune.recipe import check_sparsity

    with pytest.raises(ValueError, match=r"For 90 % write 0\.9") as raised:
        check_sparsity(90)
    assert app.is_bad_input(raised.value)
    with pytest.raises(ValueError, match="could not convert") as raised:
        float("x")
    assert not app.is_bad_input(raised.value)


def test_an_error_of_python_within_our_code_is_a_bug():
    from tfdrlprune.recipe import Recipe

    with pytest.raises(TypeError, match="iterable") as raised:
        Recipe.from_dict(None)
    assert not app.is_bad_input(raised.value)


@pytest.mark.parametrize("error", [ImportError("no gym"), FileNotFoundError(2, "No such", "f")])
def test_files_and_imports_are_bad_input_whoever_raises_them(error, failing, capsys):
    assert failing(error) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_the_traceback_is_shown_on_request(failing, capsys, monkeypatch):
    monkeypatch.setenv("TFDRLPRUNE_DEBUG", "1")
    assert failing(RuntimeError("oh")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interrupt_is_exit_code_130(failing, capsys):
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "Interrupted. No output folder was left behind."


def test_sigterm_ends_a_command_as_an_interrupt_does_with_its_own_code(failing, capsys):
    assert failing(Terminated("run.partial keeps what was trained.")) == 143
    assert capsys.readouterr().err.strip() == "Terminated. run.partial keeps what was trained."


def test_an_interrupt_before_there_are_commands_is_one_line_too():
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'tfdrlprune.cli.compress': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from tfdrlprune.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "Interrupted. No output folder was left behind.\n"


def test_an_interrupt_says_what_a_command_leaves_behind(failing, capsys):
    assert failing(KeyboardInterrupt("small.work keeps what was done.")) == 130
    assert capsys.readouterr().err.strip() == "Interrupted. small.work keeps what was done."


def test_no_command_at_all_shows_the_help_in_its_lines(capsys):
    assert app.run([]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: tfdrlprune [OPTIONS] COMMAND [ARGS]...\n")
    assert "\n  compress " in shown


def test_a_full_disk_is_told_with_the_remedy(failing, capsys):
    assert failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "small/policy.tflite")) == 2
    assert capsys.readouterr().err == (
        "Error: The disk is full (small/policy.tflite). Make room and give the same command again."
        "\n"
    )


def test_sentences_of_click_end_before_the_hint(capsys):
    assert app.run(["train", "CartPole-v1", "--out", "x"]) == 2
    assert capsys.readouterr().err == (
        "Error: Missing option '--algo'. Choose from: dqn, c51, ppo, sac, td3. "
        "See tfdrlprune train --help.\n"
    )
