"""The report of a compression: every stage as a table, as JSON, and as a page for people."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdrlprune.evidence import machine, markdown, page, sidecar, table
from tfdrlprune.evidence.bounds import declare
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.ledger import broken_by, last_safe
from tfdrlprune.evidence.stage import SMALL_DENSE, StageRow
from tfdrlprune.evidence.sweeping import curves
from tfdrlprune.evidence.sweeping.sweep_results import Robustness
from tfdrlprune.evidence.tried import Tried
from tfdrlprune.evidence.verdict import FAIL, INCONCLUSIVE, PASS
from tfdrlprune.folders import atomic_folder
from tfdrlprune.simulation import Environment

FORMAT_VERSION = 1
JSON_FILE = "report.json"
ARRAYS_FILE = "report.npz"
PAGE_FILE = "report.html"
TEXT_FILE = "report.md"


@dataclass(frozen=True)
class Report:
    """All stages of a compression, each measured on its artifact, and the verdict on the last.

    Attributes:
        stages: the dense baseline first, then by what they take away.
        requested: name of the stage that was asked for.
        final: name of the stage that is shipped: the one requested, or the last that is safe.
        in_order: whether a stage counts only if all before it passed, so that the final one could
            be chosen among them.
        small_dense: a dense network of as many parameters as the final one has left; or None.
        environment: what the artifacts ran in; None if in nothing.
        seed: of the compression.
        seeds: of the episodes.
        versions: of the packages.
        machine: on which latency was measured.
        command: that makes this report again, of the command line or as a call from Python; None
            where neither has a text.
        robustness: the final stage and a small dense network beside the baseline under
            disturbances; None if nothing was disturbed.
        tried: the candidates that the final stages were chosen from.
        rehearsal: of the dense policy's states by those that the final stages were taught on; None
            where nothing was taught, and of images.
    """

    stages: tuple[StageRow, ...]
    requested: str
    final: str
    in_order: bool
    small_dense: StageRow | None
    environment: str | None
    seed: int
    seeds: tuple[int, ...]
    versions: dict[str, str]
    machine: dict[str, Any]
    command: str | None = None
    robustness: Robustness | None = None
    tried: tuple[Tried, ...] = ()
    rehearsal: Coverage | None = None

    @staticmethod
    def of(
        rows: Sequence[StageRow],
        *,
        requested: str,
        env: Environment | None,
        seed: int,
        fallback: bool = False,
        command: str | None = None,
    ) -> Report:
        """Returns the report of measured stages.

        Args:
            rows: the baseline first; one named `SMALL_DENSE` is kept apart from the stages.
            requested: name of the stage that was asked for.
            env: what they ran in.
            seed: of the whole compression.
            fallback: whether the last stage that is safe is taken where that one is not. Then
                stages are tested in their order, else the requested one alone.
            command: that made it.
        """
        others = [row for row in rows if row.name != SMALL_DENSE]
        names = [row.name for row in others]
        if requested not in names:
            raise ValueError(f"No stage is named {requested!r}: {names}.")
        others = others[: names.index(requested) + 1]
        episodes = others[0].episodes
        return Report(
            stages=tuple(others),
            requested=requested,
            final=(last_safe(others) if fallback else None) or requested,
            in_order=fallback,
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
        """The stage that is shipped, and that the verdict is about."""
        return next(row for row in self.stages if row.name == self.final)

    @property
    def verdict(self) -> str | None:
        """``"PASS"``, ``"FAIL"`` or ``"INCONCLUSIVE"``; None where nothing could be judged."""
        own = self.judged.verdict
        if own == PASS and self.in_order and last_safe(self.stages) is None:
            # One before it has not passed, and who falls back on others has to test in order.
            return INCONCLUSIVE
        return own

    @property
    def gate(self) -> dict[str, Any]:
        """The verdict on the final stage with all that it rests on, as JSON values."""
        judged = self.judged
        found = (
            {"margin": None, "confidence": None}
            | {"episodes": 0 if judged.episodes is None else len(judged.episodes)}
            if judged.gate is None
            else judged.gate.to_json()
        )
        return {
            **{"stage": self.final, "requested": self.requested},
            "broken_by": broken_by(self.stages),
            **found,
            **{"verdict": self.verdict, "message": self.message},
        }

    def gate_of(self, stage: str) -> dict[str, Any] | None:
        """Returns the verdict on a stage as JSON values; of another than the final one its own."""
        if stage == self.final:
            return self.gate
        row = next(row for row in self.rows() if row.name == stage)
        return None if row.gate is None else {"stage": stage, **row.gate.to_json()}

    @property
    def message(self) -> str:
        """The verdict in words; where it is not about the stage that was asked for, why."""
        own = self._said_of(self.judged)
        culprit = broken_by(self.stages)
        if culprit is None or culprit == self.final:
            return own
        broken = next(row for row in self.stages if row.name == culprit)
        if self.final != self.requested:
            return (
                f"{own} {self.final} is shipped instead of {self.requested}, since {culprit} did "
                f"not pass. {culprit}: {self._said_of(broken)}"
            )
        if self.verdict != self.judged.verdict:
            return (
                f"{self.verdict}: stages are tested in order, and {culprit} did not pass, so that "
                f"{self.final} does not count. {culprit}: {self._said_of(broken)}"
            )
        # An undecided stage has broken nothing yet.
        what = "What broke it" if broken.verdict == FAIL else "Undecided since"
        return f"{own} {what}: {culprit}."

    def _said_of(self, row: StageRow) -> str:
        if row.gate is not None:
            return row.gate.message
        if row.episodes is None:
            return "No environment was given, so nothing was judged in closed loop."
        if row is self.baseline:
            return "There is one stage only, and nothing to hold it against."
        return (
            f"INCONCLUSIVE: no bounds on returns are known for {self.environment}. "
            f"{declare(self.environment)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of ``report.json``; docs/report.md says what each key is."""
        return {
            "format_version": FORMAT_VERSION,
            "stages": [row.to_json() for row in self.stages],
            "baseline": self.baseline.to_json(),
            "small_dense": None if self.small_dense is None else self.small_dense.to_json(),
            "gate": self.gate,
            "robustness": None if self.robustness is None else self.robustness.to_json(),
            "tried": [dataclasses.asdict(each) for each in self.tried],
            "rehearsal": None if self.rehearsal is None else self.rehearsal.to_json(),
            "environment": self.environment,
            "seeds": {"seed": self.seed, "episodes": list(self.seeds)},
            "versions": self.versions,
            "machine": self.machine,
            "command": self.command,
            "in_order": self.in_order,
        }

    def rows(self) -> list[StageRow]:
        """Returns all that was measured, a small dense network last."""
        return [*self.stages, *([self.small_dense] if self.small_dense else [])]

    def __str__(self) -> str:
        swept = "" if self.robustness is None else f"\n\n{curves.text(self.robustness)}"
        return f"{table.text(self.rows())}\n{self._tried()}{self.message}{swept}"

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        style = {"PASS": "bold green", "FAIL": "bold red"}.get(self.verdict or "", "bold yellow")
        message = Text(self.message, style=style)
        swept = [] if self.robustness is None else [Text(), Text(curves.text(self.robustness))]
        tried = [Text(self._tried().rstrip())] if self.tried else []
        return Group(table.Table(self.rows()), *tried, message, *swept)

    def _repr_markdown_(self) -> str:
        """Returns report.md without its heading: what a notebook shows at the end of a cell."""
        # Small headings: those of the notebook are around it.
        return markdown.render(self).partition("\n\n")[2].replace("\n## ", "\n#### ")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Prints the table where a notebook's viewer shows text, rather than every episode."""
        printer.text(str(self))

    @property
    def taught_from_scratch(self) -> bool:
        """Whether the final stage is itself what a small dense network is trained to show."""
        return any(
            each.chosen and each.route == "distil" and not each.further for each in self.tried
        )

    @property
    def rehearsed(self) -> str:
        """Which states were not rehearsed, in words; empty where that is not known."""
        found = self.rehearsal
        if found is None:
            return ""
        return (
            f"{found.uncovered:.1%} of {found.count:,} states that the dense policy visits in "
            f"fresh episodes are far from all {found.baseline_count:,} looked at of those that the "
            f"result was taught on; {found.outside:.1%} lie outside their range in some number."
        )

    def _tried(self) -> str:
        """Returns a line for each candidate, where there was more than one."""
        return "".join(f"{each}\n" for each in self.tried) if len(self.tried) > 1 else ""

    def files(self, *, plain: bool = False) -> dict[str, bytes]:
        """Returns ``report.json``, ``report.npz``, ``report.md`` and ``report.html`` by name.

        Args:
            plain: whether the page does without a script, which makes it 2 MB smaller.
        """
        arrays = sidecar.write(self.rows())
        digest = {"file": ARRAYS_FILE, "sha256": hashlib.sha256(arrays).hexdigest()}
        content = json.dumps(self.to_dict() | {"arrays": digest}, indent=2, allow_nan=False) + "\n"
        return {
            JSON_FILE: content.encode(),
            ARRAYS_FILE: arrays,
            TEXT_FILE: markdown.render(self).encode(),
            PAGE_FILE: page.render(self, plain=plain).encode(),
        }

    def write(self, folder: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes the files of `files` into a new folder, whole or not at all.

        Raises:
            FileExistsError: the folder exists and ``force`` is off, or it is no report.
        """
        with atomic_folder(folder, force=force, replaces=is_report) as partial:
            for name, content in self.files().items():
                (partial / name).write_bytes(content)


def is_report(folder: Path) -> bool:
    """Tells whether a folder is one that `Report.write` wrote."""
    return {JSON_FILE, ARRAYS_FILE, TEXT_FILE, PAGE_FILE} == {
        path.name for path in folder.iterdir()
    }


def _name(env: Environment | None) -> str | None:
    if env is None or isinstance(env, str):
        return env
    spec = getattr(env, "spec", None)
    return str(getattr(spec, "id", None) or getattr(env, "__name__", type(env).__name__))
