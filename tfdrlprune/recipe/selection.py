"""Selection: which weights go at a given sparsity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfdrlprune.recipe.checks import check_choice, check_count, check_number
from tfdrlprune.recipe.forms import Pattern, parse_distribution, parse_granularity

CRITERIA = (
    *("magnitude", "random"),
    *("saliency", "taylor", "snip", "movement"),
    *("activation", "apoz"),
)
# Those that average gradients over batches; movement takes those of the training steps.
BY_GRADIENTS = ("saliency", "taylor", "snip")
GROUP_SCORES = ("mean", "l2", "max", "in+out")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which weights go at a given sparsity.

    Attributes:
        granularity: what goes together: "element", "block:4x4" (inputs x outputs), "2:4" (keeps 2
            of 4 consecutive inputs), "unit" (a neuron, filter or recurrent unit, with its bias), or
            "layer".
        criterion: what scores a weight w; the lowest go first. By weights alone: "magnitude" or
            "random". By gradients g of the loss on replay or roll-outs: "saliency" (|w * mean g|),
            "taylor" (mean of (w * g) ** 2), "snip" (the saliency before training, for good) or
            "movement" (sum of -w * g over all steps). Of units, by what they put out on recorded
            observations: "activation" (mean magnitude) or "apoz" (share that is not zero).
        gradient_batches: that "saliency", "taylor" and "snip" take their gradients on.
        group_score: of a block's or unit's weights: "mean", "l2" (root mean square), "max", or
            "in+out" (mean of a unit's own weights plus the mean of those that read it).
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
        metadata={"help": "What goes together: element, block:4x4, 2:4, unit or layer."},
    )
    criterion: str = field(
        default="magnitude",
        metadata={"help": "What decides which weights go.", "choices": CRITERIA},
    )
    gradient_batches: int = field(
        default=8, metadata={"help": "Batches that gradients are averaged over."}
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
        self._check_units()
        check_count("gradient_batches", self.gradient_batches)
        if isinstance(self.distribution, dict):
            for sparsity in self.distribution.values():
                self.pattern.check_final(sparsity)
        if self.threshold is not None:
            check_number("threshold", self.threshold)
            if not 0.0 < self.threshold < math.inf:
                raise ValueError(
                    f"threshold is a finite number above 0. Received: threshold={self.threshold!r}."
                )

    def _check_units(self) -> None:
        """Raises ValueError where something is asked for that only units have."""
        by_activity = self.criterion in ("activation", "apoz")
        if by_activity and self.granularity != "unit":
            raise ValueError(
                f"criterion={self.criterion!r} scores units. Received: "
                f"granularity={self.granularity!r}. Write granularity='unit'."
            )
        if self.group_score == "in+out" and (by_activity or self.granularity != "unit"):
            raise ValueError(
                "group_score='in+out' adds up the weights of units. Received: "
                f"granularity={self.granularity!r}, criterion={self.criterion!r}. Write "
                "granularity='unit' and a criterion of weights."
            )

        if self.group_score == "l2" and self.criterion == "movement":
            raise ValueError(
                "criterion='movement' scores what moves towards zero below zero, which "
                "group_score='l2' would square. Write group_score='mean'."
            )
        if self.pattern.kind in ("element", "n:m") and self.group_score != "mean":
            raise ValueError(
                f"granularity={self.granularity!r} scores weights one by one. Received: "
                f"group_score={self.group_score!r}. Leave it out, or take blocks, units or layers."
            )

    def check_gradients(self) -> None:
        """Raises ValueError where batches are asked for by a criterion that takes no gradients."""
        default = Selection.__dataclass_fields__["gradient_batches"].default
        if self.criterion not in BY_GRADIENTS and self.gradient_batches != default:
            raise ValueError(
                f"criterion={self.criterion!r} averages no gradients over batches. Received: "
                f"gradient_batches={self.gradient_batches!r}. Leave it out."
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
