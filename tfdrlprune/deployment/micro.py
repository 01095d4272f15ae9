"""The artifact for microcontrollers: run in tflite-micro, its arena measured, as a C array.

tflite-micro is LiteRT's small brother: an interpreter in C++ without an operating system or a heap,
whose tensors live in one array, the arena.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfdrlprune import runtime
from tfdrlprune._console import silent
from tfdrlprune.deployment.artifact import Manifest, signature_names
from tfdrlprune.deployment.micro_arena import smallest_arena
from tfdrlprune.deployment.model_file import Reader
from tfdrlprune.specs import Array

HEADER_FILE = "policy_model.h"
EXAMPLE_FILE = "policy_micro.cc"
# What it can hold, measured with tflite-micro 0.dev2026: others it does not run.
PRECISIONS = ("float32", "int8", "int16x8")
_LARGEST_ARENA = 64 * 1024 * 1024


@dataclass(frozen=True)
class Micro:
    """A policy for tflite-micro.

    Attributes:
        files: name -> content, to be written into the artifact.
        arena_bytes: the smallest arena that it ran in, in the interpreter for 64-bit machines; one
            for 32 bits needs less, as its pointers are shorter.
        operations: TFLite's names of what the interpreter has to be given, sorted.
        policy: runs it, as `runtime.Policy` does.
    """

    files: dict[str, bytes] = field(repr=False)
    arena_bytes: int
    operations: tuple[str, ...]
    policy: runtime.Policy


def for_micro(content: bytes, manifest: Manifest) -> Micro:
    """Returns what an artifact needs so that a microcontroller can run it.

    Args:
        content: the model, in one of `PRECISIONS`, indices of actions as int32.
        manifest: of it.

    Raises:
        ImportError: tflite-micro is not installed.
        ValueError: tflite-micro has not got one of the operations; names them.
    """
    kinds = tuple(sorted({Reader(content).kind(op) for op in Reader(content).graph.operators}))
    _check_runs(content, kinds)
    arena = smallest_arena(content, _LARGEST_ARENA)
    interpreter = Interpreter(content, manifest, arena)
    files = {
        HEADER_FILE: _header(content, arena, interpreter.positions(manifest)).encode(),
        EXAMPLE_FILE: _example(manifest, kinds).encode(),
    }
    return Micro(files, arena, kinds, runtime.Policy(interpreter, manifest))


class Interpreter:
    """tflite-micro behind the calls that `runtime.Policy` makes.

    Args:
        content: the model.
        manifest: names its inputs and outputs.
        arena_bytes: for tensors.

    Raises:
        RuntimeError: it does not fit the arena, or an operation is missing.
    """

    def __init__(self, content: bytes, manifest: Manifest, arena_bytes: int):
        reader = Reader(content)
        signature = reader.model.signatureDefs[0]
        self._positions = {int(t): i for i, t in enumerate(reader.graph.inputs)}
        self._results = {int(t): i for i, t in enumerate(reader.graph.outputs)}
        inputs = {item.name.decode(): int(item.tensorIndex) for item in signature.inputs}
        self._inputs = [inputs[name] for name in _input_names(manifest)]
        self._outputs = {item.name.decode(): int(item.tensorIndex) for item in signature.outputs}
        self._interpreter = _run(content, arena_bytes)

    def bound(self) -> tuple[list[int], dict[str, int]]:
        """Returns the tensors of observation and state, and of the outputs by name."""
        return self._inputs, self._outputs

    def positions(self, manifest: Manifest) -> dict[str, int]:
        """Returns ``INPUT_<name>`` and ``OUTPUT_<name>`` -> which of the interpreter's it is."""
        names = _input_names(manifest)
        found = {f"INPUT_{n}": self._positions[i] for n, i in zip(names, self._inputs, strict=True)}
        return found | {f"OUTPUT_{n}": self._results[i] for n, i in self._outputs.items()}

    def set_tensor(self, index: int, value: Array) -> None:
        """Gives an input, with its batch axis."""
        self._interpreter.set_input(np.ascontiguousarray(value), self._positions[index])

    def invoke(self) -> None:
        """Runs the policy."""
        self._interpreter.invoke()

    def get_tensor(self, index: int) -> Array:
        """Returns an output, with its batch axis."""
        result: Array = self._interpreter.get_output(self._results[index])
        return result


