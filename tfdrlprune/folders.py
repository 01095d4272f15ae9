"""Output folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_folder(
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    replaces: Callable[[Path], bool] | None = None,
) -> Iterator[Path]:
    """Yields an empty folder to fill, which becomes ``path`` when the block ends without error.

    The folder that is filled is a hidden sibling of ``path``, flushed to disk and then renamed. If
    the block raises (Ctrl-C too), nothing is left and what stood at ``path`` stands there still.

    Args:
        path: the folder to create; parents are made as needed.
        force: whether an existing folder may be replaced. An empty one always may.
        replaces: tells whether an existing folder is of the kind that may be replaced, so that
            ``force`` and a slip of the keyboard don't delete somebody's home.

    Raises:
        FileExistsError: ``path`` is a file, a mount point, or a folder with content and ``force``
            is off, or one that ``replaces`` denies.
        PermissionError, NotADirectoryError: nothing can be written where it is to be.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "out"
        >>> with atomic_folder(target) as folder:
        ...     _ = (folder / "a.txt").write_text("hello")
        ...     target.exists()
        False
        >>> (target / "a.txt").read_text()
        'hello'
    """
    target = Path(os.path.realpath(path))
    check_free(target, force=force, replaces=replaces)
    made = make_parents(target.parent)
    token = os.urandom(4).hex()
    partial = target.with_name(f".{target.name}.{token}.partial")
    try:
        partial.mkdir()
        yield partial
        _flush(partial)
        check_free(target, force=force, replaces=replaces)
        _move(partial, target, target.with_name(f".{target.name}.{token}.old"))
    except BaseException:
        _remove(partial)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def check_free(
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    replaces: Callable[[Path], bool] | None = None,
) -> None:
    """Raises what `atomic_folder` would raise at ``path``: ask before a long run, not after it."""
    target = Path(os.path.realpath(path))
    _check_writable(target)
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file, and a folder is to be written. Name another.")
    if os.path.ismount(target):
        raise FileExistsError(
            f"{target} is where a disk or volume is mounted, and no folder can be renamed to it. "
            "Name a folder in it."
        )
    if not any(target.iterdir()):
        return
    if not force:
        raise FileExistsError(
            f"{target} exists and is not overwritten. Name another folder, or pass force=True "
            "(--force) to replace it."
        )
    if replaces is not None and not replaces(target):
        raise FileExistsError(
            f"{target} holds something else, so force does not replace it. Name another folder, or "
            "remove that one yourself."
        )


def _check_writable(target: Path) -> None:
    """Raises an error where no folder can be made at ``target``, or renamed to it."""
    there = next((each for each in target.parents if os.path.lexists(each)), target)
    if not there.is_dir():
        raise NotADirectoryError(
            f"{target} cannot be made, since {there} is a file. Name another folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{target} cannot be made: nothing can be written in {there}. Name another folder."
        )


def make_parents(folder: Path) -> list[Path]:
    """Makes ``folder`` and its parents; returns those that were not there, the deepest first."""
    missing = []
    current = folder
    while not current.exists():
        missing.append(current)
        current = current.parent
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _move(partial: Path, target: Path, aside: Path) -> None:
    """Renames ``partial`` to ``target``; an old ``target`` goes aside first and is then deleted."""
    if not target.exists() or not any(target.iterdir()):
        os.replace(partial, target)
        _sync(target.parent)
        return
    os.replace(target, aside)
    try:
        os.replace(partial, target)
    except BaseException:
        if not target.exists():
            os.replace(aside, target)
        raise
    _sync(target.parent)
    _remove(aside)


def _remove(folder: Path) -> None:
    import shutil  # takes two milliseconds, and the runtime, which comes by here, never writes

    shutil.rmtree(folder, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Writes everything below ``folder`` through to the disk."""
    for root, _, files in os.walk(folder):
        for name in files:
            _sync(Path(root, name))
        _sync(Path(root))


def _sync(path: Path) -> None:
    # Some file systems (network shares) don't know fsync of a folder; the rename stands anyway.
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file whole or not at all, in the place of one that is there; a link stays a link."""
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
