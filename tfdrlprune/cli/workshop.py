"""The folder that a run has while it lasts: its backups, and a lock that keeps others out."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import filelock

from tfdrlprune.folders import make_parents, replace_file

_SETTINGS_FILE = "settings.json"
_LOCK_FILE = "lock"
# Keras's folder in it, of which each worker has its own: here one.
BACKUP = "backup"


def check_work(work: Path, settings: Mapping[str, Any], *, resume: bool, force: bool) -> None:
    """Raises an error unless a killed run's folder is there for resuming, and only then.

    Args:
        work: the folder of backups.
        settings: of the run, as JSON values; a resumed one has the same.
        resume: whether a killed run goes on.
        force: whether a killed run may be thrown away.

    Raises:
        FileExistsError: a killed run is there and neither is asked for, or something else is, or
            another process trains into it.
        FileNotFoundError: there is no killed run to resume.
        ValueError: the killed run had other settings.
    """
    if (work / _SETTINGS_FILE).is_file():
        with _alone(work):
            pass
    if not resume:
        ours = (work / _SETTINGS_FILE).is_file()
        if ours and not force:
            raise FileExistsError(
                f"{work} holds a run that was killed. Go on with it by --resume, or begin anew by "
                "--force."
            )
        if os.path.lexists(work) and not ours:
            raise FileExistsError(
                f"{work} is needed while the run lasts, and is there already, but is none of a "
                "killed run's. Name another --out, or remove it yourself."
            )
        return
    try:
        killed = json.loads((work / _SETTINGS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"There is nothing to resume: no {work}. Start without --resume."
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{work / _SETTINGS_FILE} is damaged: {error}. Begin anew by --force."
        ) from None
    for name, value in settings.items():
        if killed.get(name) != value:
            raise ValueError(
                f"{work} is another run: its {name} is {killed.get(name)!r}. Received: {value!r}. "
                "Resume it with the flags that it was started with."
            )


@contextlib.contextmanager
def workshop(
    work: Path, settings: Mapping[str, Any], *, resume: bool, force: bool
) -> Iterator[None]:
    """Makes the folder, or takes a killed run's; takes it away again unless there is a backup.

    Takes what `check_work` does. Raises FileExistsError where another process trains into it, and
    OSError where the disk is full, which says how to go on, as Ctrl-C does.
    """
    made = make_parents(work.parent)
    try:
        if not resume:
            _begin(work, settings, force)
        with _alone(work):
            yield
    except KeyboardInterrupt as stop:
        # What there was before this command, or there is to go on from, is not thrown away.
        if resume or any((work / BACKUP).glob("*/checkpoint")):
            raise type(stop)(
                f"{os.path.relpath(work)} keeps what was trained: go on by --resume."
            ) from None
        _remove(work, made)
        raise
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" not in str(error):
            raise  # of memory
        message = "The disk is full. Make room and go on by --resume"
        raise OSError(errno.ENOSPC, message, str(work)) from error


def _begin(work: Path, settings: Mapping[str, Any], force: bool) -> None:
    if force and work.exists():
        with _alone(work):
            shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
    except FileExistsError:  # another process was faster
        raise _in_use(work) from None
    try:
        # Whole or not at all: by this file a killed run is known.
        replace_file(work / _SETTINGS_FILE, json.dumps(settings, indent=2).encode())
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _remove(work: Path, made: list[Path]) -> None:
    """Takes the folder away, and the parents that were made for it."""
    shutil.rmtree(work, ignore_errors=True)
    for parent in made:
        with contextlib.suppress(OSError):
            parent.rmdir()


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Keeps other processes out of a folder; what a killed one held is free again."""
    lock = filelock.FileLock(work / _LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _in_use(work) from None
    try:
        yield
    finally:
        (work / _LOCK_FILE).unlink(missing_ok=True)
        lock.release()


def _in_use(work: Path) -> FileExistsError:
    return FileExistsError(
        f"{work} is in use: another process is training into it. Wait, or name another --out."
    )
