"""What a policy or an artifact consists of, as data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.model_file import operations, parameter_counts
from tfdrlprune.specs import nest_to_json

if TYPE_CHECKING:
    from tfdrlprune.policies.form import Policy


def describe(source: Policy | str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what a policy, or the artifact in a folder, consists of, as JSON values.

    Args:
        source: a policy, or the folder of an artifact, which is verified. No TensorFlow is needed
            for an artifact.

    Returns:
        ``kind`` (``"artifact"`` or ``"policy"``), ``source``, ``precision``, ``observation``,
        ``action`` and ``head`` as in ``policy.json``; ``parameters`` and ``nonzero``; ``sparsity``
        of all kernels together; ``layers``: for each operation (artifact) or Keras layer (policy)
        that holds weights its ``name``, ``kind``, ``dtype``, ``parameters``, ``nonzero``, and of
        its kernel ``kernel_shape``, ``kernel_size``, ``kernel_zeros`` and ``sparsity``. For an
        artifact also ``operations``, ``size_bytes`` of each file, ``dense_parameters``,
        ``recipe``, ``versions`` and ``verdict``.

    Raises:
        FileNotFoundError, ValueError: the folder is no artifact, or a damaged one.
    """
    if isinstance(source, (str, os.PathLike)):
        return _describe_artifact(Path(source))
    return _describe_policy(source)


def _describe_artifact(folder: Path) -> dict[str, Any]:
    manifest = artifact.verify(folder)
    found = operations(artifact.read_file(folder, manifest, artifact.MODEL_FILE))
    total, nonzero = parameter_counts(found)
    layers = [
        _layer(op.layer, op.kind, op.kernel, [] if op.bias is None else [op.bias])
        for op in found
        if op.kernel is not None
    ]
    value = manifest.to_json()
    return {
        "kind": "artifact",
        **{key: value[key] for key in ("source", "precision", "observation", "action", "head")},
        "parameters": total,
        "nonzero": nonzero,
        "sparsity": _sparsity(layers),
        "layers": layers,
        "operations": [op.kind for op in found],
        "dense_parameters": manifest.parameters.dense,
        "size_bytes": {name: entry.size_bytes for name, entry in manifest.files.items()},
        **{key: value[key] for key in ("recipe", "versions", "verdict")},
    }


def _describe_policy(policy: Policy) -> dict[str, Any]:
    from tfdrlprune.deployment.counting import kernels_of
    from tfdrlprune.policies.normalizer import ObservationNormalizer

    kernels = kernels_of(policy)
    layers = [
        _layer(
            layer.name,
            type(layer).__name__,
            kernels.get(layer.name),
            layer.get_weights()[1 if layer.name in kernels else 0 :],
        )
        for layer in policy.model.layers
        if layer.weights and not isinstance(layer, ObservationNormalizer)
    ]
    return {
        "kind": "policy",
        "source": policy.source,
        "precision": "float32",
        "observation": nest_to_json(policy.observation_spec),
        "action": policy.action_spec.to_json(),
        "head": policy.head.to_json(),
        "parameters": sum(layer["parameters"] for layer in layers),
        "nonzero": sum(layer["nonzero"] for layer in layers),
        "sparsity": _sparsity(layers),
        "layers": layers,
    }


def _layer(name: str, kind: str, kernel: Any, others: list[Any]) -> dict[str, Any]:
    arrays = [*([] if kernel is None else [kernel]), *others]
    return {
        "name": name,
        "kind": kind,
        "kernel_shape": None if kernel is None else list(kernel.shape),
        "dtype": arrays[0].dtype.name,
        "parameters": int(sum(array.size for array in arrays)),
        "nonzero": int(sum(np.count_nonzero(array) for array in arrays)),
        "kernel_size": 0 if kernel is None else int(kernel.size),
        "kernel_zeros": 0 if kernel is None else int(np.sum(kernel == 0)),
        "sparsity": None if kernel is None else float(np.mean(kernel == 0)),
    }


def _sparsity(layers: list[dict[str, Any]]) -> float:
    size = sum(layer["kernel_size"] for layer in layers)
    return sum(layer["kernel_zeros"] for layer in layers) / size if size else 0.0
