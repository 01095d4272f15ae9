"""``tfdrlprune report``: makes a report's page and text anew from its numbers."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tfdrlprune.cli import options, output


@click.command(
    "report",
    short_help="Make the page of a report anew.",
    epilog=options.example("tfdrlprune report small/ --plain"),
)
@click.argument("folder", metavar="DIR", type=options.FOLDER)
@click.option(
    "--plain",
    is_flag=True,
    help="A page without a script: 2 MB smaller, its plots do not answer to the pointer.",
)
@options.seed
@options.json_file
def command(folder: Path, plain: bool, seed: int, json_file: Path | None) -> None:
    """Writes report.html and report.md in DIR anew, from report.json and report.npz beside them.

    Nothing is played or measured again, and no other file is touched.
    """
    del seed  # every command has it; here nothing is left to chance
    output.check_json(json_file)
    from tfdrlprune.evidence import markdown, page, reading
    from tfdrlprune.evidence.report import JSON_FILE, PAGE_FILE, TEXT_FILE
    from tfdrlprune.folders import replace_file

    found = reading.read(folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"Nothing can be written in {folder}. Copy it, and make the copy's page anew."
        )
    try:
        made = {PAGE_FILE: page.render(found, plain=plain), TEXT_FILE: markdown.render(found)}
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Everything is there, but something is no number, or no name.
        raise ValueError(
            f"{folder / JSON_FILE} was changed, and cannot be shown: {error}. Compress the policy "
            "again."
        ) from error
    for name, content in made.items():
        replace_file(folder / name, content.encode())
    output.write_json(json_file, found.to_dict())
    output.show(found, f"Wrote {folder / PAGE_FILE} and {folder / TEXT_FILE}.")
