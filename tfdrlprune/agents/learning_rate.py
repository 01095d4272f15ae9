"""The learning rates of a run: lowered linearly, unless a callback takes over."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.agents.learner import Learner


class LearningRates:
    """Lowers the first optimizer's rate linearly over a run, unless somebody else sets it.

    All further optimizers' rates follow in proportion, whoever set the first one: a callback knows
    one optimizer only. What this remembers is kept in the learner's state, so that a resumed run
    goes on with it.
    """

    def __init__(self, learner: Learner):
        self._rates = [_rate(optimizer) for optimizer in learner.optimizers]
        self._final = learner.settings.final_learning_rate
        self._memory = learner.state.extra

    def follow(self, progress: float) -> None:
        """Sets the rates for a point of the run; ``progress`` is in [0, 1]."""
        lead, *others = self._rates
        if lead is None:
            return
        now = float(lead.numpy())
        if "learning_rates" not in self._memory:
            firsts = [None if rate is None else float(rate.numpy()) for rate in self._rates]
            self._memory["learning_rates"], self._memory["learning_rate"] = firsts, now
        first, *firsts = self._memory["learning_rates"]
        # Where it is another than the last one set here, a callback set it, and it stands.
        if self._final != 1.0 and now == self._memory["learning_rate"]:
            lead.assign(first * (1.0 - (1.0 - self._final) * progress))
            self._memory["learning_rate"] = now = float(lead.numpy())
        for rate, start in zip(others, firsts, strict=True):
            if rate is not None and first > 0.0:
                rate.assign(start * now / first)


def _rate(optimizer: Any) -> tf.Variable | None:
    """Returns an optimizer's learning rate; None of a schedule, or of a TF 1 optimizer."""
    # Keras' public name gives a variable for a schedule too; of legacy ones it does not.
    name = "_learning_rate" if hasattr(optimizer, "_learning_rate") else "learning_rate"
    rate = getattr(optimizer, name, None)
    return rate if isinstance(rate, tf.Variable) else None
