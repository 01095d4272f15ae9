"""Keras's progress bar with what matters, as it is now rather than averaged over the epoch."""

from __future__ import annotations

import sys
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


def verbosity(verbose: str | int) -> int:
    """Returns Keras's 0, 1 or 2; "auto" is 1 on a terminal, else 2."""
    return (1 if sys.stdout.isatty() else 2) if verbose == "auto" else int(verbose)


def _shown(logs: dict[str, Any] | None) -> dict[str, Any]:
    return {name: logs[name] for name in _SHOWN if logs and name in logs}
