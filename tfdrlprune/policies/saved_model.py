"""A PolicySaver SavedModel as a `Policy`: its frozen ``action`` graph is rebuilt and compared."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune._console import silent
from tfdrlprune.policies.cells import cells_of
from tfdrlprune.policies.drawing import draw
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.graph import Graph
from tfdrlprune.policies.graph_head import head_of
from tfdrlprune.policies.modes import RANDOM
from tfdrlprune.policies.one_step import one_step
from tfdrlprune.policies.proof import prove
from tfdrlprune.policies.rebuilder import Rebuilder
from tfdrlprune.policies.rules import RULES
from tfdrlprune.policies.signature import Signature
from tfdrlprune.policies.signature_file import read_signature
from tfdrlprune.policies.specs_file import SPECS_FILE, read_specs
from tfdrlprune.policies.unrolling import state_spec
from tfdrlprune.specs import Array, ArraySpec, Head, Nest, flatten

_log = logging.getLogger("tfdrlprune")
_PROOF_SIZE = 1000
_EPISODES = 20  # with a state


@dataclass(frozen=True)
class SavedModel:
    """A policy's SavedModel as it was read, beside what it is for.

    Attributes:
        path: the folder.
        signature: frozen.
        keys: of the observation's leaves in the signature, in the order of the specs.
        observation: specs.
        action: the environment's own spec.
        shift: what is added to the signature's action to make it the environment's, [*shape].
    """

    path: Path
    signature: Signature
    keys: tuple[str, ...]
    observation: Nest
    action: ArraySpec
    shift: Array

    @property
    def form(self) -> str:
        """What became of a policy that samples, for people to read behind its path."""
        return ", by its mode" if self.signature.sampled else ""

    def refusal_of_noise(self) -> ValueError | None:
        """Returns the error that the action is random, where it is; its mode is then not known."""
        nodes = one_step(self.signature).function.graph.as_graph_def().node
        noise = next((node.op for node in nodes if node.op.startswith(RANDOM)), None)
        if noise is None:
            return None
        return ValueError(
            f"The policy in {self.path} acts at random (by the operation {noise}), and a file has "
            "to act the same every time. Save GreedyPolicy(agent.policy) by PolicySaver."
        )

    def prove(self, policy: Policy) -> None:
        """Raises ValueError, which says how far off, unless a policy acts as the SavedModel does.

        On 1,000 observations; with a state they are episodes.
        """
        episodes = 1
        if self.signature.states:
            episodes = min(_EPISODES, self.signature.batch_size or _EPISODES)
        count = _PROOF_SIZE // episodes * episodes
        drawn = draw(self.observation, policy.normalizers, count, seed=0)
        given = dict(zip(self.keys, drawn, strict=True))
        with silent():  # oneDNN tells what it would do on other processors
            expected = self.signature.act(given, episodes)
        what = f"The policy rebuilt from {self.path}"
        prove(policy, expected + self.shift, drawn, what, episodes)


def read(
    path: str | os.PathLike[str],
    *,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
) -> SavedModel:
    """Returns what is in a SavedModel folder that TF-Agents' PolicySaver wrote.

    Args:
        path: the folder, with its ``policy_specs.pbtxt``.
        observation: specs to use in place of the saved ones, such as bounds that are missing.
        action: the environment's own action spec; None takes the saved one.

    Raises:
        ValueError: it is no policy, is damaged, or does not fit the specs.
    """
    signature = read_signature(path)
    if signature.sampled:
        _log.warning(
            "The policy in %s samples its action (by %s). Its mode is taken: the likeliest action, "
            "as GreedyPolicy gives it.",
            path,
            ", ".join(signature.sampled),
        )
    saved = read_specs(Path(path))
    own = action or (saved[1] if saved else None)
    nest = observation or (saved[0] if saved else None)
    if nest is None or own is None:
        raise ValueError(
            f"{SPECS_FILE} is missing beside the SavedModel {path}, so give the environment "
            f"(--env), or observation=... (for {signature.leaves()}) and action=..."
        )
    keys = _keys(signature, nest, path)
    shift = _shift(own, own if saved is None else saved[1])
    return SavedModel(Path(path), signature, tuple(keys), nest, own, shift)


def rebuild(saved: SavedModel) -> Policy:
    """Returns a SavedModel's policy as layers, proved.

    Raises:
        ValueError: an operation cannot be rebuilt (named), or what was built acts differently from
            the SavedModel on 1,000 observations (says how far off).
    """
    try:
        built = _rebuilt(saved)
    except ValueError as error:
        if (refusal := saved.refusal_of_noise()) is not None:
            raise refusal from error
        raise
    saved.prove(built)
    return built


def _keys(signature: Signature, nest: Nest, path: Any) -> list[str]:
    """Returns the signature's keys of the observation's leaves, in their order."""
    specs = flatten(nest)
    prefix = "0/observation"
    keys = [prefix] if isinstance(nest, ArraySpec) else [f"{prefix}/{s.name}" for s in specs]
    if sorted(keys) != sorted(signature.leaves()):
        raise ValueError(
            f"The SavedModel {path} takes the observation {signature.leaves()}, and the specs are "
            f"for {keys}."
        )
    for key, spec in zip(keys, specs, strict=True):
        shape = tuple(signature.tensors[key].shape[1:])
        if shape != spec.shape:
            raise ValueError(
                f"The SavedModel {path} takes the observation {spec.name!r} of the shape {shape}, "
                f"and its spec says {spec.shape}. Name the environment that it was trained in."
            )
    return keys


def _rebuilt(saved: SavedModel) -> Policy:
    """Returns the layers of the signature's graph as a policy, not yet proved."""
    signature = one_step(saved.signature)
    graph = Graph(signature.function)
    head, last = head_of(graph, graph.node(signature.outputs["action"]))
    last = graph.unshaped(last) if head.kind == "argmax" else graph.through(last)
    following = _following(graph, signature, last)
    cells = cells_of(graph, following)
    inputs = [
        tf.keras.Input(spec.shape, name=spec.name, dtype=spec.dtype)
        for spec in flatten(saved.observation)
    ]
    by_name = {
        signature.tensors[key].op.name: tensor
        for key, tensor in zip(saved.keys, inputs, strict=True)
    }
    build = Rebuilder(graph, by_name, last, RULES, cells)
    outputs = build.tensor(last)
    if head.kind == "argmax":
        head = Head.choosing(saved.action)
    inputs, results = [*inputs, *build.recurrence.inputs], [outputs, *build.recurrence.outputs]
    model = tf.keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        results if len(results) > 1 else results[0],
        name="policy",
    )
    source = f"SavedModel {saved.path}{saved.form}"
    return Policy(model, head, saved.observation, saved.action, source, state_spec(model))


