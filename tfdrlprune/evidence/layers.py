"""Kernels of the dense, the masked and the final policy, side by side: what is left of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.stored_kernels import Kernel

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report


@dataclass(frozen=True)
class Layer:
    """One kernel through the stages.

    Attributes:
        name: of its layer.
        kernels: of each stage of `stages_of`; None where the stage has no such kernel.
    """

    name: str
    kernels: tuple[Kernel | None, ...]

    @property
    def left(self) -> float:
        """Share of the dense kernel's weights that are left in the final one, in [0, 1]."""
        dense, final = self.kernels[0], self.kernels[-1]
        if dense is None:
            return 1.0
        return 0.0 if final is None else final.nonzero / dense.size


def stages_of(report: Report) -> list[StageRow]:
    """Returns the dense stage, the first before the final one that has masks, and the final one.

    A stage with masks has the dense one's shapes, and zeros.
    """
    dense, final = report.baseline, report.judged
    if final is dense:
        return [dense]
    shapes = [kernel.shape for kernel in dense.kernels]
    before = report.stages[1 : report.stages.index(final)]
    masked = [
        row
        for row in before
        if [kernel.shape for kernel in row.kernels] == shapes and has_zeros(row)
    ]
    return [dense, *masked[:1], final]


def has_zeros(row: StageRow) -> bool:
    """Tells whether more of a stage's weights are zero than rounding explains: a twentieth."""
    weights = sum(kernel.size for kernel in row.kernels)
    return sum(kernel.nonzero for kernel in row.kernels) < 0.95 * weights


def layers_of(stages: Sequence[StageRow]) -> list[Layer]:
    """Returns the kernels of stages side by side, in the first one's order.

    They are matched by their layers' names; where these differ, as many kernels in the same order
    are the same ones.

    Args:
        stages: the dense one first, the final one last.
    """
    dense = stages[0].kernels
    names = _numbered(dense)
    columns: list[dict[str, Kernel]] = [dict(zip(names, dense, strict=True))]
    for stage in stages[1:]:
        own = _numbered(stage.kernels)
        if not set(own) <= set(names) and len(own) == len(names):
            own = names
        columns.append(dict(zip(own, stage.kernels, strict=True)))
    every = dict.fromkeys(name for column in columns for name in column)
    return [Layer(name, tuple(column.get(name) for column in columns)) for name in every]


def _numbered(kernels: Sequence[Kernel]) -> list[str]:
    """Returns the layers' names; of a layer with several kernels with a number behind."""
    names = [kernel.layer for kernel in kernels]
    return [
        name if (before := names[:index].count(name)) == 0 else f"{name} ({before + 1})"
        for index, name in enumerate(names)
    ]


def shape(kernel: Kernel) -> str:
    """Returns a kernel's shape as people read it.

    Example:
        >>> shape(Kernel("dense", "FULLY_CONNECTED", (64, 4), 256, None, None))
        '64 × 4'
    """
    return " × ".join(map(str, kernel.shape))
