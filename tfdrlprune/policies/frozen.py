"""A policy that could not be rebuilt of layers: its frozen graph, which runs and is exported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.policies import saved_model
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.graph import Graph
from tfdrlprune.policies.graph_head import head_of
from tfdrlprune.policies.one_step import one_step
from tfdrlprune.policies.saved_model import SavedModel
from tfdrlprune.policies.signature import Signature
from tfdrlprune.specs import ArraySpec, Head, compact, flatten, output_count

CANNOT = (
    "It runs, and is converted, as it is: it cannot be pruned, shrunk, distilled into, or trained, "
    "its zeros are not counted, and quantization does not spare an observation normaliser in it."
)


class FrozenModel(tf.Module):
    """A frozen graph with the surface of a functional Keras model that has no layers.

    Args:
        function: takes leaves of observation and state, [1, *shape], and gives outputs and the next
            state.
        names: of its inputs.
        states: of these, which are the state, in the order in which the next one comes out.
        width: how many numbers the outputs are.

    Attributes:
        inputs, outputs: its tensors, or what they are like.
        input_names, output_names: their names.
        layers: none, so that whatever looks for kernels finds nothing.
    """

    def __init__(self, function: Any, names: Sequence[str], states: Sequence[str], width: int):
        super().__init__(name="policy")
        self._function, self._width = function, width
        self.inputs = list(function.inputs)
        following = tf.nest.flatten(function.outputs)[1:]
        self.outputs = [tf.TensorSpec([1, width], tf.float32), *following]
        self.input_names = list(names)
        self.output_names = ["outputs", *(f"next_{name}" for name in states)]
        self.layers: list[Any] = []

    def __call__(self, leaves: Any, training: bool = False) -> Any:
        """Returns what a Keras model would, for a list of leaves or for one; a batch of any size.

        ``training`` changes nothing.
        """
        leaves = list(leaves) if isinstance(leaves, (list, tuple)) else [leaves]
        if all(leaf.shape[0] == 1 for leaf in leaves):
            return self._one(*leaves)
        return tf.map_fn(
            lambda row: tf.nest.map_structure(lambda x: x[0], self._one(*(x[None] for x in row))),
            leaves,
            fn_output_signature=self._pack(
                [tf.TensorSpec(each.shape[1:], each.dtype) for each in self.outputs]
            ),
        )

    def _one(self, *leaves: Any) -> Any:
        outputs, *following = tf.nest.flatten(self._function(*leaves))
        outputs = tf.reshape(tf.cast(outputs, tf.float32), [1, self._width])
        return self._pack([outputs, *following])

    def _pack(self, results: list[Any]) -> Any:
        return results if len(results) > 1 else results[0]

    def get_config(self) -> dict[str, Any]:
        """Returns nothing: there are no layers."""
        return {}

    def get_layer(self, name: str) -> None:
        """Returns None: there is no layer of any name."""


@dataclass(frozen=True, eq=False)
class FrozenPolicy(Policy):
    """A policy that runs and is exported as its SavedModel has it, and no more.

    Attributes:
        reason: why it could not be rebuilt; names the operation.
    """

    reason: str = ""

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Raises ValueError: there are no layers to save."""
        raise ValueError(f"A frozen policy is not saved; export it. {self.reason}")


def rebuild_or_freeze(saved: SavedModel) -> Policy:
    """Returns a SavedModel's policy rebuilt of layers, or a `FrozenPolicy` where that fails.

    Raises:
        ValueError: it acts at random, or its graph for one observation acts differently from the
            SavedModel.
    """
    try:
        return saved_model.rebuild(saved)
    except ValueError as error:
        return freeze(saved, str(error))


def check_layers(policy: Policy, what: str) -> None:
    """Raises ValueError if a policy has no layers, which ``what`` needs."""
    if isinstance(policy, FrozenPolicy):
        raise ValueError(f"A policy that was not rebuilt cannot be {what}. {policy.reason}")


def freeze(saved: SavedModel, reason: str) -> FrozenPolicy:
    """Returns a SavedModel's policy as its frozen graph for one observation, compared with it."""
    if (saved.signature.batch_size or 1) > 1:
        raise ValueError(
            f"{reason} It was saved for batches of {saved.signature.batch_size}, so it is not "
            "exported as it is, either. Save it with PolicySaver(policy, batch_size=None)."
        )
    signature = one_step(saved.signature)
    if (refusal := saved.refusal_of_noise()) is not None:
        raise refusal
    graph = Graph(signature.function)
    errors = []
    for head, outputs in _ends(saved, graph, signature):
        policy = _policy(saved, signature, head, outputs, reason)
        try:
            saved.prove(policy)
        except ValueError as error:
            errors.append(error)
        else:
            return policy
    raise errors[-1]


def _ends(saved: SavedModel, graph: Graph, signature: Signature) -> list[tuple[Head, Any]]:
    """Returns heads and the outputs [1, n] under them: as they are read, and the bare action."""
    tensor = signature.function.graph.get_tensor_by_name
    found: list[tuple[Head, Any]] = []
    head, last = head_of(graph, graph.node(signature.outputs["action"]))
    scores = tensor(f"{last.name}:0")
    if head.kind == "argmax":
        head = Head.choosing(saved.action)
    fits = scores.dtype == tf.float32 and scores.shape.num_elements() is not None
    try:
        fits = fits and scores.shape.num_elements() == output_count(head, saved.action)
    except ValueError:  # an argmax that is not the whole action
        fits = False
    if fits and head.kind != "affine":
        found.append((head, scores))
    action = tensor(signature.outputs["action"])
    return [*found, (Head("affine", offset=compact(saved.shift)), action)]


def _policy(
    saved: SavedModel, signature: Signature, head: Head, outputs: Any, reason: str
) -> FrozenPolicy:
    states = [
        ArraySpec(f"state_{index}", tuple(tensor.shape[1:]), tensor.dtype.name)
        for index, tensor in enumerate(signature.tensors[key] for key in signature.states)
    ]
    tensor = signature.function.graph.get_tensor_by_name
    results = list(signature.outputs.values())
    given = [signature.tensors[key] for key in (*saved.keys, *signature.states)]
    following = [tensor(results[index]) for index in signature.states.values()]
    model = FrozenModel(
        signature.function.prune(given, [outputs, *following]),
        [spec.name for spec in (*flatten(saved.observation), *states)],
        [spec.name for spec in states],
        output_count(head, saved.action),
    )
    source = f"SavedModel {saved.path}{saved.form}, as it is"
    return FrozenPolicy(
        model, head, saved.observation, saved.action, source, tuple(states) or None, reason
    )
