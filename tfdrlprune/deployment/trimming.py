"""A ``.tflite`` file without what no interpreter reads: 0.3 to 0.7 kB, much of a small policy's.

What is left computes the same, operation by operation, from the same constants.
"""

from __future__ import annotations

from typing import Any

from tfdrlprune.deployment.model_file import Reader
from tfdrlprune.deployment.model_writer import packed

# The oldest runtime that knows all operations, for app stores and loaders that ask. The converter's
# other entry names its own version, which the manifest has as well.
_KEPT_METADATA = b"min_runtime_version"


def trimmed(content: bytes) -> bytes:
    """Returns the model with the same operations and constants in a smaller file.

    Left out are an empty buffer and an empty table of scales for each tensor that is computed, what
    the converter notes about itself, the model's name in front of each layer's, and the names of
    operations that were fused into others. Layers can still be told by their names.

    Args:
        content: a ``.tflite`` file.
    """
    model = Reader(content).model
    # The first buffer is the empty one, by the format's rule.
    buffers = [model.buffers[0]]
    moved: dict[int, int] = {}

    def place(index: int) -> int:
        data = model.buffers[index].data
        if data is None or not len(data):
            return 0
        if index not in moved:
            moved[index] = len(buffers)
            buffers.append(model.buffers[index])
        return moved[index]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place(tensor.buffer)
            tensor.name = _short(tensor.name)
            if tensor.quantization is not None and _is_blank(tensor.quantization):
                tensor.quantization = None
    model.metadata = [each for each in model.metadata or [] if each.name == _KEPT_METADATA]
    for each in model.metadata:
        each.buffer = place(each.buffer)
    model.buffers = buffers
    return packed(model)


def _is_blank(quantization: Any) -> bool:
    parts = ("min", "max", "scale", "zeroPoint", "details")
    return all(getattr(quantization, part) is None for part in parts)


def _short(name: bytes) -> bytes:
    """Returns ``dense/MatMul`` for ``policy/dense/MatMul;policy/dense/BiasAdd``."""
    first = name.split(b";", maxsplit=1)[0]
    return first.removeprefix(b"policy/") if first.count(b"/") > 1 else first
