"""Recipe: every choice of a compression, in one frozen dataclass, to and from TOML.

The command line's flags are made from its fields, and an artifact carries its recipe.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

DISTRIBUTIONS = ("erk", "uniform", "global")
CRITERIA = ("magnitude",)
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


def _choice(default: str, help_text: str, choices: tuple[str, ...]) -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices})


def _number(default: float, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Recipe:
    """What to remove, when, and in which precision to store the rest.

    Attributes:
        sparsity: fraction of the prunable kernels' weights that are removed, in [0, 1).
        distribution: how kernels share it: "erk" spares the small first and last ones, "uniform"
            treats all alike, "global" compares weights across kernels.
        criterion: what decides which weights go: "magnitude".
        spare: names of kernels that are left alone, as `tfdrlprune inspect` lists them.
        begin: share of the run at which pruning begins, in [0, 1).
        end: share of the run at which the full sparsity is reached, in (begin, 1].
        frequency: optimizer steps between two mask updates.
        precision: of the artifact: "float32", "float16", "dynamic", "int8" or "int16x8".

    Raises:
        ValueError: a value is out of its range; says the range and what was received.

    Example:
        >>> Recipe(sparsity=0.9, precision="int8").to_dict()["precision"]
        'int8'
    """

    sparsity: float = _number(0.9, "Fraction of weights to remove, in [0, 1).")
    distribution: str = _choice("erk", "How kernels share the sparsity.", DISTRIBUTIONS)
    criterion: str = _choice("magnitude", "What decides which weights go.", CRITERIA)
    spare: tuple[str, ...] = field(
        default=(), metadata={"help": "Name of a kernel to leave alone; may be repeated."}
    )
    begin: float = _number(0.2, "Share of the run at which pruning begins.")
    end: float = _number(0.6, "Share of the run at which the full sparsity is reached.")
    frequency: int = field(
        default=100, metadata={"help": "Optimizer steps between two mask updates."}
    )
    precision: str = _choice("float32", "Precision of the artifact.", PRECISIONS)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spare", _names(self.spare))
        check_sparsity(self.sparsity)
        for name in ("distribution", "criterion", "precision"):
            _check_choice(self, name)
        for name, kind in (("begin", Real), ("end", Real), ("frequency", Integral)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind):
                whole = "whole " if kind is Integral else ""
                raise ValueError(f"{name} is a {whole}number. Received: {name}={value!r}.")
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise ValueError(
                "Pruning begins and ends within the run: 0 <= begin < end <= 1. "
                f"Received: begin={self.begin!r}, end={self.end!r}."
            )
        if self.frequency < 1:
            raise ValueError(f"frequency is at least 1 step. Received: {self.frequency!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        values = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Recipe:
        """Returns the recipe with these fields; the others keep their defaults.

        Raises:
            ValueError: a key is no field; names the nearest one.
        """
        known = [each.name for each in dataclasses.fields(Recipe)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"A recipe has no field {key!r}.{hint} Fields: {', '.join(known)}."
                )
        return Recipe(**dict(values))

    def to_toml(self) -> str:
        """Returns the recipe as TOML."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @staticmethod
    def from_toml(text: str) -> Recipe:
        """Returns the recipe that a TOML text describes.

        Raises:
            ValueError: it is no TOML, has an unknown key, or a value is out of range.
        """
        parser = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        return Recipe.from_dict(parser.loads(text))


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"spare is a list of kernels' names. Received: spare={value!r}.")
    return tuple(names)


def check_sparsity(value: Any, source: str = "") -> float:
    """Returns ``value`` as a float.

    Args:
        value: a sparsity.
        source: who gave it, for the message.

    Raises:
        ValueError: it is not in [0, 1).

    Example:
        >>> check_sparsity(90)
        Traceback (most recent call last):
        ValueError: sparsity is the fraction of weights removed, in [0, 1). Received: sparsity=90. \
For 90 % write 0.9.
    """
    try:
        sparsity = float(value)
    except (TypeError, ValueError):
        sparsity = float("nan")
    if 0.0 <= sparsity < 1.0:
        return sparsity
    by = f" from {source}" if source else ""
    hint = f" For {sparsity:g} % write {sparsity / 100:g}." if 1 < sparsity < 100 else ""
    raise ValueError(
        "sparsity is the fraction of weights removed, in [0, 1). "
        f"Received: sparsity={value!r}{by}.{hint}"
    )


def _check_choice(recipe: Recipe, name: str) -> None:
    choices = {each.name: each.metadata.get("choices") for each in dataclasses.fields(recipe)}[name]
    value = getattr(recipe, name)
    if choices and value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is one of {known}. Received: {name}={value!r}.")
