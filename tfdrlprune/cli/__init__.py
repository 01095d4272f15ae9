"""The command ``tfdrlprune``, one file a command; what is heavy is imported inside the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command and leaves the process with its exit code."""
    try:
        import click  # noqa: F401
    except ModuleNotFoundError:
        print(
            "Error: the command needs the training extra: pip install 'tfdrlprune[train]'. "
            "On a robot, tfdrlprune.runtime is all there is.",
            file=sys.stderr,
        )
        sys.exit(2)
    from tfdrlprune.cli.app import run

    sys.exit(run(sys.argv[1:]))
