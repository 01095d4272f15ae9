"""What a compression tried on its way, beside what it shipped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """A candidate that a compression made and tried on selection seeds, shipped or not.

    Attributes:
        route: "prune" or "distil".
        sparsity: that it was made for.
        parameters: that it stores.
        nonzero: of these, how many are not zero.
        verdict: of the gate on the selection seeds; None where nothing was played.
        mean: return there.
        difference: mean of candidate minus dense.
        episodes: played.
        seconds: that making and trying it took.
        chosen: whether the final stages were made of it.
        further: what was pruned of it besides, as in the recipe; "" for nothing.
        fine_tuned: whether reinforcement learning went on with it after it was taught.
    """

    route: str
    sparsity: float
    parameters: int
    nonzero: int
    verdict: str | None
    mean: float | None
    difference: float | None
    episodes: int
    seconds: float
    chosen: bool
    # Reports of before have no such keys.
    further: str = ""
    fine_tuned: bool = False

    @property
    def name(self) -> str:
        """What was done, for people: ``distil to 0.9, element=0.5, fine-tuned``."""
        more = [self.further] if self.further else []
        more += ["fine-tuned"] if self.fine_tuned else []
        return ", ".join([f"{self.route} to {self.sparsity:.4g}", *more])

    def __str__(self) -> str:
        played = "not played"
        if self.mean is not None:
            played = (
                f"{self.verdict} with {self.mean:.4g} ({self.difference:+.3g}) over "
                f"{self.episodes} selection episodes"
            )
        mark = ": taken" if self.chosen else ""
        return (
            f"{self.name}: {self.nonzero:,} of {self.parameters:,} stored parameters are not zero, "
            f"{played}, {self.seconds:.1f} s{mark}"
        )
