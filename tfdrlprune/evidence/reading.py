"""A report as it was written: read back whole, so that its page can be made anew."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfdrlprune.evidence import sidecar
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.report import ARRAYS_FILE, FORMAT_VERSION, JSON_FILE, Report
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.sweeping.sweep_results import Robustness
from tfdrlprune.evidence.tried import Tried
from tfdrlprune.specs import Array


def read(folder: str | os.PathLike[str]) -> Report:
    """Returns the report in a folder, as `Report.files` wrote it.

    Raises:
        FileNotFoundError: there is none, or its arrays are gone.
        ValueError: it is damaged, not ours, or of another format.
    """
    path = Path(folder, JSON_FILE)
    value = _json(path)
    try:
        arrays = _arrays(Path(folder, ARRAYS_FILE), value["arrays"]["sha256"])
        return _report(value, arrays)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is damaged: {reason}. Compress the policy again.") from None


def _json(path: Path) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{path.parent} holds no report: expected a folder with {JSON_FILE}, as `tfdrlprune "
            "compress` writes it."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged: {error}. It was cut or changed; compress the policy again."
        ) from None
    if not isinstance(value, dict) or not {"stages", "gate"} <= set(value):
        raise ValueError(
            f"{path} is no report of tfdrlprune: expected an object with stages and gate. Name the "
            "folder that `tfdrlprune compress` wrote."
        )
    if (version := value.get("format_version")) != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {version}, and this tfdrlprune reads {FORMAT_VERSION}. "
            "Install a tfdrlprune that knows it, or compress the policy again."
        )
    return value


def _arrays(path: Path, sha256: str) -> dict[str, Array]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing, which holds the episodes and pictures of {JSON_FILE}. Copy it "
            "there, or compress the policy again."
        ) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{ARRAYS_FILE} beside it is another report's, or was cut or changed")
    return sidecar.read(content)


def _report(value: Mapping[str, Any], arrays: Mapping[str, Array]) -> Report:
    small, swept = value["small_dense"], value["robustness"]
    return Report(
        stages=tuple(_row(each, arrays) for each in value["stages"]),
        requested=value["gate"]["requested"],
        final=value["gate"]["stage"],
        in_order=value["in_order"],
        small_dense=None if small is None else _row(small, arrays),
        environment=value["environment"],
        seed=value["seeds"]["seed"],
        seeds=tuple(value["seeds"]["episodes"]),
        versions=value["versions"],
        machine=value["machine"],
        command=value["command"],
        robustness=None if swept is None else Robustness.from_json(swept),
        tried=tuple(Tried(**each) for each in value["tried"]),
        rehearsal=None if value.get("rehearsal") is None else Coverage(**value["rehearsal"]),
    )


def _row(stage: Mapping[str, Any], arrays: Mapping[str, Array]) -> StageRow:
    name = stage["name"]
    played = stage["return"] is not None
    return StageRow.from_json(
        stage,
        sidecar.episodes_of(name, arrays) if played else None,
        sidecar.kernels_of(name, stage["layers"], arrays),
    )
