"""Which of the teacher's states a student has rehearsed: a coverage report, never acceptance."""

from __future__ import annotations

import numpy as np

from tfdrlprune.compression.distillation.lesson import Lesson
from tfdrlprune.evidence.coverage import Coverage, cover
from tfdrlprune.specs import Array, pack_like

# So many tell a share to a percent, in a second. They come from an even number of environments.
FRESH = 4_096
_REHEARSED = 20_000


def coverage_of(lesson: Lesson, fresh: list[Array]) -> Coverage | None:
    """Returns how far a teacher's states are covered by those of a lesson.

    What counts as far is how far its states in some episodes are from those in others.

    Args:
        lesson: that is over.
        fresh: states that the lesson has not seen, each leaf [count, ...]; those at even indices
            are of other episodes than those at odd ones.

    Returns:
        Of those at even indices; None where distances tell nothing: of images, and of more than 512
        numbers.
    """
    nest = lesson.teacher.observation_spec
    rehearsed = _sample(lesson.states(), lesson.seed)
    even, odd = (pack_like(nest, [leaf[first::2] for leaf in fresh]) for first in (0, 1))
    try:
        return cover(nest, even, pack_like(nest, rehearsed), held_out=even, reference=odd)
    except ValueError:
        return None


def _sample(leaves: list[Array], seed: int) -> list[Array]:
    count = len(leaves[0])
    if count <= _REHEARSED:
        return leaves
    chosen = np.random.default_rng([seed, 2]).choice(count, _REHEARSED, replace=False)
    return [leaf[chosen] for leaf in leaves]
