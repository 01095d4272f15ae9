"""The report of a compression: every stage as a table, as JSON, and as a page for people."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdrlprune.evidence import machine, page, table
from tfdrlprune.evidence.ledger import StageRow
from tfdrlprune.folders import atomic_folder
from tfdrlprune.simulation import Environment

JSON_FILE = "report.json"
PAGE_FILE = "report.html"
SMALL_DENSE = "small_dense"


@dataclass(frozen=True)
class Report:
    """All stages of a compression, each measured on its artifact, and the verdict on the last.

    Attributes:
        stages: the dense baseline first.
        final: name of the stage that is judged.
        small_dense: a dense network of as many parameters as the final one has left; or None.
        environment: what the artifacts ran in; None if in nothing.
        seed: of the compression.
        seeds: of the episodes.
        versions: of the packages.
        machine: on which latency was measured.
        command: that makes this report again; None if it was made from Python.
    """

    stages: tuple[StageRow, ...]
    final: str
    small_dense: StageRow | None
    environment: str | None
    seed: int
    seeds: tuple[int, ...]
    versions: dict[str, str]
    machine: dict[str, Any]
    command: str | None = None

    @staticmethod
    def of(
        rows: Sequence[StageRow],
        *,
        final: str,
        env: Environment | None,
        seed: int,
        command: str | None = None,
    ) -> Report:
        """Returns the report of measured stages.

        Args:
            rows: the baseline first; one named ``"small_dense"`` is kept apart from the stages.
            final: name of the stage that the verdict is about.
            env: what they ran in.
            seed: of the whole compression.
            command: that made it.
        """
        others = [row for row in rows if row.name != SMALL_DENSE]
        if final not in [row.name for row in others]:
            raise ValueError(f"No stage is named {final!r}: {[row.name for row in others]}.")
        episodes = others[0].episodes
        return Report(
            stages=tuple(others),
            final=final,
            small_dense=next((row for row in rows if row.name == SMALL_DENSE), None),
            environment=_name(env),
            seed=seed,
            seeds=() if episodes is None else tuple(int(each) for each in episodes.seeds),
            versions=machine.versions(),
            machine=machine.description(),
            command=command,
        )

    @property
    def baseline(self) -> StageRow:
        """The dense stage."""
        return self.stages[0]

    @property
    def judged(self) -> StageRow:
        """The stage that the verdict is about."""
        return next(row for row in self.stages if row.name == self.final)

    @property
    def verdict(self) -> str | None:
        """``"PASS"``, ``"FAIL"`` or ``"INCONCLUSIVE"``; None where nothing could be judged."""
        return self.judged.verdict

    @property
    def gate(self) -> dict[str, Any]:
        """The gate's verdict on the final stage, as JSON values."""
        judged = self.judged
        if judged.gate is not None:
            return {"stage": self.final, **judged.gate.to_json()}
        reason = (
            "No environment was given, so nothing was judged in closed loop."
            if judged.episodes is None
            else "There is one stage only, and nothing to hold it against."
            if judged is self.baseline
            else f"INCONCLUSIVE: no bounds on returns are known for {self.environment}. Declare "
            "them: --return-bounds LOW HIGH."
        )
        episodes = 0 if judged.episodes is None else len(judged.episodes)
        return {
            **{"stage": self.final, "verdict": judged.verdict, "margin": None},
            **{"confidence": None, "episodes": episodes, "message": reason},
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of ``report.json``."""
        return {
            "stages": [row.to_json() for row in self.stages],
            "baseline": self.baseline.to_json(),
            "small_dense": None if self.small_dense is None else self.small_dense.to_json(),
            "gate": self.gate,
            "environment": self.environment,
            "seeds": {"seed": self.seed, "episodes": list(self.seeds)},
            "versions": self.versions,
            "machine": self.machine,
            "command": self.command,
        }

    def rows(self) -> list[StageRow]:
        """Returns all that was measured, a small dense network last."""
        return [*self.stages, *([self.small_dense] if self.small_dense else [])]

    def __str__(self) -> str:
        return f"{table.text(self.rows())}\n{self.gate['message']}"

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        style = {"PASS": "bold green", "FAIL": "bold red"}.get(self.verdict or "", "bold yellow")
        message = Text(self.gate["message"], style=style)
        return Group(table.Ledger(self.rows()), message)

    def files(self) -> dict[str, bytes]:
        """Returns ``report.json`` and ``report.html`` by name."""
        content = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        return {JSON_FILE: content.encode(), PAGE_FILE: page.render(self).encode()}

    def write(self, folder: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes ``report.json`` and ``report.html`` into a new folder, whole or not at all.

        Raises:
            FileExistsError: the folder exists and ``force`` is off, or it is no report.
        """
        with atomic_folder(folder, force=force, replaces=is_report) as partial:
            for name, content in self.files().items():
                (partial / name).write_bytes(content)


def is_report(folder: Path) -> bool:
    """Tells whether a folder is one that `Report.write` wrote."""
    return {JSON_FILE, PAGE_FILE} == {path.name for path in folder.iterdir()}


def _name(env: Environment | None) -> str | None:
    if env is None or isinstance(env, str):
        return env
    spec = getattr(env, "spec", None)
    return str(getattr(spec, "id", None) or getattr(env, "__name__", type(env).__name__))
