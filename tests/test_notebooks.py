"""Notebooks run from top to bottom, and are committed with what they put out."""

from __future__ import annotations

import base64
import getpass
import importlib.util
import io
import os
import re
import socket
from pathlib import Path

import nbformat
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "colab"
_spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)

NOTEBOOKS = execute.notebooks()
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(output):
    """Returns all that an output says, pictures aside."""
    if output.output_type == "stream":
        return [output.text]
    return [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]


def kinds(cell):
    """Returns what a cell puts out: the names of its streams, and its data by type."""
    return {
        output.name if output.output_type == "stream" else tuple(sorted(output.data))
        for output in cell.outputs
    }


def test_there_are_four_and_the_folder_s_page_names_each():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]
    assert re.findall(r"^\| \[.*?\]\((.*?)\)", page, re.M) == [path.name for path in NOTEBOOKS]


@notebooks
def test_the_outputs_are_those_of_the_cells_that_are_there(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata["executed_code_sha256"] == execute.digest(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert len(outputs(notebook)) >= 5


@notebooks
def test_the_outputs_name_no_machine_and_hold_no_warning(path):
    notebook = nbformat.read(path, as_version=4)
    private = [str(Path.home()), os.getcwd(), socket.gethostname(), "/tmp", "/home", "/root"]
    private += [name for name in [getpass.getuser()] if len(name) > 4]
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        for text in texts(output):
            assert [name for name in private if name in text] == []
            assert not re.search(r"warning|deprecat|traceback", text, re.I), text
            # Bold, which viewers show; nothing that moves the cursor.
            assert set(re.findall(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", text)) <= {"\x1b[0m", "\x1b[1m"}


@notebooks
def test_a_notebook_weighs_less_than_a_megabyte(path):
    assert path.stat().st_size < 1_000_000


@notebooks
def test_every_code_cell_is_short_and_links_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= 25
        for target in re.findall(
            r"\]\(([^)#]+)\)", cell.source if cell.cell_type != "code" else ""
        ):
            assert (FOLDER / target).exists(), target


def test_the_film_moves_and_is_small():
    notebook = nbformat.read(NOTEBOOKS[-1], as_version=4)
    (film,) = (
        each.data["image/gif"] for each in outputs(notebook) if "image/gif" in each.get("data", {})
    )
    content = base64.b64decode(film)
    assert len(content) < 400_000
    with Image.open(io.BytesIO(content)) as pictures:
        assert pictures.n_frames > 25  # frames that are the same become one
        left = []
        for number in (0, pictures.n_frames // 2):
            pictures.seek(number)
            left.append(pictures.convert("RGB").tobytes())
    assert left[0] != left[1]


@pytest.mark.slow
@notebooks
def test_a_notebook_runs_and_puts_out_what_it_did_before(path):
    before = nbformat.read(path, as_version=4)
    now = execute.executed(path)  # its assertions hold, or this raises
    for old, new in zip(code_cells(before), code_cells(now), strict=True):
        # What was installed on a fresh machine may have to say something at its first use.
        assert kinds(new) - {"stderr"} == kinds(old), new.source
