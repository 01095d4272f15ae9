"""``--formats``: in which forms an artifact holds its policy, and what is said of the C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tfdrlprune.cli.options import Command

if TYPE_CHECKING:
    from tfdrlprune.deployment.c_export import CExport

_FORMATS = ("tflite", "c")


class _FormatsType(click.ParamType):
    """Names with commas between them."""

    name = "formats"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in value.split(","))
        if "tflite" not in names or not set(names) <= set(_FORMATS):
            self.fail(f"'tflite' or 'tflite,c' was expected. Received: {value!r}.", param, ctx)
        return names


def formats(command: Command) -> Command:
    """Adds ``--formats``."""
    option = click.option(
        "--formats",
        type=_FormatsType(),
        default="tflite",
        show_default=True,
        help="tflite,c also writes policy.c and policy.h, for any C compiler.",
    )
    return option(command)


def told(c: CExport) -> str:
    """Returns a sentence about the C: what it takes, and what it was compared with."""
    size = f"policy.c: {c.flash_bytes:,} bytes of constants, {c.stack_bytes:,} bytes of stack."
    if c.comparison is None:
        return (
            f"{size} It was not compiled here, as there is no C compiler, and so not compared with "
            "the policy: run policy_test.c on the target, or export where gcc or clang is."
        )
    return (
        f"{size} Compiled by {c.compiler}, it acts as the policy does on "
        f"{c.comparison.agreement:.1%} of {c.comparison.count:,} observations."
    )


def to_json(c: CExport) -> dict[str, Any]:
    """Returns the same as JSON values."""
    found = c.comparison
    return {
        "layers": [vars(layer) for layer in c.layers],
        "flash_bytes": c.flash_bytes,
        "stack_bytes": c.stack_bytes,
        "compiler": c.compiler,
        "comparison": None
        if found is None
        else {
            "agreement": found.agreement,
            "observations": found.count,
            "recorded": found.recorded,
            "output_deviation": found.output_deviation,
        },
    }
