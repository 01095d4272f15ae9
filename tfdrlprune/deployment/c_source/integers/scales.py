"""Between floats and bytes: how the numbers of an int8 file are scaled, rounded and clamped.

All of it is rounded as XNNPACK does, with which LiteRT runs such a file: a sum of integers becomes
a float, is scaled by one factor, clamped, and rounded to the nearest, halves to the even one. So C
gives LiteRT's numbers bit for bit. TFLite's reference kernels, and tflite-micro with them, scale by
fixed point in two steps, which on some sums is one off. A processor without floats does one
multiplication of software for each output, none for a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.c_source.texts import number
from tfdrlprune.deployment.model_graph import Graph, Tensor
from tfdrlprune.specs import Array

# Bytes in C are int8 with this added.
OFFSET = 128


def is_whole(graph: Graph, index: int) -> bool:
    """Tells whether a tensor that is computed is int8 in the file."""
    tensor = graph.tensors[index]
    return tensor.dtype == "int8" and tensor.value is None and tensor.step is not None


def zero_byte(tensor: Tensor) -> int:
    """Returns the byte that stands for 0."""
    return tensor.zero + OFFSET


def step_of(tensor: Tensor) -> np.float32:
    """Returns what one step of an int8 tensor stands for."""
    return np.float32(tensor.step or 1.0)


@dataclass(frozen=True)
class Rounding:
    """How floats become bytes.

    Attributes:
        low, high: what is clamped to, counted from zero.
        zero: the byte that stands for zero.
    """

    low: int
    high: int
    zero: int

    def __str__(self) -> str:
        return f"{self.low}.0f, {self.high}.0f, {self.zero}"

    def bytes_of(self, values: Array) -> Array:
        """Returns what C makes of these numbers."""
        clipped = np.clip(np.asarray(values, np.float32), self.low, self.high)
        return (np.rint(clipped).astype(np.int32) + self.zero).astype(np.uint8)


def rounding(tensor: Tensor, activation: str = "NONE") -> Rounding | None:
    """Returns how a tensor is rounded; None where its activation is no clamp."""
    step, zero = step_of(tensor), zero_byte(tensor)
    limits = {
        "NONE": (-np.inf, np.inf),
        "RELU": (0.0, np.inf),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
    if activation not in limits:
        return None
    low, high = (float(np.rint(np.float32(limit) / step)) for limit in limits[activation])
    return Rounding(int(max(-zero, low)), int(min(255 - zero, high)), zero)


def to_bytes(program: Program, index: int, out: int) -> None:
    """Writes a tensor that is there as floats as the bytes of another's scale, or of its own.

    Args:
        program: of floats.
        index: of the tensor.
        out: which tensor it becomes.
    """
    tensor, size = program.graph.tensors[out], program.size(out)
    source, target = program.place(index), program.whole.new(out)
    program.helpers.add("rounded")
    factor = number(float(np.float32(1) / step_of(tensor)))
    value = f"rounded({source.at('i')} * {factor}, {rounding(tensor)})"
    program.step(_loop(size, f"{target.at('i')} = {value};"), source, target)


def to_floats(program: Program, index: int, out: int | None = None) -> None:
    """Writes a tensor that is there as bytes as floats, for a rule that works on these.

    Args:
        program: of floats.
        index: of the tensor.
        out: which tensor it becomes; None is the same one.
    """
    tensor = program.graph.tensors[index]
    source, target = program.whole.place(index), program.new(index if out is None else out)
    value = f"(float)({source.at('i')} - {zero_byte(tensor)}) * {number(float(step_of(tensor)))}"
    program.step(_loop(program.size(index), f"{target.at('i')} = {value};"), source, target)


def _loop(size: int, line: str) -> list[str]:
    return [f"for (int i = 0; i < {size}; i++) {{", f"    {line}", "}"]
