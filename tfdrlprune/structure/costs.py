"""Multiply-adds of a functional model, and what each unit has of them."""

from __future__ import annotations

import math

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import Call, shape_of
from tfdrlprune.structure.graph import Graph


def multiply_adds(graph: Graph, removed: Array | tuple[int, ...] = ()) -> int:
    """Returns the multiplications of weights for one observation, once units have gone.

    Every kernel counts at every place where its layer puts something out, and a recurrent one at
    every step of its input, where sizes that are not known count as one. Biases, normalisations and
    activations are left out.

    Args:
        graph: of the model.
        removed: numbers of units.
    """
    shapes = graph.shapes(np.asarray(removed, int))
    return sum(
        math.prod(shape) * _places(call)
        for call in graph.calls
        for variable, shape in zip(call.layer.weights, shapes[call.layer.name], strict=True)
        if "kernel" in variable.name.split("/")[-1]
    )


def savings(graph: Graph) -> dict[str, Array]:
    """Returns the multiply-adds that go when each unit goes alone; int64 [units] by group."""
    whole = multiply_adds(graph)
    return {
        group.name: np.array(
            [whole - multiply_adds(graph, (int(unit),)) for unit in group.units], np.int64
        )
        for group in graph.groups
    }


def _places(call: Call) -> int:
    # A transposed convolution multiplies its kernel at every place that it reads.
    at_inputs = hasattr(call.layer, "cell") or type(call.layer).__name__.endswith("Transpose")
    tensor = call.inputs[0] if at_inputs else call.outputs[0]
    return math.prod(shape_of(tensor)[:-1])
