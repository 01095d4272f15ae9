"""What commands print and write: results, JSON files, progress."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tfdrlprune.folders import replace_file

Progress = Callable[[str, int, int], None]


def show(*results: Any) -> None:
    """Prints results on stdout: with colours on a terminal, as wide as need be elsewhere."""
    from rich.console import Console

    console = Console(width=None if _is_terminal(sys.stdout) else 250, highlight=False)
    for result in results:
        console.print(result, soft_wrap=isinstance(result, str), markup=False)


def _is_terminal(stream: IO[str] | None) -> bool:
    # Python has None for a stream that was closed before it began.
    return stream is not None and stream.isatty()


def check_json(path: Path | None) -> None:
    """Raises FileNotFoundError or PermissionError if a JSON file cannot be, before any work."""
    if path is None or _is_stream(path):
        return
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"--json {path}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"--json {path}: nothing can be written in {folder}.")


def check_logs(path: Path | None) -> None:
    """Raises PermissionError if a folder of events cannot be made, before any work."""
    if path is None:
        return
    there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if not os.access(there, os.W_OK):
        raise PermissionError(f"--tensorboard {path}: nothing can be written in {there}.")


def write_json(path: Path | None, value: Any) -> None:
    """Writes a JSON file, whole or not at all; None writes nothing.

    A link stays a link, and what is no file, as ``/dev/stdout``, is written to and not replaced.
    """
    if path is None:
        return
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if _is_stream(path):
        path.write_text(text, encoding="utf-8")
        return
    replace_file(path, text.encode())


def _is_stream(path: Path) -> bool:
    return path.exists() and not path.is_file()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Says on a terminal why nothing happens for some seconds, while the body imports TensorFlow.

    The line goes away afterwards. In a pipe there is none.
    """
    if "tensorflow" in sys.modules or not _is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    # Not turning: imports hold back what is written meanwhile.
    with Console(stderr=True).status("Loading TensorFlow ..."):
        yield


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Yields a function of (what is going on, done, in all): bars on a terminal, else lines.

    It goes to stderr, so that results can be piped.
    """
    if not _is_terminal(sys.stderr):
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = _Tasks(bars)
        try:
            yield tasks
        finally:
            tasks.show_all()


class _Lines:
    """One line when something begins, and one when it is done."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._done: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:
        stage = what.split(":", maxsplit=1)[0]
        if stage not in self._begun:
            self._begun.add(stage)
            print(f"{stage} ...", file=sys.stderr, flush=True)
        if done >= total and stage not in self._done:
            self._done.add(stage)
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


class _Tasks:
    """One bar for each thing that goes on; what follows a colon is its news.

    Of more than the terminal has lines for, those that began last are shown while it runs: rich
    would show the first.
    """

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        stage = what.split(":", maxsplit=1)[0]
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
            for early in list(self._tasks.values())[: 1 - self._bars.console.height]:
                self._bars.update(early, visible=False)
        self._bars.update(self._tasks[stage], completed=done, total=total, description=what)

    def show_all(self) -> None:
        """Shows all, as what stays on the terminal when it is over."""
        for task in self._tasks.values():
            self._bars.update(task, visible=True)
