"""What a Keras file holds, looked at before any of it is made into objects."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf  # noqa: F401  tf_keras is ready behind it

# Layers that hold Python code, or name a function to call.
_CODE = ("Lambda", "DistributionLambda", "function", "__lambda__")
# Where a config may take classes from. Keras imports what a config names, whatever it is.
_MODULES = ("keras", "tf_keras", "tensorflow_model_optimization", "tfdrlprune", "builtins")
# TensorFlow functions that a functional model may hold as layers: none that touches a file.
_FUNCTIONS = ("math.", "nn.", "__operators__.", "clip_by_value", "cast", "reshape", "concat")
_SHAPING = ("expand_dims", "squeeze", "transpose", "stack", "split", "one_hot", "identity")


def configs(path: Path) -> Iterator[Any]:
    """Yields the configurations in a Keras file, before any of it is made into objects."""
    try:
        if path.is_dir():
            from tf_keras.protobuf import saved_metadata_pb2

            metadata = saved_metadata_pb2.SavedMetadata()
            metadata.ParseFromString((path / "keras_metadata.pb").read_bytes())
            yield from (json.loads(node.metadata) for node in metadata.nodes if node.metadata)
        elif path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                yield json.loads(archive.read("config.json"))
        else:
            import h5py

            with h5py.File(path, "r") as file:
                yield json.loads(file.attrs["model_config"])
    except Exception as error:  # each format has its own errors for damage
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"The Keras model {path} cannot be read: {reason}") from error


def refuse_code(config: Any, path: Any, allowed: Collection[str] = ()) -> None:
    """Raises ValueError if a configuration names code, or a module that is not Keras'.

    Args:
        config: as Keras writes it.
        path: of the file, for the error.
        allowed: names of classes that the caller brings along; no module is imported for them.
    """
    if isinstance(config, list):
        for item in config:
            refuse_code(item, path, allowed)
    if not isinstance(config, dict):
        return
    kind, module = config.get("class_name"), config.get("module")
    function = config.get("config", {}).get("function") if kind == "TFOpLambda" else None
    if kind in _CODE or (
        isinstance(function, str) and not function.startswith(_FUNCTIONS + _SHAPING)
    ):
        raise ValueError(
            f"The Keras model {path} holds code in a {function or kind} layer, and code from a "
            "file is never run. Replace it by a layer without code, such as Rescaling."
        )
    known = kind in allowed or config.get("registered_name") in allowed
    if isinstance(module, str) and module.split(".")[0] not in _MODULES and not known:
        raise ValueError(
            f"The Keras model {path} asks for the Python module {module!r}, which is not loaded "
            f"from a file. If you trust it, import {kind} yourself and give it: policies.load(..., "
            f"custom_objects={{{kind!r}: {kind}}}). Or save a model of Keras' own layers."
        )
    for item in config.values():
        refuse_code(item, path, allowed)
