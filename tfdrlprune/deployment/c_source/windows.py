"""Operations that slide a window over each channel by itself: pooling and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.c_source.elementwise import activated, activation
from tfdrlprune.deployment.c_source.matrices import layer_name, spread
from tfdrlprune.deployment.c_source.program import LayerForm, Program, unsupported
from tfdrlprune.deployment.c_source.texts import indented, number
from tfdrlprune.deployment.model_graph import Node


def pool(program: Program, node: Node) -> None:
    """Writes MAX_POOL_2D and AVERAGE_POOL_2D; what lies beyond the border counts nowhere."""
    _check(program, node)
    size = (node.options["filterHeight"], node.options["filterWidth"])
    largest = node.kind == "MAX_POOL_2D"
    source, shape = spread(program, node, size, -np.inf if largest else 0.0)
    out = program.new(node.output)
    _, rows, columns, channels = program.shape(node.output)
    across = shape[2] * channels
    take = "y[k] = {x} > y[k] ? {x} : y[k];" if largest else "y[k] += {x};"
    body = [
        f"const float *const x = {source} + row * {node.options['strideH'] * across}"
        f" + column * {node.options['strideW'] * channels};",
        f"float *const y = {out} + (row * {columns} + column) * {channels};",
        f"for (int k = 0; k < {channels}; k++) {{",
        f"    y[k] = {'-HUGE_VALF' if largest else '0.0f'};",
        "}",
        f"for (int i = 0; i < {size[0] * across}; i += {across}) {{",
        f"    for (int j = i; j < i + {size[1] * channels}; j += {channels}) {{",
        f"        for (int k = 0; k < {channels}; k++) {{",
        f"            {take.format(x='x[j + k]')}",
        "        }",
        "    }",
        "}",
    ]
    if not largest:
        share = _share(program, node, size)
        body += [f"for (int k = 0; k < {channels}; k++) {{", f"    y[k] *= {share};", "}"]
    lines = [
        f"for (int row = 0; row < {rows}; row++) {{",
        f"    for (int column = 0; column < {columns}; column++) {{",
        *indented(body, 2),
        "    }",
        "}",
    ]
    lines += activation(out, program.size(node.output), node.activation)
    program.step(lines, source, out)


def depthwise(program: Program, node: Node) -> None:
    """Writes DEPTHWISE_CONV_2D, whose weights are kept as float32."""
    _check(program, node)
    weights = program.graph.tensors[node.inputs[1]].value
    if weights is None:
        raise unsupported(program.graph, node, ", as its kernel is computed")
    _, height, width, outputs = weights.shape
    source, shape = spread(program, node, (height, width))
    out = program.new(node.output)
    options, channels = node.options, shape[3]
    multiplier = outputs // channels
    has_bias = len(node.inputs) > 2 and node.inputs[2] >= 0
    given = program.graph.tensors[node.inputs[2]].value if has_bias else np.zeros(outputs)
    bias = program.constant("b", np.asarray(given, np.float32).ravel())
    kernel = program.constant("w", weights.astype(np.float32))
    _, rows, columns, _ = program.shape(node.output)
    across = shape[2] * channels
    down, right = options["dilationHFactor"] * across, options["dilationWFactor"] * channels
    x = "p[k]" if multiplier == 1 else f"p[k / {multiplier}]"
    lines = [
        f"for (int row = 0; row < {rows}; row++) {{",
        f"    for (int column = 0; column < {columns}; column++) {{",
        f"        float *const y = {out} + (row * {columns} + column) * {outputs};",
        f"        const float *w = {kernel};",
        f"        for (int k = 0; k < {outputs}; k++) {{",
        f"            y[k] = {bias}[k];",
        "        }",
        f"        for (int i = 0; i < {height}; i++) {{",
        f"            for (int j = 0; j < {width}; j++, w += {outputs}) {{",
        f"                const float *const p = {source} + row * {options['strideH'] * across}"
        f" + column * {options['strideW'] * channels} + i * {down} + j * {right};",
        f"                for (int k = 0; k < {outputs}; k++) {{",
        f"                    y[k] += w[k] * {x};",
        "                }",
        "            }",
        "        }",
        "    }",
        "}",
    ]
    lines += activation(out, program.size(node.output), node.activation)
    program.layers.append(
        LayerForm(layer_name(program, node), "dense", 1, weights.size, weights.size, "float32")
    )
    program.step(lines, source, out)


def _check(program: Program, node: Node) -> None:
    if activated(node.activation, "x") is None:
        raise unsupported(program.graph, node, f" with the activation {node.activation}")


def _share(program: Program, node: Node, size: tuple[int, int]) -> str:
    """Returns the C of what a mean divides by: how many pixels of a window are in the image."""
    counts = []
    for axis, letter in ((1, "H"), (2, "W")):
        reach, points = program.shape(node.inputs[0])[axis], program.shape(node.output)[axis]
        starts = np.arange(points) * node.options[f"stride{letter}"]
        if node.options["padding"] == 0:
            starts = starts - max(0, starts[-1] + size[axis - 1] - reach) // 2
        counts.append(np.minimum(starts + size[axis - 1], reach) - np.maximum(starts, 0))
    table = 1.0 / np.outer(*counts).astype(np.float32)
    if (table == table[0, 0]).all():
        return number(table[0, 0])
    return f"{program.constant('d', table)}[row * {len(counts[1])} + column]"
