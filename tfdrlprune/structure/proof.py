"""The proof that a model that was made smaller gives what the one it was made of gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.specs import Array
from tfdrlprune.structure.probe import random_inputs, values_of

# float32, the same sums with fewer terms, so in another order; relative where outputs exceed 1.
TOLERANCE = 1e-5
_PROOF_SIZE = 64


@dataclass(frozen=True, eq=False)
class Cut:
    """What is left of states that became narrower.

    Attributes:
        inputs: [units], which are left, by the input's place; inputs that keep all are left out.
        outputs: likewise, by the output's place.
    """

    inputs: dict[int, Array]
    outputs: dict[int, Array]


def prove(
    reference: Any, small: Any, given: list[Array] | None, seed: int, cut: Cut | None = None
) -> float:
    """Returns the largest difference of two models' outputs.

    Args:
        reference: functional.
        small: with the same inputs and outputs.
        given: observations, one array for each input, beside 64 random ones.
        seed: of the random ones.
        cut: states of the second model that are narrower; what it has not is zero in the first.

    Raises:
        ValueError: it is more than 1e-5 of the largest output, or more than 1e-5 where none exceeds
            1; or the reference gives NaN or infinity.
    """
    largest = 0.0
    cut = cut or Cut({}, {})
    for inputs in filter(None, (random_inputs(reference, _PROOF_SIZE, seed + 1), given)):
        wide, narrow = _both(inputs, cut)
        wanted, received = (
            values_of(model, tf.nest.flatten(model.outputs), own)
            for model, own in ((reference, wide), (small, narrow))
        )
        for index, kept in cut.outputs.items():
            wanted[index] = wanted[index][:, kept]
        for one, other in zip(wanted, received, strict=True):
            if not np.isfinite(one).all():
                raise ValueError(
                    "The model gives NaN or infinity on random inputs or the observations, so that "
                    "nothing can be proved of it. Mend it first."
                )
            off = float(np.abs(one.astype(np.float64) - other).max())
            if not off <= TOLERANCE * max(1.0, float(np.abs(one).max())):
                raise ValueError(
                    f"The smaller model differs from what it was made of by up to {off:.3g} "
                    f"(tolerance {TOLERANCE:g}, relative above 1), so it is not handed out. Please "
                    "report this model."
                )
            largest = max(largest, off)
    return largest


def _both(inputs: list[Array], cut: Cut) -> tuple[list[Array], list[Array]]:
    """Returns inputs of both models: without the units that went, at zero and left out."""
    wide, narrow = list(inputs), list(inputs)
    for index, kept in cut.inputs.items():
        wide[index] = np.where(kept, inputs[index], 0).astype(inputs[index].dtype)
        narrow[index] = inputs[index][:, kept]
    return wide, narrow
