"""What MuJoCo warns of while it compiles a model, as Python's warnings: once, and in no file."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def said_once() -> Iterator[None]:
    """Has what MuJoCo warns of in the body said through `warnings`, once a process by default.

    By itself it prints a warning for each environment that is made, and writes it to MUJOCO_LOG.TXT
    in the current folder, too. A handler that the user has set goes on being asked instead, and
    what a simulation warns of later comes out as ever.
    """
    mujoco: Any = sys.modules.get("mujoco")
    if mujoco is None or mujoco.get_mju_user_warning() is not None:
        yield
        return
    said: list[str] = []
    mujoco.set_mju_user_warning(said.append)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
        # Where Python remembers which warnings of a module it has shown.
        shown = vars(mujoco).setdefault("__warningregistry__", {})
        for text in said:
            warnings.warn_explicit(text, UserWarning, "mujoco", 0, "mujoco", shown)
