"""Which layers keep float32 in an int8 file, so that its actions change no more than allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tfdrlprune.deployment.comparison import Comparison


@dataclass(frozen=True)
class Kept:
    """Layers that stay float32, and what the file with them is like.

    Attributes:
        layers: names, in the model's order.
        comparison: of the file with the policy.
        reached: whether the actions change no more than was allowed.
    """

    layers: tuple[str, ...]
    comparison: Comparison
    reached: bool


def fewest_kept(
    layers: Sequence[str],
    compared: Callable[[tuple[str, ...]], Comparison],
    agreement: float,
) -> Kept:
    """Returns the layers to keep in float32 so that enough actions stay equal.

    Greedy: of those that are left, the layer whose float32 gives the least error of the outputs
    joins, until ``agreement`` is reached. That takes ``n + (n - 1) + ...`` conversions of ``n``
    layers at most; one where int8 is good enough by itself.

    Args:
        layers: names of all layers with weights.
        compared: converts with some layers kept, and compares with the policy.
        agreement: share of equal actions that is enough, in (0, 1].
    """
    kept: tuple[str, ...] = ()
    found = compared(kept)
    while found.agreement < agreement and len(kept) < len(layers):
        tried = {}
        for name in layers:
            if name not in kept:
                chosen = tuple(each for each in layers if each in (*kept, name))
                tried[chosen] = compared(chosen)
        kept = min(tried, key=lambda chosen: tried[chosen].noise)
        found = tried[kept]
    return Kept(kept, found, found.agreement >= agreement)
