"""All diagnostics of an artifact beside its baseline, as far as they apply. Never acceptance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfdrlprune import runtime
from tfdrlprune.evidence.bounding import boxes, interval_bounds
from tfdrlprune.evidence.bounding.interval_results import DifferenceBounds
from tfdrlprune.evidence.coverage import Coverage, cover
from tfdrlprune.evidence.diagnostics import Diagnostics, diagnose
from tfdrlprune.evidence.rollouts import record_observations
from tfdrlprune.simulation import Environment

# Bisections of the box of visited states: enough to tighten bounds a little, in milliseconds.
_SPLITS = 6
_EPISODES = 5
_STATES = 1_000


@dataclass(frozen=True)
class Differences:
    """Where an artifact differs from its baseline.

    Attributes:
        states: on the states that the baseline visits.
        coverage: of the states that the artifact visits by the baseline's; None where it cannot be
            said, or there is no environment.
        bounds: on what both give in the smallest box around the baseline's states; None where an
            operation is not known to interval bounds.
        notes: why something is None.
    """

    states: Diagnostics
    coverage: Coverage | None
    bounds: DifferenceBounds | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns ``states, coverage, bounds, notes`` as JSON values; see docs/diagnostics.md."""
        return {
            "states": self.states.to_json(),
            "coverage": None if self.coverage is None else self.coverage.to_json(),
            "bounds": None if self.bounds is None else self.bounds.to_json(),
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Differences:
        """Returns what `to_json` wrote.

        Raises:
            KeyError, TypeError: something is missing or of another kind.
        """
        coverage, bounds = values["coverage"], values["bounds"]
        return Differences(
            Diagnostics.from_json(values["states"]),
            None if coverage is None else Coverage(**coverage),
            None if bounds is None else DifferenceBounds.from_json(bounds),
            tuple(values["notes"]),
        )

    def lines(self) -> list[tuple[str, str]]:
        """Returns what people read of it: a name and a value each."""
        found = [("acts alike", f"{self.states.agreement:.1%} of the baseline's states")]
        if (flips := self.states.flips) is not None and flips.loss_mean_relative is not None:
            found.append(
                (
                    "cost of other choices",
                    f"{flips.loss_mean_relative:.3g} mean gaps on average, "
                    f"{flips.loss_largest_relative:.3g} at most, by the baseline's scores",
                )
            )
        deviation = self.states.deviation
        if deviation is not None and deviation.fraction is not None:
            each = deviation.fraction
            found.append(
                (
                    "distance of actions, of their range",
                    f"median {each.p50:.2%}, 90 % below {each.p90:.2%}, 99 % below {each.p99:.2%}, "
                    f"at most {each.largest:.2%}",
                )
            )
        if self.coverage is not None:
            found.append(
                (
                    "own states far from the baseline's",
                    f"{self.coverage.uncovered:.1%}; outside its box {self.coverage.outside:.1%}",
                )
            )
        if (bounds := self.bounds) is not None:
            if bounds.same_choice is not None:
                said = f"surely the same choice in {bounds.same_choice:.1%} of it"
            else:
                said = f"actions surely within {bounds.largest_action:.3g}"
            found.append(("all of the box around its states", said))
        return found


def compare(
    folder: str | os.PathLike[str],
    baseline: str | os.PathLike[str],
    env: Environment | None,
    visited: Any,
) -> Differences:
    """Returns where an artifact differs from its baseline.

    Args:
        folder: of the artifact.
        baseline: of the baseline's, with the same observations and actions.
        env: where the artifact's own states are recorded; None for nowhere.
        visited: states of the baseline, nested, [count, ...].

    Raises:
        ValueError: the two take other observations or give other actions.
    """
    ours, theirs = runtime.load(folder), runtime.load(baseline)
    nest = theirs.manifest.observation
    notes = []
    coverage = None
    if env is not None:
        options = {"episodes": _EPISODES, "max_count": _STATES}
        try:
            coverage = cover(
                nest,
                record_observations(ours, env, seed=1, **options),
                visited,
                held_out=record_observations(theirs, env, seed=1, **options),
            )
        except ValueError as error:
            notes.append(f"coverage: {error}")
    bounds = None
    try:
        networks = interval_bounds.load(folder), interval_bounds.load(baseline)
        box = boxes.of_visited(nest, visited)
        bounds = interval_bounds.bound_difference(*networks, box, splits=_SPLITS)
    except ValueError as error:
        notes.append(f"bounds: {error}")
    return Differences(diagnose(ours, theirs, visited), coverage, bounds, tuple(notes))
