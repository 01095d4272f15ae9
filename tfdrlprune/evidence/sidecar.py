"""The arrays of a report: every episode and the pictures of kernels, beside ``report.json``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.stored_kernels import Kernel
from tfdrlprune.specs import Array

_COLUMNS = ("seeds", "returns", "lengths", "outcomes", "reasons")


def write(rows: Sequence[StageRow]) -> bytes:
    """Returns an ``.npz`` with ``STAGE/returns`` and the like, ``STAGE/0/weights``, ``.../kept``.

    The same rows give the same bytes.

    Args:
        rows: of the report.
    """
    arrays: dict[str, Array] = {}
    for row in rows:
        if row.episodes is not None:
            for name in _COLUMNS:
                arrays[f"{row.name}/{name}"] = np.asarray(getattr(row.episodes, name))
        for index, kernel in enumerate(row.kernels):
            arrays[f"{row.name}/{index}/weights"] = kernel.weights
            arrays[f"{row.name}/{index}/kept"] = kernel.kept
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read(content: bytes) -> dict[str, Array]:
    """Returns the arrays of what `write` gave, by name.

    Raises:
        ValueError: the bytes are no such file.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"these are no arrays: {error}") from error


def episodes_of(stage: str, arrays: Mapping[str, Array]) -> Episodes:
    """Returns the episodes of a stage.

    Raises:
        KeyError: there are none.
    """
    seeds, returns, lengths, outcomes, reasons = (arrays[f"{stage}/{name}"] for name in _COLUMNS)
    return Episodes(seeds, returns, lengths, outcomes, tuple(reasons.tolist()))


def kernels_of(
    stage: str, layers: Sequence[Mapping[str, Any]], arrays: Mapping[str, Array]
) -> tuple[Kernel, ...]:
    """Returns the kernels of a stage, of which ``layers`` are the counts in ``report.json``.

    Raises:
        KeyError: a picture is missing.
    """
    return tuple(
        Kernel.from_json(layer, arrays[f"{stage}/{index}/weights"], arrays[f"{stage}/{index}/kept"])
        for index, layer in enumerate(layers)
    )
