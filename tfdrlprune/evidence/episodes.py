"""A table of episodes: what roll-outs return and what statistics and the gate judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# How an episode can end. "time_limit" is ours, "truncated" the environment's own; with "error" the
# environment raised, with "nan" it gave a reward or observation that was NaN or infinite.
OUTCOMES = ("terminated", "truncated", "time_limit", "error", "nan")
_FAILURES = ("error", "nan")


@dataclass(frozen=True)
class Episodes:
    """Episodes in the order in which they were played; every field has one entry for each.

    Attributes:
        seeds: int64, what the environment was reset with.
        returns: float64, undiscounted sum of rewards; of a failed episode, up to its failure.
        lengths: int64, env_steps.
        outcomes: one of `OUTCOMES`.
        reasons: why the episode failed; empty where it did not.
    """

    seeds: NDArray[np.int64]
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    outcomes: NDArray[np.str_]
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        sizes = {name: len(column) for name, column in vars(self).items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"The columns of Episodes have one length. Received: {sizes}.")
        if unknown := set(self.outcomes.tolist()) - set(OUTCOMES):
            raise ValueError(f"An outcome is one of {OUTCOMES}. Received: {sorted(unknown)}.")

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether each episode failed: the environment crashed or gave what is not finite."""
        return np.isin(self.outcomes, _FAILURES)

    def first(self, count: int) -> Episodes:
        """Returns the first ``count`` episodes."""
        return Episodes(*(column[:count] for column in vars(self).values()))

    @staticmethod
    def joined(parts: Sequence[Episodes]) -> Episodes:
        """Returns the episodes of several tables, one after another; at least one table."""
        seeds, returns, lengths, outcomes = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("seeds", "returns", "lengths", "outcomes")
        )
        reasons = tuple(reason for part in parts for reason in part.reasons)
        return Episodes(seeds, returns, lengths, outcomes, reasons)

    def scores(self, worst: float | None = None) -> NDArray[np.float64]:
        """Returns the returns with that of each failed episode replaced by ``worst``.

        A crash must not look good because it cut the losses of an environment with negative
        rewards.

        Args:
            worst: smallest possible return; if None, the smallest return in this table.
        """
        if worst is None:
            worst = float(self.returns.min(initial=np.inf))
        return np.where(self.failed, worst, self.returns)

    def to_json(self) -> dict[str, Any]:
        """Returns the table as JSON values, one list for each column."""
        return {name: np.asarray(column).tolist() for name, column in vars(self).items()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Episodes:
        """Returns the table that `to_json` wrote."""
        return Episodes(
            np.asarray(values["seeds"], np.int64),
            np.asarray(values["returns"], np.float64),
            np.asarray(values["lengths"], np.int64),
            np.asarray(values["outcomes"], np.str_),
            tuple(values["reasons"]),
        )
