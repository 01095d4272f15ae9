"""Operations that make one number of many: sums, means, extremes, the arg-max and softmax."""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source import loops
from tfdrlprune.deployment.c_source.program import Program, unsupported
from tfdrlprune.deployment.c_source.texts import number
from tfdrlprune.deployment.model_graph import Node

# where it begins, and how a further number is taken in
_REDUCED = {
    "MEAN": ("0.0f", "{y} += {x};"),
    "REDUCE_MAX": ("-HUGE_VALF", "if ({x} > {y}) {{ {y} = {x}; }}"),
    "REDUCE_MIN": ("HUGE_VALF", "if ({x} < {y}) {{ {y} = {x}; }}"),
    "REDUCE_PROD": ("1.0f", "{y} *= {x};"),
    "SUM": ("0.0f", "{y} += {x};"),
}
REDUCED = tuple(_REDUCED)


def reduced(program: Program, node: Node) -> None:
    """Writes an operation of `REDUCED`."""
    shape = program.shape(node.inputs[0])
    value = program.graph.tensors[node.inputs[1]].value
    if value is None:
        raise unsupported(program.graph, node, " along an axis that is computed")
    axes = {int(axis) % len(shape) for axis in np.ravel(value)}
    left = [1 if axis in axes else size for axis, size in enumerate(shape)]
    source, out = program.place(node.inputs[0]), program.new(node.output)
    size = program.size(node.output)
    start, take = _REDUCED[node.kind]
    lines = [f"for (int i = 0; i < {size}; i++) {{", f"    {out.at('i')} = {start};", "}"]
    lines += loops.nest(
        shape,
        [loops.broadcast(left, shape), loops.strides(shape)],
        lambda index: [take.format(y=out.at(index[0]), x=source.at(index[1]))],
    )
    if node.kind == "MEAN":
        share = number(size / program.size(node.inputs[0]))
        lines += [f"for (int i = 0; i < {size}; i++) {{", f"    {out.at('i')} *= {share};", "}"]
    program.step(lines, out, source)


def arg_max(program: Program, node: Node) -> None:
    """Writes ARG_MAX along the last axis; of equal numbers the first counts."""
    shape = program.shape(node.inputs[0])
    axes = program.graph.tensors[node.inputs[1]].value
    last = axes is not None and int(np.ravel(axes)[0]) % len(shape) == len(shape) - 1
    if not last:
        raise unsupported(program.graph, node, " but along the last axis")
    source, out = program.place(node.inputs[0]), program.new(node.output)
    width, rows = shape[-1], program.size(node.output)
    begin = "" if rows == 1 else f"r * {width} + "
    given, top = source.at(f"{begin}i"), source.at(f"{begin}best")
    lines = [
        "{" if rows == 1 else f"for (int r = 0; r < {rows}; r++) {{",
        "    int best = 0;",
        f"    for (int i = 1; i < {width}; i++) {{",
        f"        best = {given} > {top} ? i : best;",
        "    }",
        f"    {out.at('0' if rows == 1 else 'r')} = (float)best;",
        "}",
    ]
    program.step(lines, out, source)


def softmax(program: Program, node: Node) -> None:
    """Writes SOFTMAX and LOG_SOFTMAX along the last axis."""
    shape = program.shape(node.inputs[0])
    source, out = program.place(node.inputs[0]), program.new(node.output)
    width, rows = shape[-1], program.size(node.output) // shape[-1]
    beta, logarithm = number(node.options.get("beta", 1.0)), node.kind == "LOG_SOFTMAX"
    given, made = source.at("r + i"), out.at("r + i")
    shifted = f"{beta} * ({given} - top)"
    lines = [
        f"for (int r = 0; r < {rows * width}; r += {width}) {{",
        f"    float top = {source.at('r')}, sum = 0.0f;",
        f"    for (int i = 1; i < {width}; i++) {{",
        f"        top = {given} > top ? {given} : top;",
        "    }",
        f"    for (int i = 0; i < {width}; i++) {{",
        f"        {made} = {shifted if logarithm else f'expf({shifted})'};",
        f"        sum += {f'expf({made})' if logarithm else made};",
        "    }",
        f"    sum = {'logf(sum)' if logarithm else '1.0f / sum'};",
        f"    for (int i = 0; i < {width}; i++) {{",
        f"        {made} {'-=' if logarithm else '*='} sum;",
        "    }",
        "}",
    ]
    program.step(lines, out, source)
