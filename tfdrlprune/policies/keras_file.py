"""A Keras file or folder as a `Policy`, without running code that it may hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf, tfmot

from tfdrlprune.policies import wrappers
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.keras_safety import configs, refuse_code
from tfdrlprune.specs import ArraySpec, Head, Nest, flatten


def is_keras(path: Path) -> bool:
    """Tells whether ``path`` is a Keras file, or a SavedModel folder that Keras wrote."""
    return path.suffix in (".keras", ".h5", ".hdf5") or (path / "keras_metadata.pb").is_file()


def load_policy(
    path: str | os.PathLike[str],
    *,
    head: Head | None = None,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Policy:
    """Returns a Keras model as a policy; tfmot's pruning wrappers are stripped.

    Args:
        path: a ``.keras`` or ``.h5`` file, or a Keras SavedModel folder.
        head: how the outputs become the action; None means argmax where ``action`` is an integer.
        observation: specs; None takes the model's inputs, without bounds.
        action: the environment's action spec.
        custom_objects: classes and functions of yours that the file names, by these names; whoever
            gives them trusts what they do with the file. A Lambda is never run.

    Raises:
        ValueError: the file is damaged, holds code, or does not say how to act.
    """
    if action is None:
        raise ValueError(
            f"The Keras model {path} does not say how it acts. Give the environment (--env), or "
            "action=ArraySpec(...) and, unless the action is the best of several scores, head=..."
        )
    if head is None:
        if not action.dtype.startswith(("int", "uint")):
            raise ValueError(
                f"The Keras model {path} does not say how its outputs become the action. Give "
                "head=Head('affine') if they are the action itself, or Head('tanh', scale, offset)."
            )
        head = Head.choosing(action)
    found = list(configs(Path(path)))
    for config in found:
        refuse_code(config, path, custom_objects or ())
    pruned = any("PruneLowMagnitude" in json.dumps(config) for config in found)
    with tf.keras.utils.custom_object_scope(dict(custom_objects or {})):
        model = _load(path, pruned)
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(f"The Keras model {path} has no fixed input shape. Call it once and save.")
    if wrappers.is_wrapped(model):
        model = wrappers.unwrapped(model)
    nest = observation or _nest_of(model)
    return Policy(
        renamed(model, [spec.name for spec in flatten(nest)]), head, nest, action, str(path)
    )


def _load(path: str | os.PathLike[str], pruned: bool) -> Any:
    scope = tfmot().sparsity.keras.prune_scope() if pruned else None
    try:
        if scope is None:
            return tf.keras.models.load_model(path, compile=False, safe_mode=True)
        with scope:
            return tf.keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # h5py, zipfile, Keras and TensorFlow each raise their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        own = "Unknown" in reason or "Could not locate" in reason
        hint = " Give it: policies.load(..., custom_objects={name: it})." if own else ""
        raise ValueError(f"The Keras model {path} cannot be loaded: {reason}{hint}") from error


def _nest_of(model: Any) -> Nest:
    specs = {
        name: ArraySpec(name, tuple(tensor.shape[1:]), tensor.dtype.name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    if len(specs) == 1:
        only = next(iter(specs.values()))
        return ArraySpec("observation", only.shape, only.dtype)
    return dict(specs)


def renamed(model: Any, inputs: list[str]) -> Any:
    """Returns a copy of a functional or sequential model with our names for inputs and output."""
    if isinstance(model, tf.keras.Sequential):
        # A functional model of the same layers.
        model = tf.keras.Model(model.inputs, model.outputs)
    if len(model.outputs) != 1:
        raise ValueError(
            f"A policy's model has one output. Received {len(model.outputs)}: {model.output_names}."
        )
    names = dict(zip(model.input_names, inputs, strict=True))
    names[model.output_names[0]] = "outputs"
    taken = {layer.name for layer in model.layers} - set(names)
    names |= {name: f"{name}_inner" for name in taken & set(names.values())}

    def plain(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config | {"name": names.get(layer.name, layer.name)})

    fresh = [
        tf.keras.Input(tensor.shape[1:], name=name, dtype=tensor.dtype)
        for name, tensor in zip(inputs, model.inputs, strict=True)
    ]
    copy = tf.keras.models.clone_model(model, input_tensors=fresh, clone_function=plain)
    copy.set_weights(model.get_weights())
    # Rebuilt once more, as a clone keeps the nesting (list, dict) of the original's output.
    return tf.keras.Model(fresh if len(fresh) > 1 else fresh[0], copy.outputs[0], name="policy")
