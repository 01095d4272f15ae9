"""The group of commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import dis
import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tfdrlprune._version import __version__
from tfdrlprune.cli.benchmark import command as benchmark
from tfdrlprune.cli.compress import command as compress
from tfdrlprune.cli.demo import command as demo
from tfdrlprune.cli.evaluate import command as evaluate
from tfdrlprune.cli.exits import (
    BAD_INPUT,
    DONE,
    INTERRUPTED,
    TERMINATED,
    UNEXPECTED,
    Terminated,
)
from tfdrlprune.cli.export import command as export
from tfdrlprune.cli.inspect import command as inspect
from tfdrlprune.cli.report import command as report
from tfdrlprune.cli.train import command as train

DEBUG = "TFDRLPRUNE_DEBUG"
_PACKAGE = str(Path(__file__).parents[1])
_RAISE = dis.opmap["RAISE_VARARGS"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tfdrlprune")
def app() -> None:
    """Makes deep-RL policies small and fast, and judges the exported file in its environment.

    Exit codes: 0 done, and PASS where asked; 1 unexpected error; 2 bad use or bad input; 3 the gate
    says FAIL; 4 the gate is INCONCLUSIVE; 130 Ctrl-C; 143 SIGTERM.
    """


for _command in (train, compress, export, evaluate, inspect, benchmark, report, demo):
    app.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code; errors become one line on stderr.

    An error that this package raised on bad input is exit code 2. Anything else is a bug, of ours
    or of a library, and exit code 1. TFDRLPRUNE_DEBUG=1 shows the traceback of either.
    """
    try:
        code = app.main(args=list(arguments), prog_name="tfdrlprune", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BAD_INPUT
    except click.ClickException as error:
        return _bad_use(error)
    except (KeyboardInterrupt, click.Abort) as error:
        # A command may say what it leaves behind. Click makes an Abort of it, without words.
        cause = error.__cause__ or error
        said = str(error) or str(cause) or "No output folder was left behind."
        terminated = isinstance(cause, Terminated)
        click.echo(f"{'Terminated' if terminated else 'Interrupted'}. {said}", err=True)
        return TERMINATED if terminated else INTERRUPTED
    except Exception as error:
        return _failed(error)
    return code if isinstance(code, int) else DONE


def listen() -> None:
    """Has SIGTERM end a command as Ctrl-C does: told in a line, and with nothing half-written."""

    def stop(number: int, frame: Any) -> None:
        del number, frame
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def _bad_use(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    hint = f" See {context.command_path} --help." if context is not None else ""
    message = _one_line(error.format_message())
    if not message.endswith((".", "?", "!", ")")):
        message += "."
    click.echo(f"Error: {message}{hint}", err=True)
    return BAD_INPUT


def _failed(error: Exception) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exception(error, file=sys.stderr)
    if is_bad_input(error):
        click.echo(f"Error: {_one_line(_in_words(error))}", err=True)
        return BAD_INPUT
    name = type(error).__name__
    click.echo(
        f"Unexpected error: {name}: {_one_line(str(error))[:500]} "
        f"(Set {DEBUG}=1 to see the traceback.)",
        err=True,
    )
    return UNEXPECTED


def _in_words(error: Exception) -> str:
    """Returns the message, that of Python or the operating system with a remedy."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        # The robot's install, where something else has brought click along.
        package = error.name.partition(".")[0]
        return (
            f"{package} is not installed. Install the training extra: "
            "pip install 'tfdrlprune[train]'"
        )
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC and error.strerror == os.strerror(errno.ENOSPC):
        return f"The disk is full{where}. Make room and give the same command again."
    return f"{error.strerror}{where}."


def is_bad_input(error: BaseException) -> bool:
    """Tells whether an error says that something is wrong with what the user gave.

    Files and imports are what they are. Other errors are such only where a ``raise`` of our own
    raised them: a ValueError from the depths of a library, or a TypeError of Python itself, is a
    bug, and its message would explain nothing.
    """
    if isinstance(error, (ImportError, OSError)):
        return True
    if not isinstance(error, (ValueError, TypeError)):
        return False
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return False
    code = frame.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) and code.co_code[frame.tb_lasti] == _RAISE


def _one_line(text: str) -> str:
    return " ".join(text.split())
