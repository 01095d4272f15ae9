"""What interval bounds say, as values and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Bounds:
    """What an artifact can give for the observations in a box.

    Attributes:
        output_low: of each raw output, the number that none falls below.
        output_high: the number that none rises above.
        action_low: likewise of a continuous action, in its own units and C order; None for argmax.
        action_high: likewise.
        choice: the action, if it is one and the same all over the box, of several numbers a tuple
            in C order; None if that is not certain, and for continuous actions.
        certain: share of the box's volume in which the choice is certain, [0, 1]; with no splits
            0 or 1. None for continuous actions.
        boxes: how many boxes the box was cut into.
    """

    output_low: Numbers
    output_high: Numbers
    action_low: Numbers | None
    action_high: Numbers | None
    choice: int | tuple[int, ...] | None
    certain: float | None
    boxes: int

    def to_json(self) -> dict[str, Any]:
        """Returns the bounds as JSON values, keys as the attributes."""
        return _json(self)


@dataclass(frozen=True)
class DifferenceBounds:
    """How far two artifacts can be apart on the observations in a box: candidate minus baseline.

    Attributes:
        output_low: of each raw output, the number that no difference falls below.
        output_high: the number that none rises above.
        largest_output: the largest absolute value of both.
        largest_gap: by how much the distance between two scores (of the same number, where the
            action has several) can differ at most. Unlike
            ``largest_output`` it leaves out what all scores have in common, which decides nothing
            and which the exporter changes for int8. None for continuous actions.
        action_low: as ``output_low``, of a continuous action, in its own units and C order; None
            for argmax.
        action_high: likewise.
        largest_action: the largest absolute value of both; None likewise.
        same_choice: share of the box's volume in which both certainly choose the same action,
            [0, 1]; None for continuous actions.
        other_choice: share in which they certainly choose two different ones; None likewise.
        differential: whether the difference was followed from operation to operation. False where
            the networks are not alike somewhere and it had to be taken from both boxes of bounds.
        boxes: how many boxes the box was cut into.
    """

    output_low: Numbers
    output_high: Numbers
    largest_output: float
    largest_gap: float | None
    action_low: Numbers | None
    action_high: Numbers | None
    largest_action: float | None
    same_choice: float | None
    other_choice: float | None
    differential: bool
    boxes: int

    def to_json(self) -> dict[str, Any]:
        """Returns the bounds as JSON values, keys as the attributes."""
        return _json(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> DifferenceBounds:
        """Returns what `to_json` wrote.

        Raises:
            TypeError: something is missing or of another kind.
        """
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return DifferenceBounds(**plain)


def _json(bounds: Bounds | DifferenceBounds) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(bounds).items()
    }
