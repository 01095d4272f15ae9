"""The one form of a policy: a functional Keras model, its specs, and the head that acts.

Pruning, shrinking, distillation, quantization and export all take this form and give it back.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune._version import __version__
from tfdrlprune.folders import atomic_folder
from tfdrlprune.policies import normalizer
from tfdrlprune.specs import Array, ArraySpec, Head, Nest, flatten, nest_from_json, nest_to_json

MODEL_FILE = "policy.keras"
FORM_FILE = "policy-form.json"
_FORM_VERSION = 1


@dataclass(frozen=True, eq=False)
class Policy:
    """Observation to action: what TF-Agents is turned into and what is compressed and exported.

    Attributes:
        model: functional; its inputs are a list (one tensor if there is one) in the order of
            ``flatten(observation_spec)``, named as those leaves, each [batch, *shape] in the
            spec's dtype; its one output, named ``outputs``, is float32 [batch, n]: scores for an
            argmax head, else the mean in C order of the action's shape. The observation
            normaliser is one of its layers.
        head: how the outputs become the action.
        observation_spec: nest of specs.
        action_spec: one spec, in the environment's own units.
        source: where the policy came from, in a few words.

    Example:
        ``policy(observation)`` is the action for one observation, or the actions for a batch.
    """

    model: Any
    head: Head
    observation_spec: Nest
    action_spec: ArraySpec
    source: str = ""

    def __post_init__(self) -> None:
        expected = [(spec.name, spec.shape, spec.dtype) for spec in flatten(self.observation_spec)]
        received = [
            (name, tuple(tensor.shape[1:]), tensor.dtype.name)
            for name, tensor in zip(self.model.input_names, self.model.inputs, strict=True)
        ]
        if received != expected:
            raise ValueError(
                "A policy's model has one input for each leaf of its observation, in that order. "
                f"Expected: {expected}. Received: {received}."
            )
        if len(self.model.outputs) != 1 or self.model.output_names != ["outputs"]:
            raise ValueError(
                "A policy's model has one output, made by a layer named 'outputs'. "
                f"Received: {self.model.output_names}."
            )
        output, count = self.model.outputs[0], output_count(self.head, self.action_spec)
        if output.shape.rank != 2 or output.shape[1] != count:
            raise ValueError(
                f"A policy with the head {self.head.kind!r} and the action {self.action_spec} has "
                f"outputs of the shape (batch, {count}). Received: {tuple(output.shape)}."
            )

    def __call__(self, observation: Any) -> Any:
        """Returns `action(observation)`."""
        return self.action(observation)

    def action(self, observation: Any) -> Any:
        """Returns the greedy action, in the environment's own units and dtype.

        Args:
            observation: arrays nested as the observation, with or without a batch axis.

        Returns:
            One action (a NumPy scalar where the action's shape is empty), or [batch, ...].

        Raises:
            ValueError: the observation does not fit, or holds NaN or infinity.
            TypeError: it has a dtype that does not fit.
        """
        leaves, batched = _observations.as_batch(self.observation_spec, observation)
        actions = self.head.action(self.batch_outputs(leaves), self.action_spec)
        return actions if batched else actions[0]

    def outputs(self, observation: Any) -> Array:
        """Returns the raw scores or means, [n] for one observation and [batch, n] for a batch."""
        leaves, batched = _observations.as_batch(self.observation_spec, observation)
        outputs = self.batch_outputs(leaves)
        return outputs if batched else outputs[0]

    def batch_outputs(self, leaves: list[Array]) -> Array:
        """Returns the raw outputs [batch, n] for leaves that are checked and batched already."""
        outputs: Array = self._compiled(*map(tf.constant, leaves)).numpy()
        return outputs

    @cached_property
    def greedy(self) -> Any:
        """A tf.function from a dict of batched leaves by name to ``{"action", "outputs"}``.

        It holds the whole policy in-graph, head included, for export to other formats.
        """
        specs = flatten(self.observation_spec)
        signature = {spec.name: tf.TensorSpec([None, *spec.shape], spec.dtype) for spec in specs}

        def greedy(observation: dict[str, Any]) -> dict[str, Any]:
            outputs = self._call_model([observation[spec.name] for spec in specs])
            return {
                "action": head_in_graph(self.head, outputs, self.action_spec),
                "outputs": outputs,
            }

        return tf.function(greedy, input_signature=[signature], autograph=False)

    @property
    def normalizers(self) -> list[normalizer.ObservationNormalizer] | None:
        """The normalisers of the observation's leaves, in their order; None without any."""
        found = {
            layer.input.name: layer
            for layer in self.model.layers
            if isinstance(layer, normalizer.ObservationNormalizer)
        }
        return [found[tensor.name] for tensor in self.model.inputs] if found else None

    def replace(self, **changes: Any) -> Policy:
        """Returns a copy with the given attributes changed, such as ``replace(model=smaller)``."""
        return dataclasses.replace(self, **changes)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes the policy as a folder, whole or not at all; `load` reads it.

        Raises:
            FileExistsError: the folder exists and ``force`` is off, or it holds something else.
        """
        with atomic_folder(path, force=force, replaces=is_saved_policy) as folder:
            self.model.save(folder / MODEL_FILE)
            form = {
                "form_version": _FORM_VERSION,
                "head": self.head.to_json(),
                "observation": nest_to_json(self.observation_spec),
                "action": self.action_spec.to_json(),
                "source": self.source,
                "written_by": f"tfdrlprune {__version__}",
            }
            (folder / FORM_FILE).write_text(json.dumps(form, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Policy:
        """Returns the policy that `save` wrote; code in the file is never run.

        Raises:
            FileNotFoundError: there is no saved policy at ``path``.
            ValueError: it is damaged, or written by a newer version.
        """
        folder = Path(path)
        if not is_saved_policy(folder):
            raise FileNotFoundError(
                f"{folder} is not a saved policy: expected a folder with {FORM_FILE} and "
                f"{MODEL_FILE}, as Policy.save writes it."
            )
        try:
            form = json.loads((folder / FORM_FILE).read_text(encoding="utf-8"))
            version = form["form_version"]
            if version != _FORM_VERSION:
                raise ValueError(
                    f"form_version {version} is not {_FORM_VERSION}; update tfdrlprune"
                )
            head = Head.from_json(form["head"])
            observation = nest_from_json(form["observation"])
            action = ArraySpec.from_json(form["action"])
            model = tf.keras.models.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"The saved policy {folder} cannot be read: {reason}") from error
        return Policy(model, head, observation, action, str(form.get("source", "")))

    def _call_model(self, leaves: list[Any]) -> Any:
        return self.model(leaves if len(leaves) > 1 else leaves[0], training=False)

    @cached_property
    def _compiled(self) -> Any:
        # One graph for every batch size: a vector environment's last batch is often a small one.
        signature = [
            tf.TensorSpec([None, *spec.shape], spec.dtype)
            for spec in flatten(self.observation_spec)
        ]
        return tf.function(
            lambda *leaves: self._call_model(list(leaves)),
            input_signature=signature,
            autograph=False,
        ).get_concrete_function()


def is_saved_policy(path: Path) -> bool:
    """Tells whether ``path`` is a folder that `Policy.save` wrote."""
    return (path / FORM_FILE).is_file() and (path / MODEL_FILE).is_file()


def output_count(head: Head, action: ArraySpec) -> int:
    """Returns how many outputs a model needs for this head and action.

    Raises:
        ValueError: an argmax head on an action that is not one bounded integer.
    """
    size = int(np.prod(action.shape, dtype=int))
    if head.kind != "argmax":
        return size
    if size != 1 or action.low is None or action.high is None:
        raise ValueError(
            f"An argmax head gives one integer between two bounds. Received the action: {action}."
        )
    low, high = _observations.bounds(action)
    return int(high[0] - low[0]) + 1


def head_in_graph(head: Head, outputs: Any, spec: ArraySpec) -> Any:
    """Returns what ``head.action(outputs, spec)`` returns, as TensorFlow operations."""
    shape = [-1, *spec.shape]
    if head.kind == "argmax":
        chosen = tf.argmax(outputs, axis=-1, output_type=tf.int64) + int(np.asarray(head.offset))
        return tf.reshape(tf.cast(chosen, spec.dtype), shape)
    mean = tf.tanh(outputs) if head.kind == "tanh" else outputs
    action = mean * np.asarray(head.scale, np.float32) + np.asarray(head.offset, np.float32)
    if spec.low is not None:
        action = tf.maximum(action, np.asarray(spec.low, np.float32))
    if spec.high is not None:
        action = tf.minimum(action, np.asarray(spec.high, np.float32))
    return tf.reshape(tf.cast(action, spec.dtype), shape)
