"""Operations that make each number of one number, or of two, of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfdrlprune.deployment.c_source import loops
from tfdrlprune.deployment.c_source.program import Place, Program, unsupported
from tfdrlprune.deployment.c_source.texts import number
from tfdrlprune.deployment.model_graph import Node

# {x} is a name or an element of an array: cheap, and without side effects.
_UNARY = {
    "ABS": "fabsf({x})",
    "CEIL": "ceilf({x})",
    "COS": "cosf({x})",
    "ELU": "{x} < 0.0f ? expm1f({x}) : {x}",
    "EXP": "expf({x})",
    "FLOOR": "floorf({x})",
    "HARD_SWISH": "{x} * fminf(fmaxf({x} + 3.0f, 0.0f), 6.0f) / 6.0f",
    "LOG": "logf({x})",
    "LOGICAL_NOT": "{x} == 0.0f ? 1.0f : 0.0f",
    "LOGISTIC": "0.5f + 0.5f * fast_tanh(0.5f * {x})",
    "NEG": "-{x}",
    "RELU": "{x} > 0.0f ? {x} : 0.0f",
    "RELU6": "{x} > 0.0f ? ({x} < 6.0f ? {x} : 6.0f) : 0.0f",
    "RELU_0_TO_1": "{x} > 0.0f ? ({x} < 1.0f ? {x} : 1.0f) : 0.0f",
    "RELU_N1_TO_1": "{x} > -1.0f ? ({x} < 1.0f ? {x} : 1.0f) : -1.0f",
    "ROUND": "rintf({x})",
    "RSQRT": "1.0f / sqrtf({x})",
    "SIGN": "{x} > 0.0f ? 1.0f : ({x} < 0.0f ? -1.0f : 0.0f)",
    "SIN": "sinf({x})",
    "SQRT": "sqrtf({x})",
    "SQUARE": "{x} * {x}",
    "TANH": "fast_tanh({x})",
}
_BINARY = {
    "ADD": "{x} + {y}",
    "ATAN2": "atan2f({x}, {y})",
    "DIV": "{x} / {y}",
    "EQUAL": "{x} == {y} ? 1.0f : 0.0f",
    "GREATER": "{x} > {y} ? 1.0f : 0.0f",
    "GREATER_EQUAL": "{x} >= {y} ? 1.0f : 0.0f",
    "LESS": "{x} < {y} ? 1.0f : 0.0f",
    "LESS_EQUAL": "{x} <= {y} ? 1.0f : 0.0f",
    "LOGICAL_AND": "{x} != 0.0f && {y} != 0.0f ? 1.0f : 0.0f",
    "LOGICAL_OR": "{x} != 0.0f || {y} != 0.0f ? 1.0f : 0.0f",
    "MAXIMUM": "{x} > {y} ? {x} : {y}",
    "MINIMUM": "{x} < {y} ? {x} : {y}",
    "MUL": "{x} * {y}",
    "NOT_EQUAL": "{x} != {y} ? 1.0f : 0.0f",
    "POW": "powf({x}, {y})",
    "PRELU": "{x} > 0.0f ? {x} : {x} * {y}",
    "SQUARED_DIFFERENCE": "({x} - {y}) * ({x} - {y})",
    "SUB": "{x} - {y}",
}
# tanhf is one call for each number. This is a quotient of polynomials, which a compiler does for a
# whole vector at once. Fitted by iterated least squares to the smallest largest error: at most 4e-7
# in float32, and nothing beyond 1.
FAST_TANH = """\
static inline float fast_tanh(float x)
{
    const float v = x < -8.0f ? -8.0f : (x > 8.0f ? 8.0f : x), z = v * v;
    const float p = (((1.5061879e-08f * z + 2.1773321e-05f) * z + 0.0035641617f) * z
                     + 0.13438196f) * z + 0.99999994f;
    const float q = (((8.453698e-07f * z + 0.00033991877f) * z + 0.026136037f) * z
                     + 0.46771517f) * z + 1.0f;
    return v * p / q;
}
"""
_CHOICES = ("SELECT", "SELECT_V2")
KINDS = (*_UNARY, *_BINARY, *_CHOICES, "CAST", "GELU", "LEAKY_RELU")


def activated(kind: str, x: str) -> str | None:
    """Returns the C of an activation of ``x``; None where there is none of that name."""
    if kind == "NONE":
        return x
    return _UNARY[kind].format(x=x) if kind in _UNARY else None


def activation(place: Place, size: int, kind: str) -> list[str]:
    """Returns the loop that applies an activation in place; nothing for ``"NONE"``."""
    if kind == "NONE":
        return []
    return [
        f"for (int i = 0; i < {size}; i++) {{",
        f"    {place.at('i')} = {activated(kind, place.at('i'))};",
        "}",
    ]


def elementwise(program: Program, node: Node) -> None:
    """Writes an operation of `KINDS`."""
    expression = _expression(program, node)
    shape = program.shape(node.output)
    out = program.new(node.output)
    operands = [_Operand(program, index, len(shape)) for index in node.inputs]
    steps = [loops.broadcast(shape, shape), *(each.strides(shape) for each in operands)]

    def body(indices: list[str]) -> list[str]:
        texts = [o.at(i) for o, i in zip(operands, indices[1:], strict=True)]
        names = dict(zip("xyz", texts, strict=False))
        target = out.at(indices[0])
        lines = [f"{target} = {expression.format(**names)};"]
        if node.activation != "NONE":
            lines.append(f"{target} = {activated(node.activation, target)};")
        return lines

    if activated(node.activation, "x") is None:
        raise unsupported(program.graph, node, f" with the activation {node.activation}")
    program.step(loops.nest(shape, steps, body), out, *(o.place for o in operands if o.place))


class _Operand:
    """An input: a literal where it is one number, else an array."""

    def __init__(self, program: Program, index: int, rank: int) -> None:
        self.literal = program.scalar(index)
        self.shape = program.shape(index) if self.literal is None else ()
        self.place = None if self.literal is not None else program.place(index)
        self.rank = rank

    def strides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return loops.broadcast(self.shape, shape)

    def at(self, index: str) -> str:
        if self.place is None:
            text = number(float(self.literal or 0.0))
            return f"({text})" if text.startswith("-") else text
        return self.place.at(index)


def _expression(program: Program, node: Node) -> str:
    """Returns the C of an operation on x, y and z."""
    options: Mapping[str, Any] = node.options
    if node.kind == "CAST":
        return _cast(program, node)
    if node.kind == "GELU":
        if options.get("approximate"):
            inner = "0.7978845608f * ({x} + 0.044715f * {x} * {x} * {x})"
            return f"0.5f * {{x}} * (1.0f + fast_tanh({inner}))"
        return "0.5f * {x} * (1.0f + erff(0.7071067812f * {x}))"
    if node.kind == "LEAKY_RELU":
        return f"{{x}} > 0.0f ? {{x}} : {number(options['alpha'])} * {{x}}"
    if node.kind in _CHOICES:
        return "{x} != 0.0f ? {y} : {z}"
    whole = np.dtype(program.graph.tensors[node.inputs[0]].dtype).kind in "iu"
    plain = program.graph.tensors[node.inputs[0]].step is None
    if node.kind == "DIV" and whole and plain:
        raise unsupported(program.graph, node, " on integers")
    return _UNARY[node.kind] if node.kind in _UNARY else _BINARY[node.kind]


def _cast(program: Program, node: Node) -> str:
    """Returns the C of a cast. All tensors are held as float, so that only truncation is left."""
    kinds = [np.dtype(program.graph.tensors[i].dtype).kind for i in (node.inputs[0], node.output)]
    if kinds[1] == "b":
        return "{x} != 0.0f ? 1.0f : 0.0f"
    return "truncf({x})" if kinds[0] == "f" and kinds[1] in "iu" else "{x}"
