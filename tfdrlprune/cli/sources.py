"""What commands start from: policies, runs, recorded observations, artifacts, environments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RUN_FILE = "run.json"


def read_run(source: Path) -> dict[str, Any] | None:
    """Returns what ``run.json`` of a training run says; None if ``source`` is no such folder."""
    try:
        value = json.loads((source / RUN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"{source / RUN_FILE} is damaged: {error}. Train again.") from None
    return value if isinstance(value, dict) and "env" in value else None


def environment_of(source: Path, env: str | None) -> str | None:
    """Returns the environment given, else the one that a run was trained in, else None."""
    run = read_run(source) if env is None else None
    return env if run is None else str(run["env"])


def is_run(folder: Path) -> bool:
    """Tells whether a folder is a training run of ours."""
    try:
        return read_run(folder) is not None
    except ValueError:
        return False


def check_environment(env: str) -> None:
    """Raises ValueError or ImportError if an environment cannot be made; before any work."""
    from tfdrlprune.simulation import make

    make(env).close()


def check_policy(source: Path) -> None:
    """Raises FileNotFoundError or ValueError if there is no policy at a path; loads nothing."""
    from tfdrlprune.policies import loader

    loader.check_policy(source)


def load_policy(source: Path, env: str | None) -> Any:
    """Returns the policy at a path, with the environment's own specs where the file has none."""
    from tfdrlprune import policies

    return policies.load(source, **_specs(env))


def load_exportable(source: Path, env: str | None) -> Any:
    """Returns the same, or a frozen policy where a SavedModel cannot be rebuilt."""
    from tfdrlprune import policies

    return policies.load_exportable(source, **_specs(env))


def _specs(env: str | None) -> dict[str, Any]:
    if env is None:
        return {}
    from tfdrlprune.agents import spaces
    from tfdrlprune.agents.environments import spaces_of
    from tfdrlprune.specs import ArraySpec

    observation, action = spaces_of(env)
    own = spaces.action_nest(action)
    return {
        "observation": spaces.observation_nest(observation),
        "action": own if isinstance(own, ArraySpec) else None,
    }


def load_observations(file: Path, nest: Any) -> Any:
    """Returns the observations in an ``.npz`` file, a batch nested as ``nest``.

    Its arrays are named as the observation's leaves are (``inspect`` lists them) and have a batch
    axis; a single array may have any name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or its arrays don't fit.
    """
    import numpy as np

    from tfdrlprune.observations import as_batch
    from tfdrlprune.specs import flatten, pack_like

    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, AttributeError, EOFError) as error:
        raise ValueError(f"{file} is no .npz file of arrays: {error}") from error
    names = [leaf.name for leaf in flatten(nest)]
    if len(names) == 1 and len(arrays) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    if not set(names) <= set(arrays):
        raise ValueError(f"{file} holds the arrays {sorted(arrays)}. Expected: {names}.")
    observations = pack_like(nest, [arrays[name] for name in names])
    try:
        batched = as_batch(nest, observations)[1]
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if not batched:
        raise ValueError(f"{file} holds one observation without a batch axis. Give many.")
    return observations
