"""A policy's signature for one observation in the middle of an episode: no loops, known shapes."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.policies.signature import Signature
from tfdrlprune.policies.signature_file import inlined, rename_functions

_LOOPS = ("While", "StatelessWhile")


def one_step(signature: Signature) -> Signature:
    """Returns the signature with a batch of one, which observes and remembers, and nothing else.

    What begins an episode is then a constant, off; a policy's network that loops over time has
    one step to go, so that the loop is its body. Whoever rebuilds a policy from this compares it
    with the whole signature.
    """
    definition = type(signature.definition).FromString(signature.definition.SerializeToString())
    rename_functions(definition)
    _unroll(definition)
    kept = {*signature.leaves(), *signature.states}
    given: dict[str, Any] = {}
    results: list[Any] = []

    def build() -> None:
        size = signature.batch_size or 1
        for index, (key, tensor) in enumerate(signature.tensors.items()):
            given[key] = (
                tf.compat.v1.placeholder(
                    tensor.dtype, [size, *tensor.shape[1:]], name=f"given_{index}"
                )
                if key in kept
                else tf.ones([size], tensor.dtype)  # of the step type, MID
            )
        replaced = {signature.tensors[key].name: value for key, value in given.items()}
        names = list(signature.outputs.values())
        results.extend(
            tf.import_graph_def(definition, replaced, return_elements=names, name="policy")
        )

    function = tf.compat.v1.wrap_function(build, signature=[])
    keys = tuple(key for key in signature.keys if key in kept)
    names = dict(zip(signature.outputs, (tensor.name for tensor in results), strict=True))
    frozen = inlined(function, [given[key] for key in keys], results)
    plain = frozen.graph.as_graph_def()
    if _unpack(plain):
        again = tf.compat.v1.wrap_function(
            lambda: tf.import_graph_def(plain, name=""), signature=[]
        )
        tensor = again.graph.get_tensor_by_name
        inputs, outputs = frozen.inputs, tf.nest.flatten(frozen.outputs)
        names = dict(zip(names, (each.name for each in outputs), strict=True))
        frozen = inlined(
            again, [tensor(each.name) for each in inputs], [tensor(each.name) for each in outputs]
        )
    return Signature(frozen, keys, names)


def _unroll(definition: Any) -> None:
    """Makes calls to their bodies of a graph's loops, also of those in its functions."""
    for nodes in (definition.node, *(each.node_def for each in definition.library.function)):
        for node in nodes:
            if node.op not in _LOOPS:
                continue
            call = type(node)(name=node.name, op="PartitionedCall", input=node.input)
            call.attr["f"].func.CopyFrom(node.attr["body"].func)
            for name in ("Tin", "Tout"):
                call.attr[name].list.CopyFrom(node.attr["T"].list)
            node.CopyFrom(call)


def _unpack(definition: Any) -> bool:
    """Takes the lists out of a graph whose loops were unrolled; tells whether there were any.

    A loop takes its inputs from a list over time and puts its outputs into one: of one step each.
    """
    nodes = {node.name: node for node in definition.node}

    def maker(name: str) -> Any:
        stem, _, index = name.partition(":")
        node = nodes[stem]
        if node.op in ("Identity", "IdentityN"):
            return maker(node.input[int(index or 0)])
        return node

    changed = False
    for node in list(definition.node):
        if node.op not in ("TensorListGetItem", "TensorListStack"):
            continue
        made, taken = maker(node.input[0]), node.op == "TensorListGetItem"
        if made.op != ("TensorListFromTensor" if taken else "TensorListSetItem"):
            continue
        plain = type(node)(name=node.name, op="Squeeze" if taken else "ExpandDims")
        plain.attr["T"].type = node.attr["element_dtype"].type
        plain.input.append(made.input[0 if taken else 2])
        if taken:
            plain.attr["squeeze_dims"].list.i.append(0)
        else:
            axis = definition.node.add(name=f"{node.name}/axis", op="Const")
            axis.attr["dtype"].type = tf.int32.as_datatype_enum
            axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0, tf.int32))
            plain.attr["Tdim"].type = tf.int32.as_datatype_enum
            plain.input.append(axis.name)
        node.CopyFrom(plain)
        changed = True
    return changed
