"""Checks of what an export is asked for, before anything is converted."""

from __future__ import annotations

from collections.abc import Sequence

from tfdrlprune.deployment import micro
from tfdrlprune.recipe.checks import check_choice, check_number

FORMATS = ("tflite", "c")


def check_formats(formats: Sequence[str]) -> None:
    """Raises ValueError unless the formats are known and ``"tflite"`` is among them."""
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or isinstance(formats, str):
        raise ValueError(
            f"formats are of {', '.join(FORMATS)}. Received: {formats!r}. For both write "
            "('tflite', 'c'), or tflite,c on the command line."
        )
    if "tflite" not in formats:
        raise ValueError(
            f"tflite is always among the formats, since everything else is made of it. Received: "
            f"{', '.join(formats)}. Write tflite,{','.join(formats)}."
        )


def check_agreement(agreement: float | None, precision: str, layers: Sequence[str]) -> None:
    """Raises ValueError unless an agreement is a share, and there are layers to find for it."""
    if agreement is None:
        return
    check_number("agreement", agreement)
    if not 0.0 < agreement <= 1.0:
        raise ValueError(f"agreement is a share in (0, 1]. Received: agreement={agreement!r}.")
    if precision != "int8" or layers:
        raise ValueError(
            "agreement finds the layers that keep float32 in int8. Received: precision="
            f"{precision!r}, float_layers={list(layers)!r}. Write precision='int8' alone."
        )


def check_target(target: str | None, precision: str) -> None:
    """Raises ValueError unless a target is known and runs the precision."""
    if target is None:
        return
    check_choice("target", target, ("micro",))
    if precision not in micro.PRECISIONS:
        raise ValueError(
            f"tflite-micro runs {', '.join(micro.PRECISIONS)}. Received: target='micro' with "
            f"precision={precision!r}. Write precision='int8'."
        )
