"""Keras's progress bar with what matters, as it is now rather than averaged over the epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf

_SHOWN = ("episode_return", "return", "sparsity", "loss", "env_step")


class Progress(tf.keras.callbacks.ProgbarLogger):
    """A progress bar on a terminal; one line an epoch elsewhere."""

    def __init__(self) -> None:
        super().__init__(count_mode="steps", stateful_metrics=_SHOWN)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the chosen logs."""
        super().on_train_batch_end(batch, _shown(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the chosen logs."""
        super().on_epoch_end(epoch, _shown(logs))


class Telling(tf.keras.callbacks.Callback):
    """Tells a function how far training is, for progress bars other than Keras's.

    Args:
        what: is being trained.
        steps: optimizer steps of the run.
        tell: called with (what and the latest return, steps done, steps).
    """

    def __init__(self, what: str, steps: int, tell: Callable[[str, int, int], None]):
        super().__init__()
        self._what, self._steps, self._tell = what, steps, tell
        self._news = ""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells the step."""
        done = min(int((logs or {}).get("step", 0)), self._steps)
        self._tell(self._what + self._news, done, self._steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the latest return."""
        if logs and "return" in logs:
            self._news = f": return {logs['return']:.1f}"


def verbosity(verbose: str | int) -> int:
    """Returns Keras's 0, 1 or 2; "auto" is 1 on a terminal, else 2."""
    # Python has None for a stream that was closed before it began.
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return (1 if terminal else 2) if verbose == "auto" else int(verbose)


def _shown(logs: dict[str, Any] | None) -> dict[str, Any]:
    return {name: logs[name] for name in _SHOWN if logs and name in logs}