def _input_names(manifest: Manifest) -> list[str]:
    state = () if manifest.state is None else manifest.state
    return [*signature_names(manifest.observation), *signature_names(state)]


def _run(content: bytes, arena_bytes: int) -> Any:
    """Returns an interpreter that has run once; raises RuntimeError where it cannot."""
    try:
        from tflite_micro import runtime as tflite_micro
    except ImportError as error:
        raise ImportError(
            "The target 'micro' needs tflite-micro, to run what it writes: "
            "pip install 'tfdrlprune[micro]' (Linux on x86-64)."
        ) from error
    failure = None
    with silent():  # what it says on stderr is no more than that it failed
        try:
            interpreter = tflite_micro.Interpreter.from_bytes(content, arena_size=arena_bytes)
            interpreter.invoke()
        except RuntimeError as error:
            failure = error
    if failure is not None:
        raise failure
    return interpreter


def _check_runs(content: bytes, kinds: tuple[str, ...]) -> None:
    """Raises ValueError where tflite-micro does not run a model, whatever its arena."""
    try:
        _run(content, _LARGEST_ARENA)
    except RuntimeError as error:
        raise ValueError(
            f"tflite-micro does not run this policy: {error} Its operations are "
            f"{', '.join(kinds)}. Export for another target, or as C (--formats tflite,c)."
        ) from error


def _header(content: bytes, arena_bytes: int, positions: dict[str, int]) -> str:
    defines = "\n".join(f"#define POLICY_{name} {place}" for name, place in positions.items())
    numbers = textwrap.fill(", ".join(map(str, content)), 98)
    return f"""\
/* The policy for tflite-micro: the bytes of policy.tflite, and what memory they need. */
#ifndef POLICY_MODEL_H
#define POLICY_MODEL_H

/* Measured on a 64-bit machine, where pointers are longer than on most microcontrollers. */
#define POLICY_ARENA_BYTES {arena_bytes}
#define POLICY_MODEL_BYTES {len(content)}

/* Which of the interpreter's inputs and outputs is which. */
{defines}

#ifdef __cplusplus
alignas(16)
#endif
static const unsigned char policy_model[POLICY_MODEL_BYTES] = {{
{numbers}
}};

#endif
"""


def _example(manifest: Manifest, kinds: tuple[str, ...]) -> str:
    adds = "\n".join(f"  resolver.Add{_METHODS.get(kind, _camel(kind))}();" for kind in kinds)
    kind = "int32_t" if manifest.head.kind == "argmax" else "float"
    observed = signature_names(manifest.observation)
    states = signature_names(() if manifest.state is None else manifest.state)
    declared = "\n".join(f"extern void read_{name}(void *values);" for name in observed)
    reads = "\n".join(
        f"    read_{name}(interpreter.input(POLICY_INPUT_{name})->data.raw);" for name in observed
    )
    zeros = "".join(
        f"  std::memset(interpreter.input(POLICY_INPUT_{name})->data.raw, 0,\n"
        f"              interpreter.input(POLICY_INPUT_{name})->bytes);\n"
        for name in states
    )
    remembers = "".join(
        f"    std::memcpy(interpreter.input(POLICY_INPUT_{name})->data.raw,\n"
        f"                interpreter.output(POLICY_OUTPUT_next_{name})->data.raw,\n"
        f"                interpreter.input(POLICY_INPUT_{name})->bytes);\n"
        for name in states
    )
    return f"""\
/* A minimal robot's loop around the policy, to be compiled with tflite-micro. The functions to read
 * and to act are yours; policy.json says what the numbers are. */
#include <cstring>

#include "policy_model.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

{declared}
extern void act(const {kind} *action);

alignas(16) static uint8_t arena[POLICY_ARENA_BYTES];

int main(void) {{
  tflite::MicroMutableOpResolver<{len(kinds)}> resolver;
{adds}
  tflite::MicroInterpreter interpreter(tflite::GetModel(policy_model), resolver, arena,
                                       POLICY_ARENA_BYTES);
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;
{zeros}  for (;;) {{
{reads}
    if (interpreter.Invoke() != kTfLiteOk) return 1;
    act(reinterpret_cast<const {kind} *>(interpreter.output(POLICY_OUTPUT_action)->data.raw));
{remembers}  }}
}}
"""


# Where tflite-micro's name is not TFLite's in camel case.
_METHODS = {"RELU6": "Relu6", "L2_NORMALIZATION": "L2Normalization"}


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))
