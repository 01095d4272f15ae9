"""Distillation: a trained policy teaches a smaller one, on states that the latter visits."""

from tfdrlprune.compression.distillation.lesson import Lesson
from tfdrlprune.compression.distillation.rounds import Taught, teach
from tfdrlprune.compression.distillation.sequences import SequenceLesson
from tfdrlprune.compression.distillation.settings import DistillationSettings

__all__ = ["DistillationSettings", "Lesson", "SequenceLesson", "Taught", "teach"]
