"""Objectives: what a student is to have of its teacher's outputs.

Each has a scale, worked out from the teacher's answers once, and losses in units of it: so one
learning rate and one temperature do for returns of 1 and of 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.choices import Choices
from tfdrlprune.observations import bounds
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.score_rows import centred, logit_rows
from tfdrlprune.recipe.checks import check_choice
from tfdrlprune.recipe.teaching import CONTINUOUS_LOSSES, DISCRETE_LOSSES
from tfdrlprune.specs import Array

# A dimension of the action that the teacher hardly moves is not to outweigh the others.
_LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy to the teacher's softmax at a temperature (Rusu et al. 2016).

    Of an action of several numbers, the sum of theirs.

    Attributes:
        temperature: in units of the teacher's mean gap between its best and second score, of each
            number by itself.
        choices: of the action.
    """

    temperature: float
    choices: Choices

    def scale(self, answers: Array) -> Array:
        """Returns the temperature in units of each score, [scores]."""
        return np.maximum(self.temperature * _gaps(answers, self.choices), 1e-6).astype(np.float32)

    def losses(self, answers: Any, outputs: Any, scale: Any) -> Any:
        """Returns one loss for each state, [batch]."""
        theirs, ours = (logit_rows(each / scale, self.choices) for each in (answers, outputs))
        losses = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(theirs), ours)
        return losses if len(self.choices.counts) == 1 else tf.reduce_sum(losses, axis=-1)


@dataclass(frozen=True)
class Values:
    """Squared errors of the scores, in units of the teacher's mean gap, of each number by itself.

    Attributes:
        centred: whether only differences between actions count. What the scores have in common is
            large, decides nothing, and takes most of a small network to learn.
        choices: of the action.
    """

    centred: bool
    choices: Choices

    def scale(self, answers: Array) -> Array:
        """Returns the mean gap for each score, [scores]."""
        return np.maximum(_gaps(answers, self.choices), 1e-6).astype(np.float32)

    def losses(self, answers: Any, outputs: Any, scale: Any) -> Any:
        """Returns one loss for each state, [batch]."""
        error = (outputs - answers) / scale
        if self.centred:
            error = centred(error, self.choices)
        return tf.reduce_mean(error**2, axis=-1)


@dataclass(frozen=True)
class Action:
    """Squared errors of the action itself, in units of its spread over the teacher's states.

    Beyond a bound all means are one action: there a student that is beyond it too has no error.

    Attributes:
        tanh: whether the head squashes.
        factor: the head's, [action] or scalar.
        offset: likewise.
        low: bounds of the action, [action], infinite where there are none.
        high: likewise.
    """

    tanh: bool
    factor: Array
    offset: Array
    low: Array
    high: Array

    @staticmethod
    def of(policy: Policy) -> Action:
        """Returns the objective for a policy with continuous actions."""
        head = policy.head
        factor, offset, low, high = (
            np.asarray(each, np.float32)
            for each in (head.scale, head.offset, *bounds(policy.action_spec))
        )
        return Action(head.kind == "tanh", factor, offset, low, high)

    def scale(self, answers: Array) -> Array:
        """Returns each dimension's standard deviation, [action]."""
        moved = self._mean(np, answers) * self.factor + self.offset
        spread = np.std(np.clip(moved, self.low, self.high), axis=0)
        least = _LEAST_SPREAD * float(spread.max(initial=0.0)) + 1e-6
        return np.asarray(np.maximum(spread, least), np.float32)

    def losses(self, answers: Any, outputs: Any, scale: Any) -> Any:
        """Returns one loss for each state, [batch]."""
        theirs, ours = (
            self._mean(tf, each) * self.factor + self.offset for each in (answers, outputs)
        )
        wanted = tf.clip_by_value(theirs, self.low, self.high)
        same = ((theirs >= self.high) & (ours >= self.high)) | (
            (theirs <= self.low) & (ours <= self.low)
        )
        error = tf.where(same, tf.zeros_like(ours), (ours - wanted) / scale)
        return tf.reduce_mean(error**2, axis=-1)

    def _mean(self, library: Any, outputs: Any) -> Any:
        return library.tanh(outputs) if self.tanh else outputs


@dataclass(frozen=True)
class Mean:
    """Squared errors of the head's mean before it is squashed, in units of its spread."""

    def scale(self, answers: Array) -> Array:
        """Returns each dimension's standard deviation, [action]."""
        spread = np.std(answers, axis=0)
        return np.asarray(np.maximum(spread, _LEAST_SPREAD * spread.max() + 1e-6), np.float32)

    def losses(self, answers: Any, outputs: Any, scale: Any) -> Any:
        """Returns one loss for each state, [batch]."""
        return tf.reduce_mean(((outputs - answers) / scale) ** 2, axis=-1)


Objective = CrossEntropy | Values | Action | Mean


def objective_of(policy: Policy, loss: str, temperature: float) -> Objective:
    """Returns the objective of a name, for a teacher.

    Args:
        policy: the teacher.
        loss: for discrete actions "cross_entropy", "advantages" (scores up to what they have in
            common) or "values" (the scores); for continuous ones "action" or "mean" (before it is
            squashed); "auto" is the first of each.
        temperature: of "cross_entropy".

    Raises:
        ValueError: the policy's actions are of the other kind.
    """
    discrete = policy.head.kind == "argmax"
    known = DISCRETE_LOSSES if discrete else CONTINUOUS_LOSSES
    if loss == "auto":
        loss = known[0]
    elif loss in (*DISCRETE_LOSSES, *CONTINUOUS_LOSSES) and loss not in known:
        kind = "discrete" if discrete else "continuous"
        raise ValueError(
            f"The policy's actions are {kind}: distil_loss is one of {', '.join(known)}. "
            f"Received: {loss!r}."
        )
    check_choice("distil_loss", loss, known)
    if loss == "cross_entropy":
        return CrossEntropy(temperature, policy.action_spec.choices())
    if loss == "action":
        return Action.of(policy)
    if loss == "mean":
        return Mean()
    return Values(loss == "advantages", policy.action_spec.choices())


def _gaps(answers: Array, choices: Choices) -> Array:
    """Returns the mean gap between best and second score of each score's own number, [scores].

    1 where a number has one value.
    """
    gaps = choices.gaps(answers).mean(axis=0)
    return np.where(np.isfinite(gaps), gaps, 1.0)[choices.owners]
