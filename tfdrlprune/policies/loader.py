"""A policy from whatever is on disk: ours, a run, a Keras file, a PolicySaver SavedModel."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tfdrlprune.policies import form, frozen, keras_file, saved_model
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.signature_file import is_saved_model
from tfdrlprune.specs import ArraySpec, Head, Nest

# Within the folder of a training run.
_RUN_POLICY = "policy"
_RUN_SAVED_MODEL = "saved_model"


def load(
    path: str | os.PathLike[str],
    *,
    head: Head | None = None,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
) -> Policy:
    """Returns the policy at ``path``; no Python code from a file is ever run.

    Args:
        path: a folder of `Policy.save`; the folder of a run of `tfdrlprune train`; a ``.keras`` or
            ``.h5`` file or Keras SavedModel; or a SavedModel folder of TF-Agents' PolicySaver.
        head: how a Keras model's outputs become the action; the others say it themselves.
        observation: the environment's observation specs, where the file has none.
        action: the environment's own action spec. A Keras model needs it; of a SavedModel it
            shifts the discrete actions, which begin at 0 there.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        ValueError: what is there is no policy, is damaged, holds code, or cannot be rebuilt; says
            why, and which layer or operation.
    """
    return _load(Path(path), saved_model.load_policy, head, observation, action)


def load_exportable(
    path: str | os.PathLike[str],
    *,
    head: Head | None = None,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
) -> Policy:
    """Returns what `load` does, or, where a SavedModel cannot be rebuilt, a `FrozenPolicy` of it.

    That one runs and is exported; its ``reason`` says why it is not more.

    Args:
        path: as in `load`.
        head: likewise.
        observation: likewise.
        action: likewise.

    Raises:
        FileNotFoundError: as `load`.
        ValueError: as `load`, but for operations that cannot be rebuilt.
    """
    return _load(Path(path), frozen.load_policy, head, observation, action)


def _load(
    source: Path,
    from_saved_model: Callable[..., Policy],
    head: Head | None,
    observation: Nest | None,
    action: ArraySpec | None,
) -> Policy:
    if not source.exists():
        raise FileNotFoundError(f"There is no policy at {source}: no such file or folder.")
    for folder in (source, source / _RUN_POLICY):
        if form.is_saved_policy(folder):
            return Policy.load(folder)
    if keras_file.is_keras(source):
        return keras_file.load_policy(source, head=head, observation=observation, action=action)
    for folder in (source, source / _RUN_SAVED_MODEL):
        if is_saved_model(folder):
            return from_saved_model(folder, observation=observation, action=action)
    if (source / "policy.tflite").is_file() or source.suffix == ".tflite":
        raise ValueError(
            f"{source} is an exported artifact, which runs (tfdrlprune.runtime.load) but is not "
            "turned back into a model. Name the run or the model that it was exported from."
        )
    raise ValueError(
        f"{source} is no policy: expected a folder of `tfdrlprune train`, a SavedModel folder of "
        "PolicySaver, or a .keras or .h5 file."
    )
