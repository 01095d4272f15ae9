"""The operations of a frozen graph as Keras layers.

To know a further operation, write a function from (rebuilder, node) to a Keras tensor and name it
in `RULES`. For a further way to end in an action, see `graph_head.head_of`.
"""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.graph import (
    ACTIVATIONS,
    AFFINE,
    SHAPING,
    Graph,
    affine,
    dueling_parts,
    mean_parts,
)
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.policies.rebuilder import Rebuilder, Rule, unknown
from tfdrlprune.policies.scores import Duel, ExpectedValue
from tfdrlprune.specs import Array


def _linear(build: Rebuilder, node: Any) -> Any:
    return _weighted(build, node, node, None, None)


def _bias(build: Rebuilder, node: Any) -> Any:
    return _biased(build, node, node, None)


def _activation(build: Rebuilder, node: Any) -> Any:
    inner = build.graph.through(build.graph.inputs(node)[0])
    if (product := build.graph.unshaped(inner)).op in _LINEAR:
        inner = product
    activation = ACTIVATIONS[node.op]
    if inner.op == "BiasAdd":
        return _biased(build, inner, node, activation)
    if inner.op in _LINEAR:
        return _weighted(build, inner, node, None, activation)
    return build.apply(tf.keras.layers.Activation(activation, name=build.name(node)), inner)


def _biased(build: Rebuilder, node: Any, last: Any, activation: str | None) -> Any:
    inner, bias = build.graph.unshaped(build.graph.inputs(node)[0]), build.graph.inputs(node)[1]
    if inner.op not in _LINEAR or build.graph.moves(bias):
        raise unknown(node)
    return _weighted(build, inner, last, build.graph.constant(bias), activation)


def _weighted(
    build: Rebuilder,
    node: Any,
    last: Any,
    bias: Array | None,
    activation: str | None,
    parts: int = 1,
) -> Any:
    """Returns the output of the Dense or convolution that ``node`` (to ``last``) stands for.

    Of ``parts`` equal ones that a Dense layer's outputs are split into, only the first is made.
    """
    value, kernel_node = build.graph.inputs(node)
    if build.graph.moves(kernel_node):
        raise unknown(node, ", as its kernel is computed")
    kernel = build.graph.constant(kernel_node)
    if node.op == "MatMul":
        value = _features(build, value, kernel.shape[1 if node.attr["transpose_b"].b else 0])
    build.tensor(value)  # first, so that Keras numbers the layers in the order they run
    common = {
        "use_bias": bias is not None,
        "activation": activation,
        "name": build.name(last),
    }
    if node.op == "MatMul":
        if node.attr["transpose_a"].b:
            raise unknown(node, ", as it transposes its input")
        kernel = kernel.T if node.attr["transpose_b"].b else kernel
        units = kernel.shape[1] // parts
        kernel, bias = kernel[:, :units], None if bias is None else bias[:units]
        layer = tf.keras.layers.Dense(units, **common)
    else:
        layer = _convolution(node, kernel, common)
    return build.apply(layer, value, [kernel] if bias is None else [kernel, bias])


def _features(build: Rebuilder, node: Any, size: int) -> Any:
    """Returns the node that a Dense layer of so many inputs takes, on its last axis."""
    inner = build.graph.unshaped(node)
    shape = build.tensor(inner).shape[1:]
    flat = len(shape) > 1 and shape.num_elements() == size
    return inner if shape.rank and shape[-1] == size and not flat else node


def _convolution(node: Any, kernel: Array, common: dict[str, Any]) -> Any:
    padding = node.attr["padding"].s.decode().lower()
    if node.attr["data_format"].s not in (b"", b"NHWC") or padding == "explicit":
        raise unknown(node, ", as its data format or padding is not Keras'")
    choices = common | {
        "kernel_size": kernel.shape[:2],
        "strides": tuple(node.attr["strides"].list.i)[1:3],
        "dilation_rate": tuple(node.attr["dilations"].list.i)[1:3] or (1, 1),
        "padding": padding,
    }
    if node.op == "Conv2D":
        return tf.keras.layers.Conv2D(kernel.shape[3], **choices)
    return tf.keras.layers.DepthwiseConv2D(depth_multiplier=kernel.shape[3], **choices)


def _reshape(build: Rebuilder, node: Any) -> Any:
    """Rebuilds what gives the same numbers in another shape; an axis of one step is left out."""
    inner = build.graph.unshaped(node)
    if inner.name == node.name:
        raise unknown(node, ", as it changes the order of the numbers")
    source, shape = build.tensor(inner), build.graph.shapes[node.name]
    if shape.rank is None or any(size is None for size in shape[1:]):
        raise unknown(node, ", as its shape is not known beforehand")
    target = tuple(shape[1:])
    if tuple(source.shape[1:]) == target and build.name(node) is None:
        return source
    if np.prod(target, dtype=int) != np.prod(source.shape[1:], dtype=int):
        raise unknown(node, ", as it makes batch rows of features")
    return build.apply(tf.keras.layers.Reshape(target, name=build.name(node)), inner)


def _cast(build: Rebuilder, node: Any) -> Any:
    value = build.graph.inputs(node)[0]
    if tf.as_dtype(node.attr["DstT"].type) != tf.float32:
        raise unknown(node, ", as it makes no float32")
    if build.tensor(value).dtype == "float32":
        return build.tensor(value)
    return build.apply(tf.keras.layers.Rescaling(1.0, name=build.name(node)), value)


