"""Runs the notebooks of this folder from top to bottom and keeps what they put out.

`make notebooks` runs all of them; ``python colab/execute.py colab/01_prune_while_training.ipynb``
one. They run in a temporary folder, so that nothing of what they write stays here.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_LONGEST_S = 600  # of one cell; a slow machine, not a hang
# The version of Python differs from machine to machine and would be in every difference.
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks() -> list[Path]:
    """Returns the notebooks of this folder, in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def digest(notebook: Any) -> str:
    """Returns a SHA-256 of the notebook's code, which says what its outputs were made by."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\0".join(code).encode()).hexdigest()


def executed(path: Path) -> Any:
    """Returns the notebook with the outputs that it has now.

    Raises:
        CellExecutionError: a cell raised an error; shows it.
    """
    notebook = nbformat.read(path, as_version=4)
    # Commands of this installation come first, as in a virtual environment that is active.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=_LONGEST_S,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    notebook.metadata = {**_METADATA, "executed_code_sha256": digest(notebook)}
    return notebook


def main(arguments: Sequence[str]) -> None:
    """Executes the notebooks named, or all, in place."""
    for path in [Path(each) for each in arguments] or notebooks():
        begin = time.monotonic()
        notebook = executed(path)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.monotonic() - begin:.0f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
