"""Ranges for int8 that end where it makes no difference any more: before a tanh or a sigmoid.

What a trained network puts into a tanh may reach 20, and 256 steps over 40 are coarse where tanh is
steep; beyond 4 it is 1 to within a tenth of a step of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.deployment.model_file import Reader
from tfdrlprune.deployment.model_writer import packed

# 1 - tanh(4) = 1 - sigmoid(8), twice: 7e-4, beside steps of 1/128 and 1/256 that they put out.
_SATURATED = {"TANH": 4.0, "LOGISTIC": 8.0}
# Their sums have a scale of their own. Others share one with what they read, as slices do.
_SUMS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "ADD")


def limited(calibrated: bytes) -> bytes:
    """Returns a calibrated model whose ranges before saturating activations end where those do.

    Tensors that anything else reads, or that are outputs of the model, are left alone.

    Args:
        calibrated: a float ``.tflite`` model with the smallest and largest number of each tensor,
            before it is quantized.
    """
    reader = Reader(calibrated)
    graph = reader.graph
    makers = {int(index): reader.kind(op) for op in graph.operators for index in op.outputs}
    readers: dict[int, set[str]] = {int(index): {"the caller"} for index in graph.outputs}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(int(index), set()).add(reader.kind(operator))
    for index, kinds in readers.items():
        if makers.get(index) in _SUMS and kinds <= set(_SATURATED):
            _limit(graph.tensors[index], max(_SATURATED[kind] for kind in kinds))
    return packed(reader.model)


def _limit(tensor: Any, end: float) -> None:
    found = tensor.quantization
    if found is None or found.min is None or found.max is None:
        return
    found.min = np.clip(found.min, -end, end).astype(np.float32)
    found.max = np.clip(found.max, -end, end).astype(np.float32)
