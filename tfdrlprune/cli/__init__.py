"""The command ``tfdrlprune``, one file a command; what is heavy is imported inside the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command and leaves the process with its exit code."""
    try:
        import click  # noqa: F401

        from tfdrlprune.cli.app import listen, run
    except ModuleNotFoundError:
        print(
            "Error: the command needs the training extra: pip install 'tfdrlprune[train]'. "
            "On a robot, tfdrlprune.runtime is all there is.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:  # the commands are not there yet, and could not say it
        print("Interrupted. No output folder was left behind.", file=sys.stderr)
        sys.exit(130)
    listen()
    sys.exit(run(sys.argv[1:]))