def _following(graph: Graph, signature: Signature, last: Any) -> dict[str, Any]:
    """Returns, for each placeholder of the state that the outputs need, what it is next.

    A saved policy may carry more, such as the state of PPO's value network.
    """
    every = {
        signature.tensors[key].op.name: graph.node(list(signature.outputs.values())[index])
        for key, index in signature.states.items()
    }
    found: dict[str, Any] = {}
    pending = [last]
    while pending:
        reached = graph.needs(pending.pop()) & every.keys() - found.keys()
        found |= {name: every[name] for name in every if name in reached}
        pending.extend(every[name] for name in reached)
    return {name: node for name, node in every.items() if name in found}


def _shift(own: ArraySpec, saved: ArraySpec) -> Array:
    """Returns what is added to the SavedModel's action to make it the environment's, [*shape]."""
    discrete = saved.dtype.startswith(("int", "uint")) and own.dtype.startswith(("int", "uint"))
    if not discrete or own.low is None or saved.low is None:
        return np.zeros((), np.int64)
    low, first = (_observations.bounds(spec)[0].astype(np.int64) for spec in (own, saved))
    if len(low) != len(first):
        raise ValueError(
            f"The SavedModel's action has {len(first)} numbers, and the environment's {len(low)}: "
            f"{own}. Name the environment that it was trained in."
        )
    return np.reshape(low - first, saved.shape)
