"""Puts a page of the command's help texts into the site, as ``api/commands.md``; a mkdocs hook."""

from __future__ import annotations

from typing import Any

import click
from mkdocs.structure.files import File, Files

from tfdrlprune.cli.app import app

_COLUMNS = 96
_INTRODUCTION = """# Commands

What `tfdrlprune COMMAND --help` says. Flags that are fields of a recipe are explained at
[Recipe](pruning.md#tfdrlprune.recipe.Recipe).
"""


def on_files(files: Files, config: Any) -> Files:
    """Returns the files with the page."""
    files.append(File.generated(config, "api/commands.md", content=page()))
    return files


def page() -> str:
    """Returns the help of every command, as Markdown."""
    parts = [_INTRODUCTION]
    for name, command in app.commands.items():
        with click.Context(
            command, info_name=f"tfdrlprune {name}", terminal_width=_COLUMNS
        ) as context:
            parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
