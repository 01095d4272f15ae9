"""MAX_POOL_2D of an int8 file, in integers."""

from __future__ import annotations

from tfdrlprune.deployment.c_source.matrices import spread
from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.c_source.texts import indented
from tfdrlprune.deployment.model_graph import Node


def largest(program: Program, node: Node) -> None:
    """Writes MAX_POOL_2D; what lies beyond the border counts nowhere."""
    size = (node.options["filterHeight"], node.options["filterWidth"])
    source, shape = spread(program, node, size)
    out = program.new(node.output)
    _, rows, columns, channels = program.shape(node.output)
    across = shape[2] * channels
    point = f"row * {node.options['strideH'] * across}"
    point += f" + column * {node.options['strideW'] * channels}"
    body = [
        f"const uint8_t *const x = {source} + {point};",
        f"uint8_t *const y = {out} + (row * {columns} + column) * {channels};",
        f"for (int k = 0; k < {channels}; k++) {{",
        "    y[k] = x[k];",
        "}",
        f"for (int i = 0; i < {size[0] * across}; i += {across}) {{",
        f"    for (int j = i; j < i + {size[1] * channels}; j += {channels}) {{",
        f"        for (int k = 0; k < {channels}; k++) {{",
        "            y[k] = x[j + k] > y[k] ? x[j + k] : y[k];",
        "        }",
        "    }",
        "}",
    ]
    lines = [
        f"for (int row = 0; row < {rows}; row++) {{",
        f"    for (int column = 0; column < {columns}; column++) {{",
        *indented(body, 2),
        "    }",
        "}",
    ]
    program.step(lines, source, out)
