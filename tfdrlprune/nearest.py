"""The path that was probably meant where there is nothing, or something else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Folders that are looked into at most: a home or a disk's root has more than anyone waits for.
_LOOKED_INTO = 200


def similar(path: str | os.PathLike[str]) -> str:
    """Returns " Did you mean ...?" with what is named alike beside a missing path, else "".

    The first part of the path that is missing is compared with what its folder holds.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "cartpole").mkdir()
        >>> similar(folder / "cartpol" / "policy").endswith("/cartpole?")
        True
        >>> similar(folder / "lander")
        ''
    """
    import difflib  # takes milliseconds, and a robot's start passes by here

    missing = Path(path)
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    try:
        names = os.listdir(missing.parent)
    except OSError:
        return ""
    close = difflib.get_close_matches(missing.name, names, n=1)
    return f" Did you mean {missing.parent / close[0]}?" if close else ""


def check_policy_there(path: Path) -> None:
    """Raises FileNotFoundError where nothing is at a path that should be a policy's.

    And ValueError where an artifact is, which nothing that is asked for with it would help.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"There is no policy at {path}: no such file or folder.{similar(path)}"
        )
    if (path / "policy.tflite").is_file() or path.suffix == ".tflite":
        raise ValueError(
            f"{path} is an exported artifact, which runs (tfdrlprune.runtime.load) but is not "
            "turned back into a model. Name the run or the model that it was exported from."
        )


def inside(folder: str | os.PathLike[str], wanted: Callable[[Path], bool]) -> str:
    """Returns " Did you mean ...?" with what is wanted and lies in a folder; else "".

    Its folders are looked into as well, and no deeper.

    Several are named, three at most, in the order of their names.

    Args:
        folder: that was named; anything else holds nothing.
        wanted: tells whether a path is what was meant.

    Example:
        >>> import tempfile
        >>> runs = Path(tempfile.mkdtemp())
        >>> (runs / "a").mkdir()
        >>> (runs / "a" / "policy.json").touch()
        >>> inside(runs, lambda path: (path / "policy.json").is_file()).endswith("/a?")
        True
    """
    found: list[Path] = []
    for each in _below(Path(folder)):
        # What lies in one that was found is a part of it.
        if not any(known in each.parents for known in found) and wanted(each):
            found.append(each)
        if len(found) == 3:
            break
    return f" Did you mean {' or '.join(map(str, found))}?" if found else ""


def instead_of_artifact(folder: Path, is_artifact: Callable[[Path], bool]) -> str:
    """Returns what to do where an artifact was expected; "" where nothing better is known."""
    if not folder.exists():
        return similar(folder)
    files = ("run.json", "saved_model.pb", "policy-form.json")
    if folder.suffix in (".keras", ".h5") or any((folder / name).is_file() for name in files):
        return f" This is a policy: make one of it by `tfdrlprune export {folder} --out DIR`."
    return inside(folder, is_artifact)


def _below(folder: Path) -> Iterator[Path]:
    """Yields what is in a folder, then what is in its folders."""
    try:
        first = sorted(folder.iterdir())[:_LOOKED_INTO]
    except OSError:
        return
    yield from first
    for each in first:
        try:
            yield from sorted(each.iterdir())[:_LOOKED_INTO]
        except OSError:
            continue
