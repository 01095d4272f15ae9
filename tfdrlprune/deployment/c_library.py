"""A compiled ``policy.c``, called from Python. NumPy and ctypes only."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdrlprune.deployment import c_compiler
from tfdrlprune.deployment.artifact import Manifest, signature_names
from tfdrlprune.specs import Array, flatten, output_count

HEADER_FILE = "policy.h"
SOURCE_FILE = "policy.c"


class Library:
    """The functions of a compiled policy, with tensors in and out as an interpreter has them.

    Not thread-safe: it holds one observation, one state and one action. The C itself is.

    Args:
        path: of the shared library.
        manifest: of the artifact that it was made of.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        held = ctypes.CDLL(str(path))
        self._dtype = np.dtype(manifest.action.dtype)
        given = [np.zeros((1, *spec.shape), spec.dtype) for spec in flatten(manifest.observation)]
        states = [] if manifest.state is None else flatten(manifest.state)
        sizes = [int(np.prod(spec.shape, dtype=int)) for spec in states]
        # One array for all leaves; what is set and got are parts of it.
        state, following = np.zeros(sum(sizes), np.float32), np.zeros(sum(sizes), np.float32)
        ends = np.cumsum(sizes)[:-1]
        self._given = given + [
            part.reshape(1, *spec.shape)
            for part, spec in zip(np.split(state, ends) if states else (), states, strict=True)
        ]
        self._following = [
            part.reshape(1, *spec.shape)
            for part, spec in zip(np.split(following, ends) if states else (), states, strict=True)
        ]
        names = [] if manifest.state is None else signature_names(manifest.state)
        self._names = ["action", "outputs", *(f"next_{name}" for name in names)]
        self._action = np.zeros((1, *manifest.action.shape), np.float32)
        self._outputs = np.zeros((1, output_count(manifest.head, manifest.action)), np.float32)
        arguments = [*given, state, following] if states else given
        self._act = _bound(held.policy_action, [*arguments, self._action])
        self._score = _bound(held.policy_outputs, [*arguments, self._outputs])

    def bound(self) -> tuple[list[int], dict[str, int]]:
        """Returns the numbers of the inputs, state included, and of the results by name."""
        return list(range(len(self._given))), {name: n for n, name in enumerate(self._names)}

    def set_tensor(self, index: int, value: Array) -> None:
        """Takes one leaf of an observation or of the state, [1, *shape]."""
        self._given[index][...] = value

    def invoke(self) -> None:
        """Computes the action and the next state."""
        self._act()

    def get_tensor(self, index: int) -> Array:
        """Returns a result, [1, ...]."""
        if index == 0:
            return self._action.astype(self._dtype)
        if index == 1:
            self._score()
            return self._outputs.copy()
        return self._following[index - 2].copy()


def load(files: Mapping[str, bytes], manifest: Manifest) -> Library:
    """Returns the library of ``policy.c`` and ``policy.h``, compiled where it is not kept already.

    Raises:
        FileNotFoundError: there is no compiler.
        ValueError: it refuses the files.
    """
    return Library(c_compiler.library(files), manifest)


def _bound(function: Any, arguments: list[Array]) -> Callable[[], None]:
    """Returns the function of no arguments that calls C on these arrays, which it keeps alive."""
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arguments]
    function.restype = None

    def call(_: list[Array] = arguments) -> None:
        function(*pointers)

    return call
