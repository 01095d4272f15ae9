"""The short forms that recipes and the command line share: granularities and distributions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune.recipe.checks import check_choice, check_sparsity, did_you_mean

DISTRIBUTIONS = ("erk", "uniform", "global")
# A sparsity written with three digits, such as 0.667 for 1:3, still means the pattern's own.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Pattern:
    """What a granularity's short form stands for.

    Attributes:
        kind: "element", "block", "n:m", "unit" or "layer".
        height: inputs in a block.
        width: outputs in a block.
        kept: weights that stay of every ``of`` consecutive inputs, with "n:m".
        of: see ``kept``.
    """

    kind: str
    height: int = 1
    width: int = 1
    kept: int = 1
    of: int = 1

    def reached(self, sparsity: float) -> float:
        """Returns the sparsity that is meant: that of N:M itself where it is as good as asked for.

        Raises:
            ValueError: N:M cannot remove so much.
        """
        if self.kind != "n:m":
            return sparsity
        limit = 1.0 - self.kept / self.of
        if abs(sparsity - limit) <= _TOLERANCE:
            return limit
        if sparsity > limit:
            raise ValueError(self._refusal(sparsity))
        return sparsity

    def check_final(self, sparsity: float) -> None:
        """Raises ValueError where N:M ends at another sparsity than the one asked for."""
        if self.kind == "n:m" and abs(sparsity - (1.0 - self.kept / self.of)) > _TOLERANCE:
            raise ValueError(self._refusal(sparsity))

    def _refusal(self, sparsity: float) -> str:
        limit = 1.0 - self.kept / self.of
        return (
            f"granularity '{self.kept}:{self.of}' keeps {self.kept} of {self.of} weights, which is "
            f"a sparsity of {limit:.4g}. Received: sparsity={sparsity!r}. Write "
            f"sparsity={limit:.4g}, or another granularity."
        )


def parse_granularity(text: Any) -> Pattern:
    """Returns what a granularity's short form stands for.

    Args:
        text: "element"; "unit"; "layer"; "block:HxW", H inputs by W outputs; "N:M", keep N of M.

    Raises:
        ValueError: it is none of these.

    Example:
        >>> parse_granularity("block:1x16")
        Pattern(kind='block', height=1, width=16, kept=1, of=1)
        >>> parse_granularity("2:4").kept
        2
    """
    if text in ("element", "unit", "layer"):
        return Pattern(text)
    form = text if isinstance(text, str) else ""
    if block := re.fullmatch(r"block:([1-9]\d*)x([1-9]\d*)", form):
        return Pattern("block", int(block[1]), int(block[2]))
    some = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", form)
    if some and int(some[1]) < int(some[2]):
        return Pattern("n:m", kept=int(some[1]), of=int(some[2]))
    hint = did_you_mean(text, ("element", "unit", "layer", "block:4x4", "block:1x16"))
    raise ValueError(
        "granularity is 'element', 'unit', 'layer', a block of inputs x outputs such as "
        f"'block:4x4', or N:M such as '2:4', which keeps 2 of 4. Received: granularity={text!r}."
        f"{hint}"
    )


def parse_distribution(value: Any) -> str | dict[str, float]:
    """Returns the name of a distribution, or kernel -> sparsity.

    Args:
        value: a name; a dictionary; or a dictionary as a text, "dense=0.9,dense_1=0.5".

    Raises:
        ValueError: an unknown name, or a value that is no sparsity.

    Example:
        >>> parse_distribution("dense=0.9,dense_1=0.5")
        {'dense': 0.9, 'dense_1': 0.5}
    """
    if isinstance(value, str) and "=" in value:
        pairs = [each.strip().rpartition("=") for each in value.split(",")]
        if not all(name for name, _, _ in pairs):
            raise ValueError(
                "distribution is NAME=SPARSITY with commas, such as 'dense=0.9,dense_1=0.5'. "
                f"Received: distribution={value!r}."
            )
        _check_once("distribution", [name for name, _, _ in pairs])
        value = {name: sparsity for name, _, sparsity in pairs}
    if isinstance(value, Mapping) and value:
        return {str(name): check_sparsity(each, repr(name)) for name, each in value.items()}
    check_choice("distribution", value, DISTRIBUTIONS)
    return str(value)


def parse_networks(value: Any) -> dict[str, float | None]:
    """Returns role -> its own sparsity, or None where it has that of the schedule.

    Args:
        value: a role; several; a dictionary; or a text, "actor,critic=0.5".

    Raises:
        ValueError: there is no role, or a value is no sparsity.

    Example:
        >>> parse_networks("actor,critic=0.5")
        {'actor': None, 'critic': 0.5}
    """
    if isinstance(value, str):
        pairs = [each.strip().partition("=") for each in value.split(",")]
        _check_once("networks", [role for role, _, _ in pairs])
        value = {role: sparsity or None for role, _, sparsity in pairs}
    elif not isinstance(value, Mapping) and isinstance(value, Iterable):
        value = dict.fromkeys(value)
    roles = value if isinstance(value, Mapping) else {}
    if not roles or not all(isinstance(role, str) and role for role in roles):
        raise ValueError(
            "networks is a role or several, such as 'actor', 'actor,critic', or 'actor,critic=0.5' "
            f"for a sparsity of its own. Received: networks={value!r}."
        )
    return {
        role: None if sparsity is None else check_sparsity(sparsity, repr(role))
        for role, sparsity in roles.items()
    }


def _check_once(field: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{field} names each once. Received twice: {', '.join(twice)}.")


def parse_further(text: Any) -> tuple[str, float] | None:
    """Returns a granularity and the sparsity of it, or None for "".

    Args:
        text: "", or GRANULARITY=SPARSITY of single weights, blocks or N:M.

    Raises:
        ValueError: it is neither, or of units or layers, or the sparsity is none of the pattern's.

    Example:
        >>> parse_further("block:1x16=0.9")
        ('block:1x16', 0.9)
        >>> parse_further("") is None
        True
    """
    if text == "":
        return None
    granularity, given, sparsity = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not given or granularity in ("unit", "layer"):
        raise ValueError(
            "further is GRANULARITY=SPARSITY of weights, such as 'element=0.5' or "
            f"'block:1x16=0.9'. Received: further={text!r}."
        )
    pattern, wanted = parse_granularity(granularity), check_sparsity(sparsity, "further")
    pattern.check_final(wanted)
    return granularity, wanted
