"""Exit codes: what scripts rely on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfdrlprune.evidence.verdict import Verdict

DONE = 0
UNEXPECTED = 1
BAD_INPUT = 2
FAIL = 3
INCONCLUSIVE = 4
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
TERMINATED = 143  # 128 + SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM: another process asks for what Ctrl-C asks for, so whoever minds one minds both."""


def of_verdicts(verdicts: Iterable[str | None]) -> int:
    """Returns the exit code for the gate's verdicts: the worst of them.

    Example:
        >>> of_verdicts(["PASS", None]), of_verdicts(["INCONCLUSIVE", "FAIL"])
        (0, 3)
    """
    said = set(verdicts)
    return FAIL if "FAIL" in said else INCONCLUSIVE if "INCONCLUSIVE" in said else DONE


def how_to_decide(verdict: Verdict | None) -> str:
    """Returns the options that a verdict was missing; empty unless more episodes would decide.

    How many more there are to be is an estimate, so twice as many are offered; the gate may look
    after every one of them.
    """
    if verdict is None or verdict.verdict != "INCONCLUSIVE" or not verdict.episodes_needed:
        return ""
    most = 100 * math.ceil((verdict.episodes + 2 * verdict.episodes_needed) / 100)
    return f"To decide it: --until-decided --episodes {most} (it ends as soon as the gate has)."
