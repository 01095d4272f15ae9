"""A policy from whatever is on disk: ours, a run, a Keras file, a PolicySaver SavedModel."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfdrlprune.nearest import check_policy_there, inside
from tfdrlprune.policies import form, frozen, keras_file, saved_model
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.saved_model import SavedModel
from tfdrlprune.policies.signature_file import is_saved_model
from tfdrlprune.specs import ArraySpec, Head, Nest

# Within the folder of a training run.
_RUN_POLICY = "policy"
_RUN_SAVED_MODEL = "saved_model"
# What stable-baselines3, PyTorch, ONNX and JAX save.
_OTHERS = (".zip", ".pt", ".pth", ".onnx", ".msgpack", ".safetensors")


def load(
    path: str | os.PathLike[str],
    *,
    head: Head | None = None,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Policy:
    """Returns the policy at ``path``; no Python code from a file is ever run.

    Args:
        path: a folder of `Policy.save`; the folder of a run of `tfdrlprune train`; a ``.keras`` or
            ``.h5`` file or Keras SavedModel; or a SavedModel folder of TF-Agents' PolicySaver.
        head: how a Keras model's outputs become the action; the others say it themselves.
        observation: the environment's observation specs, where the file has none.
        action: the environment's own action spec. A Keras model needs it; of a SavedModel it
            shifts the discrete actions, which begin at 0 there.
        custom_objects: classes and functions of yours that a Keras model is made of, by the names
            that it has for them; only what is given is trusted. A Lambda is never run.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        ValueError: what is there is no policy, is damaged, holds code, or cannot be rebuilt; says
            why, and which layer or operation.

    Example:
        >>> import tempfile
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     policy.save(f"{folder}/policy")
        ...     again = load(f"{folder}/policy")
        >>> bool(again.action([0.0, 0.1, 0.02, -0.1]) == policy.action([0.0, 0.1, 0.02, -0.1]))
        True
    """
    return _load(Path(path), saved_model.rebuild, head, observation, action, custom_objects)


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

    Example:
        >>> load_exportable("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: There is no policy at no/such/folder: no such file or folder.
    """
    return _load(Path(path), frozen.rebuild_or_freeze, head, observation, action)


def _load(
    source: Path,
    build: Callable[[SavedModel], Policy],
    head: Head | None,
    observation: Nest | None,
    action: ArraySpec | None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Policy:
    """Returns what `load` does; a SavedModel becomes a policy by ``build``."""
    check_policy(source)
    for folder in (source, source / _RUN_POLICY):
        if form.is_saved_policy(folder):
            return Policy.load(folder, custom_objects)
    if keras_file.is_keras(source):
        return keras_file.load_policy(
            source,
            head=head,
            observation=observation,
            action=action,
            custom_objects=custom_objects,
        )
    folder = source if is_saved_model(source) else source / _RUN_SAVED_MODEL
    return build(saved_model.read(folder, observation=observation, action=action))


def check_policy(source: Path) -> None:
    """Raises FileNotFoundError or ValueError if there is no policy at a path; loads nothing."""
    check_policy_there(source)
    if not _is_policy(source):
        raise ValueError(
            f"{source} is no policy: expected a folder of `tfdrlprune train`, a SavedModel folder "
            f"of PolicySaver, or a .keras or .h5 file.{_instead(source)}"
        )


def _instead(source: Path) -> str:
    """Returns what to name or do where a path is no policy; "" where nothing better is known."""
    if source.suffix in _OTHERS:
        return (
            " A network of another framework is rebuilt in Keras from its weights: "
            "docs/importing.md shows how, for stable-baselines3."
        )
    return inside(source, _is_policy)


def _is_policy(path: Path) -> bool:
    return (
        form.is_saved_policy(path)
        or form.is_saved_policy(path / _RUN_POLICY)
        or keras_file.is_keras(path)
        or is_saved_model(path)
        or is_saved_model(path / _RUN_SAVED_MODEL)
    )
