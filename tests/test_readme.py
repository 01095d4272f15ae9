"""What the documents show runs: code blocks in order, and every command that they name.

A comment right above a block says how it is tested: ``<!-- test: slow -->`` runs it with the slow
tests only, ``<!-- test: no (reason) -->`` never. Blocks share one folder; Python blocks with no sh
between them share their names, too.

Of the README everything runs, of docs/ the Python; there the folder holds artifacts by the names
that the pages speak of, made of agents that nobody has trained.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tfdrlprune as tp
from tfdrlprune.cli.app import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_BLOCK = re.compile(
    r"(?:^<!-- test: (?P<how>slow|no \([^)]+\)) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, the line where it begins, and how it is tested."""

    language: str
    code: str
    line: int
    how: str


def blocks_of(text: str) -> list[Block]:
    return [
        Block(
            match["language"],
            match["code"],
            text.count("\n", 0, match.start("code")) + 1,
            (match["how"] or "default").split(" ")[0],
        )
        for match in _BLOCK.finditer(text)
    ]


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def commands_of(text: str) -> list[list[str]]:
    """Returns the arguments of every ``tfdrlprune`` command in the sh blocks of a document."""
    found = []
    for block in blocks_of(text):
        if block.language == "sh":
            for line in block.code.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] == "tfdrlprune":
                    found.append(words[1:])
    return found


def run_blocks(blocks: list[Block], folder: Path, page: str = "README.md") -> None:
    """Runs sh and python blocks in order; Python with nothing between in one process."""
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CI": "true",
    }
    runnable = [block for block in blocks if block.language in ("python", "sh")]
    for language, group in itertools.groupby(runnable, lambda block: block.language):
        several = list(group)
        if language == "python":
            command = [sys.executable, "-c", "".join(block.code for block in several)]
            _run(command, folder, env, f"{page}, line {several[0].line}")
            continue
        for block in several:
            command = ["bash", "-euo", "pipefail", "-c", block.code]
            _run(command, folder, env, f"{page}, line {block.line}")


def _run(command: list[str], folder: Path, env: dict[str, str], where: str) -> None:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    told = f"{done.stdout}\n{done.stderr}"[-3000:]
    assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{told}"


def pages_with(how: str) -> list[Any]:
    """Returns pytest parameters: the pages of docs/ with a Python block that is tested so."""
    return [
        pytest.param(path, id=path.relative_to(ROOT / "docs").as_posix())
        for path in sorted(ROOT.glob("docs/**/*.md"))
        if any(b.how == how for b in python_of(path))
    ]


def python_of(path: Path) -> list[Block]:
    return [b for b in blocks_of(path.read_text(encoding="utf-8")) if b.language == "python"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the artifacts that the pages name."""
    folder = tmp_path_factory.mktemp("artifacts")
    wanted = {
        "dense": ("CartPole-v1", (64, 64)),
        "small": ("CartPole-v1", (8, 8)),
        "cartpole": ("CartPole-v1", (16,)),
        "lander": ("LunarLander-v3", (16,)),
    }
    for name, (env, hidden) in wanted.items():
        policy = tp.policies.from_agent(tp.agents.dqn(env, hidden=hidden, seed=0))
        formats = ("tflite", "c") if name == "cartpole" else ("tflite",)
        tp.export(policy, folder / name, formats=formats)
    return folder


def test_blocks_are_found_with_their_language_line_and_marker():
    text = "# A\n```python\nx = 1\n```\ntext\n<!-- test: slow -->\n```sh\nls\n```\n"
    text += "<!-- test: no (needs a robot) -->\n```sh\nfly\n```\n"
    assert blocks_of(text) == [
        Block("python", "x = 1\n", 3, "default"),
        Block("sh", "ls\n", 8, "slow"),
        Block("sh", "fly\n", 12, "no"),
    ]


def test_blocks_share_a_folder_and_python_blocks_their_names(tmp_path):
    text = "```sh\necho 3 > n\n```\n```python\nn = int(open('n').read())\n```\n"
    run_blocks(blocks_of(text + "```python\nassert n == 3\n```\n"), tmp_path)
    with pytest.raises(AssertionError, match=r"README\.md, line 5"):
        run_blocks(blocks_of(text + "```python\nassert n == 4\n```\n"), tmp_path)


def test_the_readme_shows_python_and_commands():
    languages = {block.language for block in blocks_of(README.read_text(encoding="utf-8"))}
    assert {"python", "sh"} <= languages


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_every_documented_command_and_option_exists(path):
    for words in commands_of(path.read_text(encoding="utf-8")):
        command = app.commands[words[0]]
        # Parses, and raises click's error on what it doesn't know; nothing is run.
        command.make_context(words[0], list(words[1:]))


def test_the_readme_runs(tmp_path):
    blocks = blocks_of(README.read_text(encoding="utf-8"))
    run_blocks([block for block in blocks if block.how == "default"], tmp_path)


@pytest.mark.slow
def test_the_readme_runs_in_full(tmp_path):
    blocks = blocks_of(README.read_text(encoding="utf-8"))
    run_blocks([block for block in blocks if block.how != "no"], tmp_path)


@pytest.mark.parametrize("page", pages_with("default"))
def test_the_page_runs(page, artifacts, tmp_path):
    shutil.copytree(artifacts, tmp_path, dirs_exist_ok=True)
    run_blocks([block for block in python_of(page) if block.how == "default"], tmp_path, page.name)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("slow"))
def test_the_page_runs_in_full(page, artifacts, tmp_path):
    shutil.copytree(artifacts, tmp_path, dirs_exist_ok=True)
    run_blocks([block for block in python_of(page) if block.how != "no"], tmp_path, page.name)
