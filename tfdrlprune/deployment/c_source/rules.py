"""Which operation of TFLite is written as C by which function."""

from __future__ import annotations

from collections.abc import Callable

from tfdrlprune.deployment.c_source import elementwise, matrices, moves, reductions, windows
from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.model_graph import Graph, Node

Rule = Callable[[Program, Node], None]

RULES: dict[str, Rule] = {
    **dict.fromkeys(elementwise.KINDS, elementwise.elementwise),
    **dict.fromkeys(moves.ALIASES, moves.alias),
    **dict.fromkeys(moves.MOVES, moves.move),
    **dict.fromkeys(reductions.REDUCED, reductions.reduced),
    "ARG_MAX": reductions.arg_max,
    "AVERAGE_POOL_2D": windows.pool,
    "CONCATENATION": moves.concatenate,
    "CONV_2D": matrices.convolution,
    "DEPTHWISE_CONV_2D": windows.depthwise,
    "FULLY_CONNECTED": matrices.fully_connected,
    "LOG_SOFTMAX": reductions.softmax,
    "MAX_POOL_2D": windows.pool,
    "PACK": moves.concatenate,
    "PAD": moves.pad,
    "PADV2": moves.pad,
    "SOFTMAX": reductions.softmax,
}


def check_known(graph: Graph) -> None:
    """Raises ValueError unless all operations have a rule; names those that have none."""
    unknown = sorted({node.kind for node in graph.nodes} - set(RULES))
    if unknown:
        raise ValueError(
            f"The operations {', '.join(unknown)} cannot be written as C. Export with "
            "formats=('tflite',), which LiteRT runs."
        )
