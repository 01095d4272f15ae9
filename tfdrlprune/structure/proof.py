"""The proof that a model that was made smaller gives what the one it was made of gives."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.structure.identities import Array
from tfdrlprune.structure.probe import random_inputs, values_of

# float32, the same sums with fewer terms, so in another order; relative where outputs exceed 1.
TOLERANCE = 1e-5
_PROOF_SIZE = 64


def prove(reference: Any, small: Any, given: list[Array] | None, seed: int) -> float:
    """Returns the largest difference of two models' outputs.

    Args:
        reference: functional.
        small: with the same inputs and outputs.
        given: observations, one array for each input, beside 64 random ones.
        seed: of the random ones.

    Raises:
        ValueError: it is more than 1e-5 of the largest output, or more than 1e-5 where none exceeds
            1; or the reference gives NaN or infinity.
    """
    largest = 0.0
    for inputs in filter(None, (random_inputs(reference, _PROOF_SIZE, seed + 1), given)):
        wanted, received = (
            values_of(model, tf.nest.flatten(model.outputs), inputs) for model in (reference, small)
        )
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
