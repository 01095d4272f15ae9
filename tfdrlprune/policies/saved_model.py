"""A PolicySaver SavedModel as a `Policy`: its frozen ``action`` graph is rebuilt and compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.policies.drawing import draw
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.graph import Graph, head_of
from tfdrlprune.policies.proof import prove
from tfdrlprune.policies.rules import Rebuilder
from tfdrlprune.policies.tensor_specs import array_spec, observation_nest
from tfdrlprune.specs import Array, ArraySpec, Head, Nest, flatten

_SPECS_FILE = "policy_specs.pbtxt"
_PROOF_SIZE = 1000


@dataclass(frozen=True)
class Signature:
    """The ``action`` signature, frozen: variables are constants, function calls are inlined.

    Attributes:
        function: from all inputs, in the order of ``keys``, to the action.
        keys: of the inputs, such as ``0/observation`` (0 is the time step, 1 the policy's state).
    """

    function: Any
    keys: tuple[str, ...]

    def leaves(self) -> list[str]:
        """Returns the keys that belong to the observation, in the signature's order."""
        return [key for key in self.keys if key.split("/")[:2] == ["0", "observation"]]


def is_saved_model(path: Path) -> bool:
    """Tells whether ``path`` is a TensorFlow SavedModel folder."""
    return (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file()


def load_policy(
    path: str | os.PathLike[str],
    *,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
) -> Policy:
    """Returns the policy of a SavedModel that TF-Agents' PolicySaver wrote.

    Args:
        path: the folder, with its ``policy_specs.pbtxt``.
        observation: specs to use in place of the saved ones, such as bounds that are missing.
        action: the environment's own action spec; None takes the saved one.

    Raises:
        ValueError: it is no policy, an operation cannot be rebuilt (named), or what was built acts
            differently from the SavedModel on 1,000 observations (says how far off).
    """
    signature = read_signature(path)
    state = [key for key in signature.keys if not key.startswith("0/")]
    if state:
        raise ValueError(
            f"The policy in {path} has a state {state}, as recurrent ones have; it cannot be "
            "rebuilt."
        )
    saved = _saved_specs(Path(path))
    own = action or (saved[1] if saved else None)
    nest = observation or (saved[0] if saved else None)
    if nest is None or own is None:
        raise ValueError(
            f"{_SPECS_FILE} is missing beside the SavedModel {path}, so give the environment "
            f"(--env), or observation=... (for {signature.leaves()}) and action=..."
        )
    keys = _keys(signature, nest, path)
    built = _rebuild(signature, keys, nest, own, f"SavedModel {path}")
    drawn = draw(nest, built.normalizers, _PROOF_SIZE, seed=0)
    expected = _act(signature, dict(zip(keys, drawn, strict=True)))
    expected = expected + _shift(built, saved[1] if saved else None)
    prove(built, expected, drawn, f"The policy rebuilt from {path}")
    return built


def read_signature(path: str | os.PathLike[str]) -> Signature:
    """Returns the frozen ``action`` signature of a SavedModel.

    Read as TensorFlow 1 reads it: graph, variables and signatures, and nothing else.
    `tf.saved_model.load` also revives Python objects, and refuses files whose TypeSpecs are
    unknown to this process or this version, which are all that older TF-Agents wrote.
    """
    try:
        meta_graph = _meta_graph(Path(path))
        if "action" not in meta_graph.signature_def:
            raise ValueError("it has no signature 'action', so it is no policy of PolicySaver")
        signature = meta_graph.signature_def["action"]
        action = signature.outputs["action"].name
        definition = _without_variables(meta_graph, Path(path), action.split(":")[0])
    except Exception as error:  # protobuf and TensorFlow raise many kinds on a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"The SavedModel {path} cannot be loaded: {reason}.") from error
    kept = {node.name for node in definition.node}
    inputs = {
        key: info.name
        for key, info in sorted(signature.inputs.items())
        if info.name.split(":")[0] in kept
    }
    return Signature(_frozen(definition, list(inputs.values()), action), tuple(inputs))


def _meta_graph(path: Path) -> Any:
    """Returns the graph that serves, its functions under names of their own.

    A process has one table of functions for all graphs. One that has saved the policy, or loads
    it a second time, knows the names already, with bodies that differ in their attributes.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    parsed = saved_model_pb2.SavedModel()
    parsed.ParseFromString((path / "saved_model.pb").read_bytes())
    graphs = [item for item in parsed.meta_graphs if "serve" in item.meta_info_def.tags]
    if not graphs:
        raise ValueError("it has no graph with the tag 'serve'")
    prefix = f"loaded_{os.urandom(4).hex()}_"
    library = graphs[0].graph_def.library
    names = {function.signature.name for function in library.function}

    def rename(nodes: Any) -> None:
        for node in nodes:
            if node.op in names:
                node.op = prefix + node.op
            for attribute in node.attr.values():
                for function in (attribute.func, *attribute.list.func):
                    if function.name in names:
                        function.name = prefix + function.name

    rename(graphs[0].graph_def.node)
    for function in library.function:
        function.signature.name = prefix + function.signature.name
        rename(function.node_def)
    del library.gradient[:]
    return graphs[0]


def _without_variables(meta_graph: Any, path: Path, output: str) -> Any:
    """Returns the graph that makes ``output``, the saved variables' values put in as constants."""
    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")  # functions of TensorFlow 1 announce their age
    try:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            saver = tf.compat.v1.train.import_meta_graph(meta_graph)
            if saver is not None:
                saver.restore(session, os.fspath(path / "variables" / "variables"))
            return tf.compat.v1.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), [output]
            )
    finally:
        tf.get_logger().setLevel(level)


