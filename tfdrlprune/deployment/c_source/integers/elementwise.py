"""Functions of each number of an int8 file, in integers: tables, sums and products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfdrlprune.deployment.c_source import loops
from tfdrlprune.deployment.c_source.integers.scales import (
    is_whole,
    rounding,
    step_of,
    zero_byte,
)
from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.c_source.texts import number
from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.specs import Array

_Function = Callable[[Array], Array]
_TABLES: dict[str, _Function] = {
    "ABS": np.abs,
    "ELU": lambda x: np.where(x < 0, np.expm1(x), x),
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)),
    "NEG": np.negative,
    "QUANTIZE": lambda x: x,
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "RELU_0_TO_1": lambda x: np.clip(x, 0, 1),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1),
    "RSQRT": lambda x: 1 / np.sqrt(x),
    "TANH": np.tanh,
}
TABLES = tuple(_TABLES)
SUMS = ("ADD", "SUB", "MUL")


def tabled(program: Program, node: Node) -> None:
    """Writes a function of one number as a table of what each byte becomes."""
    given, out = (program.graph.tensors[i] for i in (node.inputs[0], node.output))
    if node.kind == "QUANTIZE" and (given.step, given.zero) == (out.step, out.zero):
        program.put(node.output, program.place(node.inputs[0]))
        return
    values = (np.arange(256) - zero_byte(given)).astype(np.float32) * step_of(given)
    rounded = rounding(out)
    assert rounded is not None  # there is no activation
    with np.errstate(all="ignore"):
        made = np.nan_to_num(_TABLES[node.kind](values).astype(np.float32))
        steps = made * (np.float32(1) / step_of(out))
    table = program.constant("f", rounded.bytes_of(steps))
    source, target = program.place(node.inputs[0]), program.new(node.output)
    size = program.size(node.output)
    lines = [f"for (int i = 0; i < {size}; i++) {{"]
    lines += [f"    {target.at('i')} = {table}[{source.at('i')}];", "}"]
    program.step(lines, source, target)


def combined(program: Program, node: Node) -> None:
    """Writes ADD, SUB and MUL."""
    shape, out = program.shape(node.output), program.new(node.output)
    tensors = [program.graph.tensors[i] for i in node.inputs]
    places = [program.place(i) for i in node.inputs]
    steps = [loops.broadcast(shape, shape)]
    steps += [loops.broadcast(tensor.shape, shape) for tensor in tensors]
    value = _product if node.kind == "MUL" else _sum

    def body(indices: list[str]) -> list[str]:
        texts = [
            f"({place.at(index)} - {zero_byte(tensor)})"
            for place, index, tensor in zip(places, indices[1:], tensors, strict=True)
        ]
        return value(program, node, out.at(indices[0]), texts)

    program.step(loops.nest(shape, steps, body), out, *places)


def fits(graph: Graph, node: Node) -> bool:
    """Tells whether a function of `TABLES` or `SUMS` is one of int8 numbers."""
    whole = all(graph.tensors[i].dtype == "int8" and graph.tensors[i].step for i in node.inputs)
    clamp = rounding(graph.tensors[node.output], node.activation) is not None
    return whole and clamp and is_whole(graph, node.output)


def _product(program: Program, node: Node, target: str, texts: list[str]) -> list[str]:
    tensors = [program.graph.tensors[i] for i in (*node.inputs, node.output)]
    program.helpers.add("rounded")
    scale = number(float(step_of(tensors[0]) * step_of(tensors[1]) / step_of(tensors[2])))
    value = f"(float)({texts[0]} * {texts[1]}) * {scale}"
    return [f"{target} = rounded({value}, {rounding(tensors[2], node.activation)});"]


def _sum(program: Program, node: Node, target: str, texts: list[str]) -> list[str]:
    """Returns the C of a sum in fixed point, with 21 bits for the larger factor, as XNNPACK has."""
    tensors = [program.graph.tensors[i] for i in (*node.inputs, node.output)]
    scales = [step_of(tensor) / step_of(tensors[2]) for tensor in tensors[:2]]
    shift = 20 - int(np.floor(np.log2(max(scales))))
    first, second = (int(np.rint(scale * np.float32(2.0**shift))) for scale in scales)
    second = -second if node.kind == "SUB" else second
    rounded = rounding(tensors[2], node.activation)
    assert rounded is not None  # `fits` has looked
    total = f"({first} * {texts[0]} + {second} * {texts[1]} + {1 << (shift - 1)}) >> {shift}"
    low, high, zero = rounded.low, rounded.high, rounded.zero
    return [
        "{",
        f"    const int32_t v = {total};",
        f"    {target} = (uint8_t)((v < {low} ? {low} : v > {high} ? {high} : v) + {zero});",
        "}",
    ]
