"""Exit codes: what scripts rely on."""

from __future__ import annotations

from collections.abc import Iterable

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
