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
    outputs = dict(zip(signature.outputs, (tensor.name for tensor in results), strict=True))
    return Signature(inlined(function, [given[key] for key in keys], results), keys, outputs)


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
