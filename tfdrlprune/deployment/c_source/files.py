"""The texts of ``policy.c`` and ``policy.h`` around what a program consists of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tfdrlprune._version import __version__
from tfdrlprune.deployment.artifact import MODEL_FILE, Manifest
from tfdrlprune.deployment.c_source.elementwise import FAST_TANH
from tfdrlprune.deployment.c_source.integers import quads
from tfdrlprune.deployment.c_source.lanes import definitions
from tfdrlprune.deployment.c_source.program import Place, Program
from tfdrlprune.deployment.c_source.texts import c_type, indented

HEADER_FILE = "policy.h"
SOURCE_FILE = "policy.c"


@dataclass(frozen=True)
class Parameter:
    """One parameter of the functions.

    Attributes:
        name: in C.
        dtype: NumPy's name.
        size: how many numbers it points to.
        about: what it is, for the header.
    """

    name: str
    dtype: str
    size: int
    about: str

    @property
    def inside(self) -> str:
        """Its name where it is used, among constants and buffers: none of theirs begins so."""
        return f"in_{self.name}"

    def declared(self, name: str) -> str:
        """Returns the parameter in a list of parameters, under one of its names."""
        return f"const {c_type(self.dtype)} *{name}"


@dataclass(frozen=True)
class Result:
    """What is computed: its name in C, where it is in the end, and how many numbers."""

    name: str
    place: Place
    size: int


def origin(content: bytes) -> str:
    """Returns the comment that says where a file comes from."""
    return (
        f"/* Made by tfdrlprune {__version__} from {MODEL_FILE} with the SHA-256\n"
        f"   {hashlib.sha256(content).hexdigest()}.\n"
        "   Do not edit; export the policy again. */\n"
    )


def header(
    comment: str,
    manifest: Manifest,
    inputs: Sequence[Parameter],
    results: Sequence[Result],
    sizes: tuple[int, int],
) -> str:
    """Returns ``policy.h``.

    Args:
        comment: where it comes from.
        manifest: of the artifact.
        inputs: of the functions.
        results: ``outputs`` and ``action``, and ``next_state`` of a recurrent policy.
        sizes: bytes of constants, and of the stack.
    """
    by_name = {result.name: result for result in results}
    discrete = manifest.head.kind == "argmax"
    recurrent = "next_state" in by_name
    defined = [(f"POLICY_{each.name.upper()}_SIZE", each.size) for each in inputs]
    defined += [
        (f"POLICY_{name.upper()}_SIZE", by_name[name].size) for name in ("action", "outputs")
    ]
    defined += [("POLICY_FLASH_BYTES", sizes[0]), ("POLICY_STACK_BYTES", sizes[1])]
    lines = [
        comment,
        "#ifndef POLICY_H",
        "#define POLICY_H",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* How many numbers each argument points to; the bytes of the constants; and the bytes",
        "   of the stack that a call's numbers take (a compiler adds some for registers). */",
        *(f"#define {name} {value}" for name, value in defined),
        "",
        "/* Writes the greedy action for one observation.",
        "",
        *(f"   {each.name}: {each.about}" for each in inputs),
    ]
    if recurrent:
        lines.append("   next_state: what to give as the state next time; may be the same array.")
    whole = "one whole number" if by_name["action"].size == 1 else "whole numbers"
    unit = whole if discrete else "numbers in the environment's own units"
    spec = manifest.action
    bounds = "" if spec.low is None else f", from {spec.low} to {spec.high}"
    lines += [
        f"   action: {unit}{bounds}.",
        "",
        "   Nothing is allocated and nothing is kept: several threads may call it at once.",
        "   Observations that are NaN or infinite are not looked for. */",
        f"void policy_action({_parameters(inputs, recurrent, 'action')});",
        "",
        f"/* Writes what the action is made of: {'its scores' if discrete else 'its means'}. */",
        f"void policy_outputs({_parameters(inputs, recurrent, 'outputs')});",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def source(
    comment: str, program: Program, inputs: Sequence[Parameter], results: Sequence[Result]
) -> tuple[str, int]:
    """Returns ``policy.c``, and the bytes of the stack that a call's numbers take."""
    body, numbers = program.body([result.place for result in results])
    recurrent = any(result.name == "next_state" for result in results)
    lines = [f"float arena[{numbers}] ALIGNED;", *body]
    for result in results:
        lines += [
            f"if ({result.name}) {{",
            f"    for (int i = 0; i < {result.size}; i++) {{",
            f"        {result.name}[i] = {result.place.at('i')};",
            "    }",
            "}",
        ]
    everything = ", ".join([*(each.declared(each.inside) for each in inputs), *_outputs(results)])
    parts = [
        comment,
        f'#include "{HEADER_FILE}"\n\n#include <math.h>\n#include <stddef.h>\n',
        "#if defined(__GNUC__)\n#define ALIGNED __attribute__((aligned(64)))\n"
        "#else\n#define ALIGNED\n#endif\n",
        definitions(program.used),
        quads.definitions(program.helpers),
        FAST_TANH if "fast_tanh(" in "".join([*body, *program.functions]) else "",
        *program.constants,
        *program.functions,
        f"static void run({everything})\n{{\n" + "\n".join(indented(lines)) + "\n}\n",
    ]
    for name in ("action", "outputs"):
        given = [each.name for each in inputs]
        given += ["next_state"] if recurrent else []
        given += [name if each == name else "NULL" for each in ("outputs", "action")]
        parts.append(
            f"void policy_{name}({_parameters(inputs, recurrent, name)})\n{{\n"
            f"    run({', '.join(given)});\n}}\n"
        )
    return "\n".join(part for part in parts if part), 4 * numbers + program.local_bytes


def _outputs(results: Sequence[Result]) -> list[str]:
    order = ("next_state", "outputs", "action")
    names = {result.name for result in results}
    return [f"float *{name}" for name in order if name in names]


def _parameters(inputs: Sequence[Parameter], recurrent: bool, result: str) -> str:
    state = ["float *next_state"] if recurrent else []
    return ", ".join([*(each.declared(each.name) for each in inputs), *state, f"float *{result}"])
