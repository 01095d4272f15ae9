"""The C of a model file: every operation through its rule, and the files around that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tfdrlprune.deployment import model_graph
from tfdrlprune.deployment.artifact import Manifest, signature_names
from tfdrlprune.deployment.c_source import files, integers
from tfdrlprune.deployment.c_source.files import Parameter, Result
from tfdrlprune.deployment.c_source.program import LayerForm, Place, Program
from tfdrlprune.deployment.c_source.rules import RULES, check_known
from tfdrlprune.deployment.c_source.texts import c_type
from tfdrlprune.deployment.model_graph import Graph
from tfdrlprune.specs import ArraySpec, flatten

# Words of C and, as policy.h is for it too, of C++; macros; and names of ours. Python's own words
# have been changed before.
_TAKEN = frozenset(
    [
        *("asm", "auto", "bool", "case", "catch", "char", "const", "constexpr", "default"),
        *("delete", "do", "double", "enum", "explicit", "export", "extern", "float", "friend"),
        *("goto", "inline", "int", "long", "mutable", "namespace", "new", "nullptr", "operator"),
        *("private", "protected", "public", "register", "restrict", "short", "signed", "sizeof"),
        *("static", "struct", "switch", "template", "this", "throw", "typedef", "typeid"),
        *("typename", "union", "unsigned", "using", "virtual", "void", "volatile", "wchar_t"),
        *("ALIGNED", "HUGE_VALF", "INFINITY", "NAN", "NULL", "QUAD_ZERO", "ZERO", "action", "main"),
        *("next_state", "outputs", "run", "state"),
    ]
)


@dataclass(frozen=True)
class CSource:
    """A policy as C.

    Attributes:
        files: name to content.
        layers: how those with weights are computed.
        flash_bytes: of the constants, without code.
        stack_bytes: of the numbers that one call holds, without what a compiler adds.
        inputs: of the functions, the observation's leaves and then the state.
        comment: that says where the files come from.
    """

    files: Mapping[str, bytes]
    layers: tuple[LayerForm, ...]
    flash_bytes: int
    stack_bytes: int
    inputs: tuple[Parameter, ...]
    comment: str


def generate(content: bytes, manifest: Manifest) -> CSource:
    """Returns the C of a model file.

    Args:
        content: of ``policy.tflite``, in any precision. What it computes in int8 is computed in
            int8 and int32 in C, too. Kernels that it holds as int8 are int8 in C in any precision;
            everything else is float.
        manifest: of its artifact.

    Raises:
        ValueError: an operation cannot be written as C; names it.
    """
    graph = model_graph.read(content)
    check_known(graph)
    program = Program(graph)
    inputs = _observations(program, manifest)
    state_size = 0
    if manifest.state is not None:
        inputs.append(_state(program, manifest))
        state_size = inputs[-1].size
    for node in graph.nodes:
        integers.write(program, node, RULES[node.kind])
    results = [_result(program, name) for name in ("outputs", "action")]
    if state_size:
        results.insert(0, _next_state(program, manifest, state_size))
    comment = files.origin(content)
    text, stack = files.source(comment, program, inputs, results)
    header = files.header(comment, manifest, inputs, results, (program.flash_bytes, stack))
    return CSource(
        {files.SOURCE_FILE: text.encode(), files.HEADER_FILE: header.encode()},
        tuple(program.layers),
        program.flash_bytes,
        stack,
        tuple(inputs),
        comment,
    )


def _observations(program: Program, manifest: Manifest) -> list[Parameter]:
    """Returns the observation's leaves as parameters, and says where each one is."""
    found = []
    names = signature_names(manifest.observation)
    for name, spec in zip(names, flatten(manifest.observation), strict=True):
        size = int(np.prod(spec.shape, dtype=int))
        tensor = _tensor(program.graph, name, "inputs")
        parameter = Parameter(_c_name(name), spec.dtype, size, _about(spec))
        if spec.dtype == "float32":
            program.put(tensor, Place(parameter.inside))
        else:
            c_type(spec.dtype)
            out = program.new(tensor)
            program.step(_loop(size, out, f"(float){parameter.inside}[i]"), out)
        found.append(parameter)
    return found


def _state(program: Program, manifest: Manifest) -> Parameter:
    """Returns the state as one parameter, its leaves behind each other."""
    about = "what the last call wrote; zeros in the beginning."
    state = Parameter("state", "float32", 0, about)
    for name in signature_names(manifest.state or ()):
        tensor = _tensor(program.graph, name, "inputs")
        program.put(tensor, Place(state.inside, state.size))
        state = replace(state, size=state.size + program.size(tensor))
    return state


def _next_state(program: Program, manifest: Manifest, size: int) -> Result:
    whole = program.scratch(size)
    begin = 0
    for name in signature_names(manifest.state or ()):
        tensor = _tensor(program.graph, f"next_{name}", "outputs")
        source, count = program.place(tensor), program.size(tensor)
        target = Place(whole.name, begin, whole.buffer)
        program.step(_loop(count, target, source.at("i")), target, source)
        begin += count
    return Result("next_state", whole, size)


def _result(program: Program, name: str) -> Result:
    """Returns a result in a buffer of ours, since the caller may write into what it gave."""
    tensor = _tensor(program.graph, name, "outputs")
    place, size = program.place(tensor), program.size(tensor)
    if place.buffer is None:
        own = program.scratch(size)
        program.step(_loop(size, own, place.at("i")), own)
        place = own
    return Result(name, place, size)


def _tensor(graph: Graph, name: str, kind: str) -> int:
    held = graph.inputs if kind == "inputs" else graph.outputs
    if name not in held:
        raise ValueError(
            f"policy.tflite does not fit policy.json: {name!r} is not among its {kind} "
            f"{list(held)}. Export the policy again."
        )
    return held[name]


def _loop(size: int, target: Place, value: str) -> list[str]:
    return [f"for (int i = 0; i < {size}; i++) {{", f"    {target.at('i')} = {value};", "}"]


def _c_name(name: str) -> str:
    return f"x_{name}" if name in _TAKEN or name.startswith("_") else name


def _about(spec: ArraySpec) -> str:
    shape = " x ".join(map(str, spec.shape)) or "1"
    return f"{shape} numbers, {c_type(spec.dtype)}, in C order."
