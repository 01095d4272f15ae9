"""The return gate: raises the sparsity while returns hold, and goes back where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.schedules import ReturnGated

KEEP, RAISE, RESTORE = "keep", "raise", "restore"


@dataclass(frozen=True)
class GateState:
    """Where a return gate stands.

    Attributes:
        sparsity: asked for now.
        good_sparsity: of the last state that held.
        stride: share of the remaining weights that go at the next rise.
        failures: returns in a row that fell short.
        reference: that returns are held against; -inf while none is known.
        recent: the latest returns that held, or were dense.
    """

    sparsity: float = 0.0
    good_sparsity: float = 0.0
    stride: float = 0.3
    failures: int = 0
    reference: float = -np.inf
    recent: tuple[float, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What follows from a return.

    Attributes:
        state: the gate's, from now on.
        good: whether the model's state held, and is to be remembered.
        action: "keep"; "raise" to ``state.sparsity``; or "restore" the last good state.
    """

    state: GateState
    good: bool
    action: str


def decide(schedule: ReturnGated, state: GateState, value: float, step: int) -> Decision:
    """Returns what follows from an evaluated return; see `ReturnGated`.

    Args:
        schedule: the rule.
        state: the gate's so far.
        value: mean return of the policy as it is.
        step: optimizer steps so far.
    """
    dense = step < schedule.begin_step
    if dense or value >= state.reference - schedule.margin * abs(state.reference):
        recent = (*state.recent, value)[-schedule.window :]
        mean = float(np.mean(recent))
        reference = mean if dense else max(state.reference, mean)
        held = replace(
            state,
            recent=recent,
            reference=reference,
            failures=0,
            good_sparsity=state.sparsity,
        )
        if dense or state.sparsity >= schedule.final_sparsity:
            return Decision(held, True, KEEP)
        if state.stride < schedule.smallest_stride:
            return Decision(held, True, KEEP)
        raised = 1.0 - (1.0 - state.sparsity) * (1.0 - state.stride)
        return Decision(replace(held, sparsity=min(raised, schedule.final_sparsity)), True, RAISE)
    failures = state.failures + 1
    if failures <= schedule.patience:
        return Decision(replace(state, failures=failures), False, KEEP)
    # A state that held once and no longer does says nothing about the stride.
    risen = state.sparsity > state.good_sparsity
    stride = state.stride / 2 if risen else state.stride
    back = replace(state, failures=0, stride=stride, sparsity=state.good_sparsity)
    return Decision(back, False, RESTORE)


class ReturnGate:
    """A gate with its state, and the last good state of a model, in variables.

    Args:
        schedule: the rule.
        variables: of the model, what a good state consists of.

    Attributes:
        checkpointable: all of it, as a ``tf.train.Checkpoint``.
    """

    def __init__(self, schedule: ReturnGated, variables: Sequence[tf.Variable]):
        self.schedule = schedule
        self._variables = list(variables)
        self._good = [tf.Variable(read(each), trainable=False) for each in self._variables]
        self._numbers = tf.Variable(
            _numbers(GateState(stride=schedule.stride), schedule.window), trainable=False
        )
        self._restorable = tf.Variable(False, trainable=False)
        self.checkpointable = tf.train.Checkpoint(
            good=self._good, numbers=self._numbers, restorable=self._restorable
        )

    @property
    def state(self) -> GateState:
        """Where the gate stands."""
        sparsity, good, stride, failures, reference, *recent = read(self._numbers).tolist()
        recent = tuple(value for value in recent if not np.isnan(value))
        return GateState(sparsity, good, stride, int(failures), reference, recent)

    def see(self, value: float, step: int) -> str:
        """Takes a return; remembers or restores the model's variables; returns the action.

        After "raise" and "restore" the masks are to be brought to ``state.sparsity``.
        """
        decision = decide(self.schedule, self.state, value, step)
        if decision.good:
            for good, variable in zip(self._good, self._variables, strict=True):
                write(good, read(variable))
            write(self._restorable, np.bool_(True))
        self._keep(decision.state)
        if decision.action == RESTORE:
            self._restore()
        return decision.action

    def finish(self) -> bool:
        """Restores the last good state if the present sparsity was not seen to hold.

        Returns:
            Whether it did.
        """
        state = self.state
        doubtful = state.sparsity > state.good_sparsity or state.failures > 0
        if not doubtful or not read(self._restorable):
            return False
        self._restore()
        self._keep(replace(state, sparsity=state.good_sparsity, failures=0))
        return True

    def _restore(self) -> None:
        for good, variable in zip(self._good, self._variables, strict=True):
            write(variable, read(good))

    def _keep(self, state: GateState) -> None:
        write(self._numbers, _numbers(state, self.schedule.window))


def _numbers(state: GateState, window: int) -> np.ndarray:
    """Returns a state as float64, [5 + window]; returns that are missing are NaN."""
    missing = [np.nan] * (window - len(state.recent))
    return np.array(
        [
            *(state.sparsity, state.good_sparsity, state.stride, state.failures, state.reference),
            *state.recent,
            *missing,
        ]
    )
