"""One more lesson, in which a student rounds as int8 will: quantization-aware distillation."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.distillation import Lesson
from tfdrlprune.policies.copies import copy_of
from tfdrlprune.pruning.kernels import Kernel, find_kernels
from tfdrlprune.pruning.masks import zeros_kept
from tfdrlprune.quantization.layers import QuantizedLayer, measure, quantizable

# It begins where the last lesson ended, near its end.
_RATE = 0.2
_OBSERVATIONS = 1_000


class Rounding(tf.keras.callbacks.Callback):
    """Has a lesson's only student round as int8 does, in training and where it plays.

    Ranges are those of the latest states, measured unrounded before every round.

    Args:
        lesson: that has trained nothing yet.
        kernels: of the student's layers that are to round.
    """

    def __init__(self, lesson: Lesson, kernels: list[Kernel]):
        super().__init__()
        self._lesson = lesson
        self._layers = [QuantizedLayer(kernel, [], outputs=False) for kernel in kernels]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures the ranges anew, and rounds."""
        self._off()
        measure(self._layers, lambda: self._lesson.visit(self.model, _OBSERVATIONS))
        for layer in self._layers:
            layer.on()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leaves the layers plain."""
        self._off()

    def _off(self) -> None:
        for layer in self._layers:
            layer.off()


def rounded(candidate: Candidate, classroom: Classroom) -> Candidate:
    """Returns the candidate with what its recipe's ``qat`` asks for as one more stage.

    Weights that are zero stay zero.

    Raises:
        ValueError: no layer can be trained as int8 sees it.
    """
    if not candidate.recipe.qat:
        return candidate
    student = copy_of(candidate.policy)
    kernels = find_kernels(student.model)
    chosen = quantizable(kernels)
    if not chosen:
        raise ValueError(
            "qat=True has layers round in training, and the policy has none of which that is known "
            "(Dense, Conv1D, Conv2D, DepthwiseConv2D). Write qat=False."
        )
    masks = zeros_kept(kernels, with_biases=candidate.recipe.granularity in ("unit", "layer"))
    own = classroom.settings
    settings = dataclasses.replace(own, learning_rate=_RATE * own.learning_rate)
    gentle = dataclasses.replace(classroom, settings=settings)
    lesson = gentle.lesson([student])
    with_rounding = dataclasses.replace(
        gentle, callbacks=lambda what: [Rounding(lesson, chosen), *classroom.callbacks(what)]
    )
    try:
        taught = with_rounding.teach(lesson, "teaching it to round as int8 does")
    finally:
        masks.remove()
    # A copy, since this one's compiled calls round.
    plain = copy_of(taught.student).replace(source=f"{student.source}, quantization aware")
    stages = (*candidate.stages, ("quantization_aware", plain))
    return dataclasses.replace(
        candidate, stages=stages, value=taught.value, coverage=taught.coverage
    )
