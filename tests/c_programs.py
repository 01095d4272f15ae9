"""Single operations as C: written, compiled with every warning an error, and run."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdrlprune.deployment import c_compiler
from tfdrlprune.deployment.artifact import Manifest, Parameters, Sparsity
from tfdrlprune.deployment.c_source import files, integers
from tfdrlprune.deployment.c_source.files import Parameter, Result
from tfdrlprune.deployment.c_source.program import LayerForm, Place, Program
from tfdrlprune.deployment.c_source.rules import RULES
from tfdrlprune.deployment.model_graph import Graph, Node, Tensor
from tfdrlprune.specs import ArraySpec, Head

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1")
MANIFEST = Manifest(
    ArraySpec("x", (1,), "float32"),
    ArraySpec("action", (1,), "float32"),
    Head("affine"),
    "float32",
    Sparsity(None, 0.0),
    Parameters(1, 1, 1),
    "",
    None,
    {},
)


def constant(values: Any, scale: Any = None) -> Tensor:
    """Returns a constant: of float32, or of int8 with a scale for each of the first axis."""
    array = np.asarray(values)
    if scale is None:
        return Tensor("c", "float32", array.shape, value=array.astype(float), stored=array)
    steps = np.asarray(scale, np.float64)
    value = array * steps.reshape(-1, *[1] * (array.ndim - 1))
    return Tensor("c", "int8", array.shape, value=value, stored=array.astype(np.int8), scale=steps)


def run(
    kind: str,
    inputs: Sequence[Any],
    shape: Sequence[int] | Sequence[Sequence[int]],
    options: Mapping[str, Any] | None = None,
    activation: str = "NONE",
    flags: Sequence[str] = STRICT,
) -> tuple[Any, list[LayerForm]]:
    """Returns what an operation makes of its inputs, and the forms of its layers.

    Args:
        kind: TFLite's name.
        inputs: arrays are given to the C, `Tensor`s are constants, None is left out.
        shape: of the output; of several, the first one is returned.
        options: TFLite's.
        activation: that is part of the operation.
        flags: of the compiler.
    """
    shapes = [tuple(each) for each in shape] if np.ndim(shape[0]) else [tuple(shape)]
    tensors, numbers, given = [], [], []
    for each in inputs:
        numbers.append(-1 if each is None else len(tensors))
        if isinstance(each, Tensor):
            tensors.append(each)
        elif each is not None:
            array = np.ascontiguousarray(each, np.float32)
            given.append((len(tensors), array))
            tensors.append(Tensor(f"x{len(given)}", "float32", array.shape))
    outputs = tuple(range(len(tensors), len(tensors) + len(shapes)))
    tensors += [Tensor("model/layer/out", "float32", each) for each in shapes]
    node = Node(kind, tuple(numbers), outputs, activation, options or {})
    graph = Graph(tuple(tensors), (node,), {}, {})
    return run_graph(
        graph, given, outputs[0], flags, lambda program, each, rule: rule(program, each)
    )


def int8(shape: Sequence[int], step: float, zero: int) -> Tensor:
    """Returns an int8 tensor that is computed."""
    low, high = (-128 - zero) * step, (127 - zero) * step
    return Tensor("x", "int8", tuple(shape), step, low, high, scale=np.array([step]), zero=zero)


def run_graph(
    graph: Graph,
    given: Sequence[tuple[int, Any]],
    result: int,
    flags: Sequence[str] = STRICT,
    write: Any = integers.write,
) -> tuple[Any, list[LayerForm]]:
    """Returns a tensor of a graph that is run as C, and the forms of its layers.

    Args:
        graph: of float inputs and a float result.
        given: tensors and their float32 values.
        result: the tensor.
        flags: of the compiler.
        write: writes a node of the program, given the rule for floats.
    """
    program = Program(graph)
    parameters = [Parameter(f"x{n}", "float32", array.size, "") for n, array in given]
    for (index, _), parameter in zip(given, parameters, strict=True):
        program.put(index, Place(parameter.inside))
    for node in graph.nodes:
        write(program, node, RULES[node.kind])
    place, size = program.place(result), program.size(result)
    if place.buffer is None:
        own = program.scratch(size)
        program.step([f"for (int i = 0; i < {size}; i++) {own.at('i')} = {place.at('i')};"], own)
        place = own
    results = [Result(name, place, size) for name in ("outputs", "action")]
    text, stack = files.source("", program, parameters, results)
    header = files.header("", MANIFEST, parameters, results, (0, stack))
    out = np.full(size + 8, 7e7, np.float32)
    sources = {"policy.c": text.encode(), "policy.h": header.encode()}
    with tempfile.TemporaryDirectory() as folder:
        held = ctypes.CDLL(str(c_compiler.build(sources, Path(folder), flags=flags)))
        arrays = [array for _, array in given] + [out]
        held.policy_outputs(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    assert (out[size:] == 7e7).all(), "C wrote behind its output"
    return out[:size].reshape(graph.tensors[result].shape), program.layers
