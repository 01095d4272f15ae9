"""What was measured of one stage of a compression, on its artifact."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfdrlprune.evidence.differences import Differences
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.stored_kernels import Kernel
from tfdrlprune.evidence.verdict import Verdict

# The stage that stands apart from the others: a dense network of as many parameters.
SMALL_DENSE = "small_dense"
# The stage that reinforcement learning has made.
FINE_TUNED = "fine_tuned"


@dataclass(frozen=True)
class StageRow:
    """What was measured of one artifact.

    Attributes:
        name: of the stage.
        precision: of the artifact.
        parameters: numbers in the file.
        nonzero: of these, how many are not zero.
        sparsity: over the kernels that the recipe may prune, in [0, 1].
        size_bytes: of the model file.
        gzip_bytes: of the model file, compressed at level 9.
        latency_us: ``median`` and ``p99`` of one action, called in a row on one core.
        agreement: share of the baseline's visited states on which both act alike (continuous
            actions: within 1 % of their range); None without a baseline.
        differences: from the baseline, in the states that it visits; None without a baseline.
        returns: the ``return`` block of ``report.json``; None without an environment.
        paired: ``difference`` to the baseline over the same seeds and
            ``probability_of_improvement`` over it, each ``{mean, ci_low, ci_high}``; None where
            nothing is judged. What decides is the gate.
        verdict: ``"PASS"``, ``"FAIL"``, ``"INCONCLUSIVE"``; None where there is nothing to judge.
        gate: the whole verdict; None where the gate could not be asked.
        episodes: behind ``returns``.
        visited: observations of the baseline, nested, [count, ...]; None of a report that was read.
        sha256: of the model file, in lower-case hexadecimal.
        kernels: in the model file, in the order they are used.
    """

    name: str
    precision: str
    parameters: int
    nonzero: int
    sparsity: float
    size_bytes: int
    gzip_bytes: int
    latency_us: Mapping[str, float]
    agreement: float | None
    differences: Differences | None = dataclasses.field(repr=False)
    returns: Mapping[str, Any] | None
    paired: Mapping[str, Any] | None
    verdict: str | None
    gate: Verdict | None = dataclasses.field(repr=False)
    episodes: Episodes | None = dataclasses.field(repr=False)
    visited: Any = dataclasses.field(repr=False)
    sha256: str = ""
    kernels: tuple[Kernel, ...] = dataclasses.field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the stage as ``report.json`` holds it."""
        return {
            "name": self.name,
            "precision": self.precision,
            "parameters": self.parameters,
            "nonzero": self.nonzero,
            "sparsity": self.sparsity,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "latency_us": dict(self.latency_us),
            "agreement": self.agreement,
            "return": None if self.returns is None else dict(self.returns),
            "paired": None if self.paired is None else dict(self.paired),
            "diagnostics": None if self.differences is None else self.differences.to_json(),
            "verdict": self.verdict,
            "gate": None if self.gate is None else self.gate.to_json(),
            "sha256": self.sha256,
            "layers": [kernel.to_json() for kernel in self.kernels],
        }

    @staticmethod
    def from_json(
        values: Mapping[str, Any], episodes: Episodes | None, kernels: tuple[Kernel, ...]
    ) -> StageRow:
        """Returns what `to_json` wrote, with what stands beside it.

        Args:
            values: of ``report.json``.
            episodes: behind ``return``.
            kernels: behind ``layers``.

        Raises:
            KeyError, TypeError: something is missing or of another kind.
        """
        differences, gate = values["diagnostics"], values["gate"]
        same = ("name", "precision", "parameters", "nonzero", "sparsity", "size_bytes")
        also = ("gzip_bytes", "latency_us", "agreement", "paired", "verdict", "sha256")
        return StageRow(
            **{name: values[name] for name in same + also},
            differences=None if differences is None else Differences.from_json(differences),
            returns=values["return"],
            gate=None if gate is None else Verdict.from_json(gate),
            episodes=episodes,
            visited=None,
            kernels=kernels,
        )
