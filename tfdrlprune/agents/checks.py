"""Checks of what a trainer is given, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.agents.evaluation import EvaluationCallback

WEIGHTS_ONLY = (
    "A trainer holds an agent, which Keras cannot save as a model or as .h5. Save weights in "
    "TensorFlow's format: ModelCheckpoint(path, save_weights_only=True) or "
    "trainer.save_weights(path), with a path that does not end in .h5 or .keras."
)


def refuse_averages(optimizers: Sequence[Any]) -> None:
    """Raises ValueError where an optimizer would put averages in the weights' place."""
    if any(getattr(each, "use_ema", False) for each in optimizers):
        raise ValueError(
            "Keras puts an optimizer's averages in the weights' place at the end of fit, which the "
            "steps of an agent don't know. Received: an optimizer with use_ema=True. Leave it out."
        )


def refuse_gates_without_returns(callbacks: Sequence[Any]) -> None:
    """Raises ValueError where a gate would wait for returns that no callback before it can give.

    One that neither Keras nor we wrote may.
    """
    for index, callback in enumerate(callbacks):
        known = [type(each).__module__.split(".")[0] for each in callbacks[:index]]
        foreign = any(module not in ("tf_keras", "tfdrlprune") for module in known)
        evaluated = any(isinstance(each, EvaluationCallback) for each in callbacks[:index])
        if getattr(callback, "needs_return", False) and not (foreign or evaluated):
            raise ValueError(
                "A return-gated schedule looks at 'return' in the log. Put "
                "tp.EvaluationCallback() before the PruningCallback."
            )


def refuse_full_models(callbacks: Sequence[Any]) -> None:
    """Raises ValueError where a callback would save a trainer as a model."""
    for callback in callbacks:
        if isinstance(callback, tf.keras.callbacks.ModelCheckpoint) and (
            not callback.save_weights_only or str(callback.filepath).endswith((".h5", ".keras"))
        ):
            raise ValueError(WEIGHTS_ONLY)
