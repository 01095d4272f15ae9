"""Policies that make several choices, and what they should choose."""

from __future__ import annotations

from typing import Any

import numpy as np
from builders import forward, mlp

from tfdrlprune.specs import ArraySpec, Head

EQUAL, UNEQUAL = (3, 3, 3), (3, 1, 4)
OBSERVATIONS = np.random.default_rng(1).normal(size=(300, 4)).astype("float32")


def action_of(counts: Any, low: int = 0, shape: Any = None, dtype: str = "int64") -> ArraySpec:
    """Returns an action whose numbers count from ``low``, low + 1, and so on."""
    first = tuple(low + index for index in range(len(counts)))
    last = tuple(f + count - 1 for f, count in zip(first, counts, strict=True))
    return ArraySpec("action", shape or (len(counts),), dtype, first, last)


def several(counts: Any, low: int = 0, shape: Any = None, dtype: str = "int64", **more: Any) -> Any:
    """Returns a policy of Dense layers that makes several choices."""
    action = action_of(counts, low, shape, dtype)
    return mlp(Head.choosing(action), action, outputs=sum(counts), **more)


def expected(policy: Any, observations: Any = OBSERVATIONS) -> Any:
    """Returns the actions worked out number by number."""
    counts, low = policy.action_spec.choices().counts, policy.action_spec.low
    parts = np.split(forward(policy, observations), np.cumsum(counts)[:-1], axis=1)
    chosen = [part.argmax(axis=1) + first for part, first in zip(parts, low, strict=True)]
    return np.stack(chosen, axis=1).reshape(-1, *policy.action_spec.shape)