def _frozen(definition: Any, inputs: list[str], output: str) -> Any:
    """Returns a graph as a function in which the calls to other functions are inlined."""
    # The one public way from a function to one graph without calls; in TensorFlow 2.21.
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    wrapped = tf.compat.v1.wrap_function(
        lambda: tf.import_graph_def(definition, name=""), signature=[]
    )
    tensor = wrapped.graph.get_tensor_by_name
    return convert_variables_to_constants_v2(
        wrapped.prune([tensor(name) for name in inputs], tensor(output))
    )


def _saved_specs(path: Path) -> tuple[Nest, ArraySpec] | None:
    """Returns the observation and action specs that PolicySaver wrote, or None without them."""
    file = path / _SPECS_FILE
    if not file.is_file():
        return None
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts
    from tf_agents.specs import tensor_spec  # isort: skip

    try:
        trajectory = tensor_spec.from_pbtxt_file(os.fspath(file))["collect_data_spec"]
    except Exception as error:  # text format and nested structures raise several kinds
        reason = (str(error).strip().splitlines() or ["unknown"])[0][:200]
        raise ValueError(f"{file} cannot be read: {reason}") from error
    actions = tf.nest.flatten(trajectory.action)
    if len(actions) != 1:
        raise ValueError(f"A policy has one action. {file} has {len(actions)}.")
    return observation_nest(trajectory.observation), array_spec(actions[0], "action")


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
    placeholders = dict(zip(signature.keys, signature.function.inputs, strict=True))
    for key, spec in zip(keys, specs, strict=True):
        shape = tuple(placeholders[key].shape[1:])
        if shape != spec.shape:
            raise ValueError(
                f"The SavedModel {path} takes the observation {spec.name!r} of the shape {shape}, "
                f"and its spec says {spec.shape}. Name the environment that it was trained in."
            )
    return keys


def _act(signature: Signature, leaves: dict[str, Array]) -> Array:
    """Returns the SavedModel's own actions."""
    count = len(next(iter(leaves.values())))
    arguments = [
        # MID, reward 1, discount 1: a feed-forward policy reads none of them.
        tf.constant(leaves[key]) if key in leaves else tf.ones([count], tensor.dtype)
        for key, tensor in zip(signature.keys, signature.function.inputs, strict=True)
    ]
    result = signature.function(*arguments)
    return np.asarray(tf.nest.flatten(result)[0])


def _rebuild(
    signature: Signature, keys: list[str], nest: Nest, action: ArraySpec, source: str
) -> Policy:
    frozen = signature.function
    graph = Graph(frozen)
    specs = flatten(nest)
    inputs = [tf.keras.Input(spec.shape, name=spec.name, dtype=spec.dtype) for spec in specs]
    placeholders = dict(zip(signature.keys, frozen.inputs, strict=True))
    by_name = {
        placeholders[key].name.split(":")[0]: tensor
        for key, tensor in zip(keys, inputs, strict=True)
    }
    head, last = head_of(graph, graph.node(frozen.outputs[0].name))
    last = graph.through(last)
    outputs = Rebuilder(graph, by_name, last).tensor(last)
    if head.kind == "argmax":
        head = Head("argmax", offset=float(_observations.bounds(action)[0][0]))
    model = tf.keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name="policy")
    return Policy(model, head, nest, action, source)


def _shift(policy: Policy, saved: ArraySpec | None) -> int:
    """Returns what is added to the SavedModel's action to make it the environment's."""
    if policy.head.kind != "argmax" or saved is None:
        return 0
    low, own = (_observations.bounds(spec)[0] for spec in (policy.action_spec, saved))
    return int(low[0] - own[0])
