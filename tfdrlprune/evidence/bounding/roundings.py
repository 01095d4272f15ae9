"""How far an interpreter may stray from exact arithmetic in one operation.

Bounds in exact arithmetic would not hold: float32 rounds, quantized operations round to steps, and
dynamic-range kernels round their inputs. What is said here holds for TFLite's own kernels and for
XNNPACK's, whatever the order in which they sum, with a margin of two or more, and for files that
are run in float32: float16 stands for weights only.
"""

from __future__ import annotations

import numpy as np

from tfdrlprune.deployment.model_graph import Graph, Node
from tfdrlprune.evidence.bounding.intervals import Interval, rows, weights
from tfdrlprune.specs import Array

# float32 rounds by at most 2**-24 of the result. Twice that leaves room for what NumPy rounds here
# in float64, and for constants that kernels multiply beforehand.
_UNIT = 2.0**-23
# Kernels approximate tanh and its like to a few units in the last place, differently on each
# processor, and set numbers below 2**-126 to zero.
_SMOOTH = 2.0**-20
_TINY = 2.0**-100
# A score's distance from the largest, up to 88, is rounded before it is an exponent.
_SOFTMAX = 2.0**-16

# Steps of the output that a quantized operation may be off. Rounding once is half a step; twice, as
# TFLite's fixed-point multiplication does, three quarters.
_STEPS = 1.0
# XNNPACK multiplies by a factor of eight bits where it only rescales: half a step more at the end
# of the range, with a margin.
_RESCALED = 2.0
# int16 tanh and logistic interpolate in a table: up to 3 steps off, over all inputs at many scales.
# Where the input's scale is within 0.07 % of some powers of two it is taken for that power, which
# makes 22 (seen in ai-edge-litert 2.3 at an input range of +-8.005).
_TABLE_INT16 = 32.0
# int16 kernels keep 15 bits of the factor from sums to steps.
_INT16_FACTOR = 2.0**-14
# A dynamic-range kernel rounds its inputs to half a step of their range's 255, or, if it takes them
# to be symmetric, of the largest one's 127; the factor covers the rounding of the scale.
_HALF = 0.51

_EXACT = {
    *("CONCATENATION", "GATHER", "MAXIMUM", "MINIMUM", "RESHAPE"),
    *("RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1"),
}
_RELATIVE = {**dict.fromkeys(("ELU", "EXP", "LOGISTIC", "TANH"), _SMOOTH), "SOFTMAX": _SOFTMAX}


def slack(graph: Graph, node: Node, args: list[Interval], result: Interval) -> Array:
    """Returns how far a node's output may be from exact arithmetic on what its inputs hold.

    Args:
        graph: of the node.
        node: an operation.
        args: what its inputs hold, in the same order.
        result: of exact arithmetic on them, before a fused activation and the clip to a quantized
            output's range: both only bring numbers together, so the bound holds after them too.

    Returns:
        Not negative, [boxes, *shape] of the output.
    """
    output = graph.tensors[node.output]
    own = _summing(graph, node, args, result)
    if output.step is None:
        return own
    if node.kind in _EXACT:
        # Of integers with the same steps; `propagation` refuses others.
        return own if not node.kind.startswith("RELU") else own + _RESCALED * output.step
    return own + _steps(graph, node) * output.step + _from_int16(output.dtype, result)


def _summing(graph: Graph, node: Node, args: list[Interval], result: Interval) -> Array:
    """Returns the error of the arithmetic in float32, or in integers with scales in float32."""
    if node.kind in _EXACT:
        return np.zeros_like(result.low)
    if node.kind == "FULLY_CONNECTED":
        kernel, bias = weights(graph, node)
        read = input_rounding(graph, node, args[0])
        x = rows(graph, node, args[0]).widened(read).magnitude
        size = np.abs(kernel)
        sums = (x.reshape(-1, x.shape[-1]) @ size.T).reshape(*x.shape[:2], -1) + np.abs(bias)
        lost: Array = read * size.sum(axis=1) + (kernel.shape[1] + 4) * _UNIT * sums + _TINY
        return lost.reshape(result.low.shape)
    if node.kind in ("MEAN", "SUM"):
        count = args[0].low[0].size
        return np.full_like(result.low, (count + 4) * _UNIT * args[0].magnitude.max() * count)
    error: Array = _RELATIVE.get(node.kind, 2 * _UNIT) * result.magnitude + _TINY
    return error


def _steps(graph: Graph, node: Node) -> float:
    dtypes = {graph.tensors[index].dtype for index in node.inputs if index >= 0}
    if node.kind in ("LOGISTIC", "TANH") and graph.tensors[node.output].dtype == "int16":
        return _TABLE_INT16
    if node.kind in ("LEAKY_RELU", "MEAN", "SUM"):
        return _RESCALED
    if node.kind == "QUANTIZE" and "float32" not in dtypes:
        return _RESCALED
    if node.kind in ("ADD", "SUB"):
        # The inputs are brought to a common scale first, with 15 bits or more behind the point.
        steps = [graph.tensors[index].step or 0.0 for index in node.inputs]
        return _STEPS + 2.0**-13 * sum(steps) / (graph.tensors[node.output].step or 1.0)
    return _STEPS


def _from_int16(dtype: str, result: Interval) -> Array | float:
    return _INT16_FACTOR * result.magnitude if dtype == "int16" else 0.0


def input_rounding(graph: Graph, node: Node, x: Interval) -> Array:
    """Returns how far a FULLY_CONNECTED is off its input before it multiplies: [boxes, rows, 1].

    A float input and an int8 kernel make it a dynamic-range operation, which rounds each row of
    its input to 255 steps between the row's smallest and largest number, zero included.
    """
    given = rows(graph, node, x)
    if graph.tensors[node.inputs[1]].dtype != "int8" or graph.tensors[node.inputs[0]].step:
        return np.zeros((*given.low.shape[:2], 1))
    smallest = np.minimum(given.low.min(axis=-1, keepdims=True), 0.0)
    largest = np.maximum(given.high.max(axis=-1, keepdims=True), 0.0)
    step = (largest - smallest) / 255
    if not node.options.get("asymmetricQuantizeInputs"):
        # TFLite's own kernel then is symmetric; XNNPACK's never is.
        step = np.maximum(step, np.maximum(-smallest, largest) / 127)
    rounded: Array = _HALF * step
    return rounded
