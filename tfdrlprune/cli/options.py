"""Options that commands share: paths, the seed, and what is written where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
ANY = click.Path(path_type=Path)
# NumPy, TensorFlow and Gymnasium take no larger one.
_MAX_SEED = 2**32 - 1


def example(line: str) -> str:
    """Returns the end of a command's help: an example in a line of its own."""
    return f"\b\nExample:\n  {line}"


def seed(command: Command) -> Command:
    """Adds ``--seed``."""
    option = click.option(
        "--seed",
        type=click.IntRange(0, _MAX_SEED),
        default=0,
        show_default=True,
        help="Of all chance.",
    )
    return option(command)


def json_file(command: Command) -> Command:
    """Adds ``--json``."""
    option = click.option(
        "--json", "json_file", type=FILE, help="Write the result to this file as JSON."
    )
    return option(command)


def tensorboard(command: Command) -> Command:
    """Adds ``--tensorboard``."""
    option = click.option(
        *("--tensorboard", "logs"),
        type=FOLDER,
        help="Also write choices and results into this folder, for TensorBoard's HParams tab.",
    )
    return option(command)


def out(command: Command) -> Command:
    """Adds ``--out`` and ``--force``."""
    folder = click.option(
        "--out", type=FOLDER, required=True, help="Folder to write, whole or not at all."
    )
    force = click.option(
        "--force", is_flag=True, help="Replace the output folder if it is one of ours."
    )
    return folder(force(command))
