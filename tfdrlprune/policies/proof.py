"""The proof that a rebuilt policy acts as the one it was built from."""

from __future__ import annotations

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import Array

_TOLERANCE = 1e-4  # float32, the same operations in another order


def prove(
    policy: Policy, expected: Array, leaves: list[Array], what: str, episodes: int = 1
) -> None:
    """Raises ValueError, which says how far off, unless the policy gives the expected actions.

    Args:
        policy: to be proved.
        expected: [count, *action.shape], from the original.
        leaves: the observations for them, [count, *shape] each.
        what: the policy's name at the beginning of the error.
        episodes: with a state, the rows are so many episodes of equal length.
    """
    steps = len(expected) // episodes
    outputs = np.concatenate(
        [
            policy.batch_outputs([leaf[first : first + steps] for leaf in leaves])
            for first in range(0, len(expected), steps)
        ]
    )
    count = len(expected)
    if not np.isfinite(outputs).all():
        raise ValueError(f"{what} gives NaN or infinity on random observations.")
    if policy.head.kind == "argmax":
        _prove_choices(policy, outputs, expected.reshape(count, -1), what)
        return
    actions = policy.head.action(outputs, policy.action_spec).astype(np.float64)
    if actions.shape != expected.shape:
        raise ValueError(
            f"{what} gives actions of the shape {actions.shape[1:]}. Expected: "
            f"{expected.shape[1:]}."
        )
    low, high = (
        bound.reshape(policy.action_spec.shape)
        for bound in _observations.bounds(policy.action_spec)
    )
    # The agent need not clip to the bounds of the environment; the environment does.
    wanted = np.clip(expected.astype(np.float64), low, high)
    off = np.abs(actions - wanted) / np.maximum(1.0, np.abs(wanted))
    if not off.max() <= _TOLERANCE:
        raise ValueError(
            f"{what} acts differently: off by up to {off.max():.3g} (relative; tolerance "
            f"{_TOLERANCE:g}) on {int((off > _TOLERANCE).reshape(count, -1).any(1).sum())} of "
            f"{count} observations."
        )


def _prove_choices(policy: Policy, outputs: Array, expected: Array, what: str) -> None:
    """Raises unless the outputs choose as expected, [count, numbers]."""
    choices = policy.action_spec.choices()
    if expected.shape[1] != len(choices.counts):
        raise ValueError(
            f"{what} gives actions of {len(choices.counts)} numbers. Expected: {expected.shape[1]}."
        )
    index = expected.astype(int) - np.asarray(policy.head.offset).astype(int)
    valid = (index >= 0) & (index < np.array(choices.counts))
    best = choices.rows(outputs).max(axis=-1)
    # Two scores that are equal to rounding may fall either way.
    gap = best - choices.taken(outputs, np.where(valid, index, 0))
    wrong = ~valid | (gap > _TOLERANCE * np.maximum(1.0, np.abs(best)))
    if wrong.any():
        raise ValueError(
            f"{what} acts differently: {int(wrong.any(axis=1).sum())} of {len(index)} actions, by "
            f"a score of up to {gap.max():.3g}."
        )