def _elementwise(build: Rebuilder, node: Any) -> Any:
    """Rebuilds a chain of constants added and multiplied, and a clip on top of it.

    That is what an observation normaliser is in a graph. One scale and offset for everything
    becomes Rescaling.
    """
    if (streams := dueling_parts(build.graph, node)) is not None:
        return Duel(name=build.name(node))([build.tensor(part) for part in streams])
    if node.op in _MERGES and all(build.graph.moves(part) for part in build.graph.inputs(node)):
        layer = _MERGES[node.op](name=build.name(node))
        return layer([build.tensor(part) for part in build.graph.inputs(node)])
    inner, clip = _clip(build.graph, node)
    source, scale, offset = affine(build.graph, inner)
    if source.name == node.name:
        raise unknown(node)
    if source.op == "Cast" and tf.as_dtype(source.attr["DstT"].type) == tf.float32:
        source = build.graph.through(build.graph.inputs(source)[0])  # both layers cast themselves
    if clip == 0 and scale.size == 1 and offset.size == 1:
        layer = tf.keras.layers.Rescaling(scale.item(), offset.item(), name=build.name(node))
        return build.apply(layer, source)
    shape = tuple(build.tensor(source).shape[1:])
    scale, offset = (np.broadcast_to(value, shape) for value in (scale, offset))
    if not (scale > 0).all():
        raise unknown(node, ", as it multiplies by numbers that are not positive")
    layer = ObservationNormalizer(
        -offset / scale, scale**-2.0, epsilon=0.0, clip=clip, name=build.name(node)
    )
    return build.apply(layer, source)


def _clip(graph: Graph, node: Any) -> tuple[Any, float]:
    """Returns what stands under a symmetric clip, and its limit; 0 where there is none."""
    limits = {}
    inner = node
    while inner.op in ("Maximum", "Minimum") and inner.op not in limits:
        parts = graph.split(inner)
        if parts is None or parts[1].size != 1:
            break
        limits[inner.op] = parts[1].item()
        inner = parts[0]
    if not limits:
        return node, 0.0
    low, high = limits.get("Maximum"), limits.get("Minimum")
    if low is None or high is None or low != -high or high <= 0:
        raise unknown(node, ", as only a clip to [-limit, limit] is known")
    return inner, float(high)


def _concatenate(build: Rebuilder, node: Any) -> Any:
    *parts, axis = build.graph.inputs(node)
    if not all(build.graph.moves(part) for part in parts):
        raise unknown(node, ", as one of its parts is constant")
    where, rank = int(build.graph.constant(axis)), build.graph.shapes[node.name].rank
    if where > 0 and rank is not None:
        where -= rank  # from the end, as an axis of one step may be left out
    layer = tf.keras.layers.Concatenate(axis=where, name=build.name(node))
    return layer([build.tensor(part) for part in parts])


def _pool(build: Rebuilder, node: Any) -> Any:
    kinds = {"AvgPool": tf.keras.layers.AveragePooling2D, "MaxPool": tf.keras.layers.MaxPooling2D}
    layer = kinds[node.op](
        pool_size=tuple(node.attr["ksize"].list.i)[1:3],
        strides=tuple(node.attr["strides"].list.i)[1:3],
        padding=node.attr["padding"].s.decode().lower(),
        name=build.name(node),
    )
    return build.apply(layer, build.graph.inputs(node)[0])


def _split(build: Rebuilder, node: Any) -> Any:
    """Rebuilds the first part of what a Dense layer gives: SAC's means, before its deviations."""
    inner = build.graph.through(build.graph.inputs(node)[1])
    bias = None
    if inner.op == "BiasAdd":
        inner, bias = (build.graph.through(part) for part in build.graph.inputs(inner))
    if inner.op != "MatMul" or (bias is not None and build.graph.moves(bias)):
        raise unknown(node, ", as it splits no Dense layer's outputs")
    parts = node.attr["num_split"].i
    weights = None if bias is None else build.graph.constant(bias)
    return _weighted(build, inner, node, weights, None, parts)


def _sum(build: Rebuilder, node: Any) -> Any:
    """Rebuilds the means of C51's distributions."""
    parts = mean_parts(build.graph, node)
    if parts is None:
        raise unknown(node, ", as it is no mean of distributions")
    return build.apply(ExpectedValue(parts[1].tolist(), name=build.name(node)), parts[0])


_LINEAR = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
_MERGES = {
    "Add": tf.keras.layers.Add,
    "AddV2": tf.keras.layers.Add,
    "Maximum": tf.keras.layers.Maximum,
    "Minimum": tf.keras.layers.Minimum,
    "Mul": tf.keras.layers.Multiply,
    "Sub": tf.keras.layers.Subtract,
}
RULES: dict[str, Rule] = {
    **dict.fromkeys(_LINEAR, _linear),
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys((*AFFINE, *_MERGES), _elementwise),
    "AvgPool": _pool,
    "BiasAdd": _bias,
    "Cast": _cast,
    "ConcatV2": _concatenate,
    "MaxPool": _pool,
    **dict.fromkeys(SHAPING, _reshape),
    "Split": _split,
    "Sum": _sum,
}
