"""The graph in a ``.tflite`` file: which operation makes which tensor of which others.

`model_file` tells what an artifact holds; this tells what it computes, for those who follow numbers
through it. NumPy and LiteRT's schema only.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tfdrlprune.deployment.model_file import Reader
from tfdrlprune.specs import Array

# What an operation does to its result: TFLite's numbers, and the operation of the same meaning.
_FUSED = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH"}
_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor.

    Attributes:
        name: in the file.
        dtype: such as ``"float32"``; of a constant as it is stored.
        shape: with the batch axis of one.
        step: what one step of an integer stands for; None where the numbers are plain ones.
        zero: the integer that stands for 0.
        low: the smallest number that a quantized tensor can hold, -infinity for a plain one.
        high: the largest, or infinity.
        value: float64, what a constant stands for; None of a tensor that is computed.
        stored: the constant as it is in the file.
        scale: what one step of a stored integer stands for, one number or one for each channel;
            None where the numbers are plain ones.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    step: float | None = None
    low: float = -np.inf
    high: float = np.inf
    value: Array | None = None
    stored: Array | None = None
    scale: Array | None = None
    zero: int = 0


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    Attributes:
        kind: TFLite's name, such as ``"FULLY_CONNECTED"``.
        inputs: of its tensors; -1 for one that is left out.
        outputs: likewise.
        activation: what follows in the same operation, such as ``"RELU"``; ``"NONE"`` for nothing.
        options: TFLite's further choices by TFLite's names.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str
    options: Mapping[str, Any] = field(repr=False)

    @property
    def output(self) -> int:
        """Its tensor, the first where there are several."""
        return self.outputs[0]


@dataclass(frozen=True, eq=False)
class Graph:
    """What a model computes.

    Attributes:
        tensors: by their index.
        nodes: in the order they run; constants that are only widened are constants here.
        inputs: name in the signature -> tensor.
        outputs: likewise.
    """

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]

    @cached_property
    def makers(self) -> dict[int, Node]:
        """The node that computes each tensor; inputs and constants have none."""
        return {index: node for node in self.nodes for index in node.outputs}


def read(content: bytes) -> Graph:
    """Returns the graph behind a model's one signature.

    Raises:
        ValueError: the bytes are no TFLite model, or one with several graphs or signatures.
    """
    if content[4:8] != b"TFL3":
        raise ValueError("The file is no TFLite model: its identifier TFL3 is missing.")
    try:
        reader = Reader(content)
        counts = len(reader.model.subgraphs), len(reader.model.signatureDefs or ())
        if counts == (1, 1):
            return _graph(reader)
    except (struct.error, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"The file is no TFLite model that can be read: {error}. Export the policy again."
        ) from error
    raise ValueError(
        "A policy's model has one graph with one signature. Received: "
        f"{counts[0]} graphs, {counts[1]} signatures. Export the policy again."
    )


def _graph(reader: Reader) -> Graph:
    signature = reader.model.signatureDefs[0]
    return Graph(
        tuple(_tensor(reader, index) for index in range(len(reader.graph.tensors))),
        tuple(_node(reader, op) for op in reader.graph.operators if not reader.is_widening(op)),
        {item.name.decode(): int(item.tensorIndex) for item in signature.inputs},
        {item.name.decode(): int(item.tensorIndex) for item in signature.outputs},
    )


def _tensor(reader: Reader, index: int) -> Tensor:
    given = reader.graph.tensors[index]
    stored_at = reader.widened.get(index, index)
    stored, held = reader.constant(stored_at), reader.graph.tensors[stored_at]
    shape = () if given.shape is None else tuple(map(int, given.shape))
    dtype = reader.types[held.type].lower()
    name = given.name.decode()
    value = None if stored is None else reader.scaled(stored_at, stored)
    scale = None if held.quantization is None else held.quantization.scale
    if scale is None or not len(scale) or dtype not in _RANGES:
        return Tensor(name, dtype, shape, value=value, stored=stored)
    steps = np.asarray(scale, np.float64)
    if len(scale) > 1:
        if value is None:
            raise ValueError(f"The computed tensor {name!r} has a scale for each channel.")
        return Tensor(name, dtype, shape, value=value, stored=stored, scale=steps)
    step, zero = float(scale[0]), int(held.quantization.zeroPoint[0])
    low, high = ((limit - zero) * step for limit in _RANGES[dtype])
    return Tensor(name, dtype, shape, step, low, high, value, stored, steps, zero)


def _node(reader: Reader, op: Any) -> Node:
    options = {} if op.builtinOptions is None else vars(op.builtinOptions)
    fused = options.get("fusedActivationFunction", 0)
    return Node(
        reader.kind(op),
        tuple(map(int, op.inputs)),
        tuple(map(int, op.outputs)),
        _FUSED.get(fused, str(fused)),
        options,
    )
