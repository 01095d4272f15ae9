"""Choices and results of a run for TensorBoard's HParams tab: one folder of events for each run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report

# As numbers, since a metric is one: the worse the lower.
_VERDICTS = {"PASS": 1.0, "INCONCLUSIVE": 0.0, "FAIL": -1.0}


def write(
    logs: Path, name: str, choices: Mapping[str, Any], results: Mapping[str, float], text: str = ""
) -> Path:
    """Writes a run's choices and results, and returns the folder of its events.

    Args:
        logs: TensorBoard's folder; the run is a new folder in it.
        name: of the run; a number is put behind where another run has it.
        choices: what the run was made by. Lists become texts, and None is left out.
        results: metrics of the end.
        text: Markdown for TensorBoard's text tab; empty for none.
    """
    from tfdrlprune._tf import tf

    from tensorboard.plugins.hparams import api

    folder = _free(logs, name)
    plain = {key: shown for key, value in choices.items() if (shown := _plain(value)) is not None}
    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
        # Without the list of metrics the tab takes every scalar of every run for one.
        api.hparams_config(
            hparams=[api.HParam(key) for key in plain],
            metrics=[api.Metric(key, display_name=key) for key in results],
        )
        api.hparams(plain, trial_id=folder.name)
        for key, value in results.items():
            tf.summary.scalar(key, value)
        if text:
            tf.summary.text("report", text)
    return folder


def of_report(report: Report) -> dict[str, float]:
    """Returns the metrics of a compression's final stage."""
    final = report.judged
    found: dict[str, float | None] = {
        "latency_us": final.latency_us["median"],
        "size_bytes": final.size_bytes,
        "gzip_bytes": final.gzip_bytes,
        "parameters": final.parameters,
        "nonzero": final.nonzero,
        "sparsity": final.sparsity,
        "verdict": None if report.verdict is None else _VERDICTS[report.verdict],
        "difference": None if final.gate is None else final.gate.difference,
        **of_returns(final.returns),
    }
    return {key: float(value) for key, value in found.items() if value is not None}


def of_returns(returns: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns the metrics of a ``return`` block of ``report.json``: the mean with its interval."""
    if returns is None:
        return {}
    found = {"return": returns["mean"]}
    found |= {f"return_{end}": returns[end] for end in ("ci_low", "ci_high")}
    return {key: float(value) for key, value in found.items() if value is not None}


def _plain(value: Any) -> bool | float | str | None:
    """Returns what TensorBoard takes as a choice."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    return ", ".join(map(str, value))


def _free(logs: Path, name: str) -> Path:
    """Returns a folder that is not there yet: events of two runs in one would be taken for one."""
    folder, count = logs / name, 1
    while folder.exists():
        count += 1
        folder = logs / f"{name}-{count}"
    return folder
