"""A call of `compress` as Python, for the report of one that came from no command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfdrlprune.simulation import Environment

# By ``import tfdrlprune as tp``; other classes go by their names.
_PUBLIC = ("Recipe", "Judging", "Terms")


def python_call(
    env: Environment | None,
    recipe: Any,
    judging: Any,
    settings: Any,
    *,
    seed: int,
    named: Sequence[str] = (),
) -> str:
    """Returns the call that makes a result again, as a line of Python.

    Names stand for what has no text of its own: ``policy``, what is ``named``, and a factory by the
    name of its function, or ``env`` where it has none. Values that are the default are left out.

    Args:
        env: registered id, factory, or None.
        recipe: a dataclass.
        judging: a dataclass.
        settings: of the lessons, as they were passed; None for none.
        seed: of everything random.
        named: further arguments that were passed, ``"observations"`` for one.

    Example:
        >>> import tfdrlprune as tp
        >>> python_call("CartPole-v1", tp.Recipe(sparsity=0.5), tp.Judging(), None, seed=3)
        "tp.compress(policy, 'CartPole-v1', tp.Recipe(sparsity=0.5), seed=3)"
    """
    name = repr(env) if env is None or isinstance(env, str) else _named(env)
    parts = ["policy", name, _made(recipe, all_needed=True)]
    parts += [f"{each}={each}" for each in named]
    if changed := _made(judging):
        parts.append(f"judging={changed}")
    if settings is not None:
        parts.append(f"distillation={_made(settings, all_needed=True)}")
    parts.append(f"seed={seed}")
    return f"tp.compress({', '.join(parts)})"


def _named(factory: Any) -> str:
    name = str(getattr(factory, "__name__", ""))
    return name if name.isidentifier() else "env"


def _made(value: Any, *, all_needed: bool = False) -> str:
    """Returns the call that makes a dataclass; "" for one that need not be named."""
    changed = []
    for each in dataclasses.fields(value):
        own = getattr(value, each.name)
        made = each.default_factory
        default = each.default if made is dataclasses.MISSING else made()
        if own != default:
            shown = _made(own, all_needed=True) if dataclasses.is_dataclass(own) else repr(own)
            changed.append(f"{each.name}={shown}")
    if not changed and not all_needed:
        return ""
    name = type(value).__name__
    return f"{'tp.' if name in _PUBLIC else ''}{name}({', '.join(changed)})"
