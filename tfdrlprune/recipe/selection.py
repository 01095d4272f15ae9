"""Selection: which weights go at a given sparsity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfdrlprune.recipe.checks import check_choice, check_number
from tfdrlprune.recipe.forms import Pattern, parse_distribution, parse_granularity

CRITERIA = ("magnitude", "random")
GROUP_SCORES = ("mean", "l2", "max")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which weights go at a given sparsity.

    Attributes:
        granularity: what goes together: "element", "block:4x4" (inputs x outputs), "2:4" (keeps 2
            of 4 consecutive inputs), or "unit" (a neuron, filter or recurrent unit).
        criterion: what scores a weight; the lowest go first: "magnitude" or "random".
        group_score: of a block's or unit's weights: "mean", "l2" (root mean square), or "max".
        distribution: how kernels share the sparsity: "erk" spares the small first and last ones,
            "uniform" treats all alike, "global" compares scores across kernels; or a dictionary
            from the names of kernels or layers to their sparsities, where the kernels that it does
            not name share by "erk" what the total leaves them.
        threshold: where given, only weights or groups that score below it go, and the sparsity is
            the most that is removed.
        spare: names of kernels or layers that are left alone, as `tfdrlprune inspect` lists them;
            "first" and "last" are the first and last layer.

    Raises:
        ValueError: a value is out of its range; says the range and what was received.
    """

    granularity: str = field(
        default="element",
        metadata={"help": "What goes together: element, block:4x4, 2:4 or unit."},
    )
    criterion: str = field(
        default="magnitude",
        metadata={"help": "What decides which weights go.", "choices": CRITERIA},
    )
    group_score: str = field(
        default="mean",
        metadata={"help": "Score of a block or unit, of its weights'.", "choices": GROUP_SCORES},
    )
    distribution: str | Mapping[str, float] = field(
        default="erk",
        # A dictionary has no hash; recipes that are equal still have equal ones.
        hash=False,
        metadata={"help": "How kernels share it: erk, uniform, global, or NAME=SPARSITY,..."},
    )
    threshold: float | None = field(
        default=None, metadata={"help": "Remove only what scores below this.", "type": float}
    )
    spare: tuple[str, ...] = field(
        default=(),
        metadata={"help": "Kernel or layer to leave alone, first and last too; may be repeated."},
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "spare", _names(self.spare))
        check_choice("criterion", self.criterion, CRITERIA)
        check_choice("group_score", self.group_score, GROUP_SCORES)
        object.__setattr__(self, "distribution", parse_distribution(self.distribution))
        parse_granularity(self.granularity)
        if isinstance(self.distribution, dict):
            for sparsity in self.distribution.values():
                self.pattern.check_final(sparsity)
        if self.threshold is not None:
            check_number("threshold", self.threshold)
            if not 0.0 < self.threshold < math.inf:
                raise ValueError(
                    f"threshold is a finite number above 0. Received: threshold={self.threshold!r}."
                )

    @property
    def pattern(self) -> Pattern:
        """What the granularity's short form stands for."""
        return parse_granularity(self.granularity)


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"spare is a list of kernels' names. Received: spare={value!r}.")
    return tuple(names)
