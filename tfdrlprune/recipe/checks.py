"""Checks of single values, with errors that say the rule, what was received, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any


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


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raises ValueError unless ``value`` is one of the choices; names the nearest one."""
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"{name} is one of {known}. Received: {name}={value!r}.{did_you_mean(value, choices)}"
        )


def check_number(name: str, value: Any, *, whole: bool = False) -> None:
    """Raises ValueError unless ``value`` is a number, and a whole one where asked."""
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name} is a {kind}. Received: {name}={value!r}.")


def check_seed(value: Any) -> None:
    """Raises ValueError unless ``value`` can seed a generator."""
    check_number("seed", value, whole=True)
    if value < 0:
        raise ValueError(f"seed is a whole number from 0 on. Received: seed={value!r}.")


def check_count(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is a whole number, 1 or more."""
    check_number(name, value, whole=True)
    if value < 1:
        raise ValueError(f"{name} is at least 1. Received: {name}={value!r}.")


def check_share(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is a number in (0, 1)."""
    check_number(name, value)
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} is a share in (0, 1). Received: {name}={value!r}.")


def did_you_mean(value: Any, known: Collection[str]) -> str:
    """Returns a question that names the nearest known word, or nothing where none is near.

    Example:
        >>> did_you_mean("sparsty", ["sparsity", "spare"])
        " Did you mean 'sparsity'?"
    """
    near = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else []
    return f" Did you mean {near[0]!r}?" if near else ""
