"""The store: what a compression has made so far, by what it was made of, for when it is killed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdrlprune._version import __version__
from tfdrlprune.folders import atomic_folder
from tfdrlprune.policies.form import Policy
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import nest_to_json

_RESULT_FILE = "result.json"
_KEY_FILE = "made_of.json"
# Beside the entries: what was played.
EPISODES = "episodes"


class Store:
    """A folder with an entry for everything that was made; entries are whole or not there.

    An entry's name is a digest of all that it was made of, so that a run that goes on, or another
    one that shares a part of it, finds it, and nothing else does.

    Args:
        folder: where; None keeps nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] | None):
        self.folder = None if folder is None else Path(folder)

    def of(
        self,
        made_of: dict[str, Any] | None,
        make: Callable[[], tuple[dict[str, Policy], dict[str, Any]]],
    ) -> tuple[dict[str, Policy], dict[str, Any]]:
        """Returns policies by name and JSON values, as stored, or as made now.

        Args:
            made_of: JSON values that determine the result; None where it cannot be told.
            make: makes them.
        """
        if self.folder is None or made_of is None:
            return make()
        text = json.dumps(made_of, sort_keys=True)
        path = self.folder / hashlib.sha256(text.encode()).hexdigest()[:24]
        if (path / _RESULT_FILE).is_file():
            result = json.loads((path / _RESULT_FILE).read_text(encoding="utf-8"))
            return {name: Policy.load(path / name) for name in result["policies"]}, result["values"]
        policies, values = make()
        with atomic_folder(path) as partial:
            for name, policy in policies.items():
                policy.save(partial / name)
            result = {"policies": list(policies), "values": values}
            (partial / _RESULT_FILE).write_text(json.dumps(result, indent=2), encoding="utf-8")
            (partial / _KEY_FILE).write_text(text, encoding="utf-8")
        return policies, values


def check_store(folder: Path) -> None:
    """Raises FileExistsError where a folder is there already and is no store's."""
    if not os.path.lexists(folder):
        return
    known = folder.is_dir() and all(
        (each / _RESULT_FILE).is_file() or each.name == EPISODES or each.suffix == ".partial"
        for each in folder.iterdir()
    )
    if not known:
        raise FileExistsError(
            f"{folder} is needed for what is made on the way, and holds something else. Name "
            "another one by --work, or remove it yourself."
        )


def environment_key(env: Environment | None) -> str | None:
    """Returns what names an environment in every process; None where nothing does."""
    if env is None or isinstance(env, str):
        return env or ""
    name = getattr(env, "__qualname__", "")
    if name and "<" not in name:
        return f"{env.__module__}:{name}"
    return None


def policy_key(policy: Policy) -> str:
    """Returns a digest of all that a policy computes."""
    digest = hashlib.sha256()
    form = [
        policy.model.get_config(),
        *(policy.head.to_json(), policy.action_spec.to_json()),
        nest_to_json(policy.observation_spec),
        None if policy.state_spec is None else nest_to_json(policy.state_spec),
    ]
    digest.update(json.dumps(form, sort_keys=True, default=str).encode())
    for weight in policy.model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return f"{__version__}:{digest.hexdigest()}"


def observations_key(leaves: Sequence[Any] | None) -> str:
    """Returns a digest of observations' leaves; "" for none."""
    digest = hashlib.sha256()
    for leaf in leaves or ():
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest() if leaves is not None else ""
