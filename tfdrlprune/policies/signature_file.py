"""The ``action`` signature, read from a SavedModel folder without its Python objects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.policies.modes import take_modes
from tfdrlprune.policies.signature import Signature

_BINARY, _TEXT = "saved_model.pb", "saved_model.pbtxt"


def is_saved_model(path: Path) -> bool:
    """Tells whether ``path`` is a TensorFlow SavedModel folder."""
    return (path / _BINARY).is_file() or (path / _TEXT).is_file()


def read_signature(path: str | os.PathLike[str]) -> Signature:
    """Returns the frozen ``action`` signature of a SavedModel.

    Of a policy that samples its action, the mode.

    Read as TensorFlow 1 reads it: graph, variables and signatures, and nothing else.
    `tf.saved_model.load` also revives Python objects, and refuses files whose TypeSpecs are
    unknown to this process or this version, which are all that older TF-Agents wrote.

    Raises:
        ValueError: the folder is damaged, or holds no policy.
    """
    try:
        meta_graph = _meta_graph(Path(path))
        if "action" not in meta_graph.signature_def:
            raise ValueError("it has no signature 'action', so it is no policy of PolicySaver")
        signature = meta_graph.signature_def["action"]
        if "action" not in signature.outputs:
            raise ValueError(
                f"its signature 'action' gives {sorted(signature.outputs)}, and a policy has one "
                "action"
            )
        keys = ["action", *sorted(key for key in signature.outputs if key != "action")]
        outputs = {key: signature.outputs[key].name for key in keys}
        definition = _without_variables(meta_graph, Path(path), list(outputs.values()))
    except Exception as error:  # protobuf and TensorFlow raise many kinds on a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise ValueError(f"The SavedModel {path} cannot be loaded: {reason}.") from error
    sampled = take_modes(definition)
    kept = {node.name for node in definition.node}
    inputs = {
        key: info.name
        for key, info in sorted(signature.inputs.items())
        if info.name.split(":")[0] in kept
    }
    function = tf.compat.v1.wrap_function(
        lambda: tf.import_graph_def(definition, name=""), signature=[]
    )
    tensor = function.graph.get_tensor_by_name
    results = [tensor(name) for name in outputs.values()]
    frozen = inlined(function, [tensor(name) for name in inputs.values()], results)
    return Signature(frozen, tuple(inputs), outputs, definition, sampled)


def inlined(function: Any, inputs: list[Any], outputs: list[Any]) -> Any:
    """Returns a part of a wrapped function in which the calls to other functions are inlined."""
    # The one public way from a function to one graph without calls; in TensorFlow 2.21.
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    return convert_variables_to_constants_v2(function.prune(inputs, outputs))


def _meta_graph(path: Path) -> Any:
    """Returns the graph that serves."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    parsed = saved_model_pb2.SavedModel()
    if (path / _BINARY).is_file():
        parsed.ParseFromString((path / _BINARY).read_bytes())
    else:
        text_format.Parse((path / _TEXT).read_text(encoding="utf-8"), parsed)
    graphs = [item for item in parsed.meta_graphs if "serve" in item.meta_info_def.tags]
    if not graphs:
        raise ValueError("it has no graph with the tag 'serve'")
    rename_functions(graphs[0].graph_def)
    return graphs[0]


def rename_functions(definition: Any) -> None:
    """Gives the functions of a graph names of their own.

    A process has one table of functions for all graphs. One that has saved the policy, or loads
    it a second time, knows the names already, with bodies that differ in their attributes.
    """
    prefix = f"loaded_{os.urandom(4).hex()}_"
    library = definition.library
    names = {function.signature.name for function in library.function}

    def rename(nodes: Any) -> None:
        for node in nodes:
            if node.op in names:
                node.op = prefix + node.op
            for attribute in node.attr.values():
                for function in (attribute.func, *attribute.list.func):
                    if function.name in names:
                        function.name = prefix + function.name

    rename(definition.node)
    for function in library.function:
        function.signature.name = prefix + function.signature.name
        rename(function.node_def)
    del library.gradient[:]


def _without_variables(meta_graph: Any, path: Path, outputs: list[str]) -> Any:
    """Returns the graph that makes the outputs, the saved variables' values put in as constants."""
    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")  # functions of TensorFlow 1 announce their age
    names = list(dict.fromkeys(name.split(":")[0] for name in outputs))
    try:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            saver = tf.compat.v1.train.import_meta_graph(meta_graph)
            if saver is not None:
                saver.restore(session, os.fspath(path / "variables" / "variables"))
            return tf.compat.v1.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), names
            )
    finally:
        tf.get_logger().setLevel(level)
