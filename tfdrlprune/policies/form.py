"""The one form of a policy: a functional Keras model, its specs, and the head that acts.

Pruning, shrinking, distillation, quantization and export all take this form and give it back.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
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
from tfdrlprune.policies.keras_safety import configs, refuse_code
from tfdrlprune.policies.running import arrays, episode, rows
from tfdrlprune.specs import (
    Array,
    ArraySpec,
    Head,
    Nest,
    flatten,
    map_nest,
    nest_from_json,
    nest_to_json,
    output_count,
)

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
            argmax head (of several numbers, those of all behind each other), else the mean in C
            order of the action's shape. The observation normaliser is one of its layers. With a
            state there are further inputs, named as its leaves, and further outputs, ``next_`` and
            that name, in this order.
        head: how the outputs become the action.
        observation_spec: nest of specs.
        action_spec: one spec, in the environment's own units.
        source: where the policy came from, in a few words.
        state_spec: nest of the recurrent state's specs, which is zeros where an episode begins;
            None without one.

    Example:
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> policy([0.0, 0.1, 0.02, -0.1]) in (0, 1)
        True
        >>> policy([[0.0, 0.1, 0.02, -0.1]] * 3).shape  # a batch
        (3,)
    """

    model: Any
    head: Head
    observation_spec: Nest
    action_spec: ArraySpec
    source: str = ""
    state_spec: Nest | None = None

    def __post_init__(self) -> None:
        inputs = [*flatten(self.observation_spec), *self.states]
        expected = [(spec.name, spec.shape, spec.dtype) for spec in inputs]
        received = [
            (name, tuple(tensor.shape[1:]), tensor.dtype.name)
            for name, tensor in zip(self.model.input_names, self.model.inputs, strict=True)
        ]
        if received != expected:
            raise ValueError(
                "A policy's model has one input for each leaf of its observation, then its state. "
                f"Expected: {expected}. Received: {received}."
            )
        names = ["outputs", *(f"next_{spec.name}" for spec in self.states)]
        if self.model.output_names != names:
            raise ValueError(
                f"A policy's model has the outputs {names}, made by layers of these names. "
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
            observation: arrays nested as the observation, with or without a batch axis. With a
                state, rows of a batch come one after another, and what is remembered moves on.

        Returns:
            One action (a NumPy scalar where the action's shape is empty), or [batch, ...].

        Raises:
            ValueError: the observation does not fit, or holds NaN or infinity.
            TypeError: it has a dtype that does not fit.
        """
        leaves, batched = _observations.as_batch(self.observation_spec, observation)
        outputs, states = self.sequence(leaves, self._memory or None)
        self._memory[:] = [each[-1:] for each in states]
        actions = self.head.action(outputs, self.action_spec)
        return actions if batched else actions[0]

    def reset(self) -> None:
        """Forgets the episode so far. Call it when one begins; a policy without state has none."""
        self._memory.clear()

    def outputs(self, observation: Any) -> Array:
        """Returns the raw scores or means, [n] for one observation and [batch, n] for a batch.

        With a state, they are what `action` would act on next; what is remembered stays.
        """
        leaves, batched = _observations.as_batch(self.observation_spec, observation)
        outputs, _ = self.sequence(leaves, self._memory or None)
        return outputs if batched else outputs[0]

    def batch_outputs(self, leaves: list[Array]) -> Array:
        """Returns the raw outputs [batch, n] for leaves that are checked and batched already.

        With a state, the rows are one episode from its beginning.
        """
        return self.sequence(leaves)[0]

    def sequence(
        self, leaves: list[Array], state: list[Array] | None = None
    ) -> tuple[Array, list[Array]]:
        """Returns the outputs for rows one after another, and the states after each of them.

        Without a state the rows are independent.

        Args:
            leaves: checked and batched already, [steps, *shape].
            state: before the first row, leaves [1, *shape]; None for zeros.

        Returns:
            float32 [steps, n], and the state's leaves [steps, *shape].
        """
        if not self.states:
            return self._run(*map(tf.constant, leaves)).numpy(), []
        state = state or [np.zeros((1, *spec.shape), spec.dtype) for spec in self.states]
        if not len(leaves[0]):
            width = self.model.outputs[0].shape[1]
            return np.zeros((0, width), np.float32), [each[:0] for each in state]
        outputs, *states = arrays(self._run(*map(tf.constant, [*leaves, *state])))
        return outputs, states

    @cached_property
    def states(self) -> list[ArraySpec]:
        """The specs of the recurrent state's leaves; empty without one."""
        return [] if self.state_spec is None else flatten(self.state_spec)

    @property
    def normalizers(self) -> list[normalizer.ObservationNormalizer] | None:
        """The normalisers of the observation's leaves, in their order; None without any."""
        found = {
            layer.input.name: layer
            for layer in self.model.layers
            if isinstance(layer, normalizer.ObservationNormalizer)
        }
        leaves = flatten(self.observation_spec)
        return [found[spec.name] for spec in leaves] if found else None

    def replace(self, **changes: Any) -> Policy:
        """Returns a copy with the given attributes changed, such as ``replace(model=smaller)``.

        A model brings the sizes of its recurrent state, unless ``state_spec`` is given too.
        """
        if self.state_spec is not None and "model" in changes and "state_spec" not in changes:
            changes["state_spec"] = _sized(self.state_spec, changes["model"])
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
                "state": None if self.state_spec is None else nest_to_json(self.state_spec),
                "source": self.source,
                "written_by": f"tfdrlprune {__version__}",
            }
            (folder / FORM_FILE).write_text(json.dumps(form, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(
        path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None
    ) -> Policy:
        """Returns the policy that `save` wrote; code in the file is never run.

        Args:
            path: the folder.
            custom_objects: classes of yours that are layers in it, by the names it has for them;
                those registered with Keras are known.

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
            state = form.get("state")
            state = None if state is None else nest_from_json(state)
            model = _load_model(folder / MODEL_FILE, custom_objects or {})
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"The saved policy {folder} cannot be read: {reason}") from error
        return Policy(model, head, observation, action, str(form.get("source", "")), state)

    @cached_property
    def _run(self) -> Any:
        specs = flatten(self.observation_spec)
        return episode(self.model, specs, self.states) if self.states else rows(self.model, specs)

    @cached_property
    def _memory(self) -> list[Array]:
        """The state after the last action; empty where an episode begins."""
        return []


def _sized(state: Nest, model: Any) -> Any:
    """Returns the specs of a state with the shapes of the model's inputs of these names."""
    shapes = {
        name: tuple(tensor.shape[1:])
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    return map_nest(
        lambda spec: dataclasses.replace(spec, shape=shapes.get(spec.name, spec.shape)), state
    )


def _load_model(file: Path, custom_objects: Mapping[str, Any]) -> Any:
    allowed = {*custom_objects, *tf.keras.utils.get_custom_objects()}
    for config in configs(file):
        refuse_code(config, file, allowed)
    with tf.keras.utils.custom_object_scope(dict(custom_objects)):
        return tf.keras.models.load_model(file, compile=False, safe_mode=True)


def is_saved_policy(path: Path) -> bool:
    """Tells whether ``path`` is a folder that `Policy.save` wrote."""
    return (path / FORM_FILE).is_file() and (path / MODEL_FILE).is_file()
