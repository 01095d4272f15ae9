"""Where two policies act alike on the same states, and how far they are apart. Never acceptance.

Whether a policy is good enough is for the gate, by returns: a policy that agrees on 63 % of the
states may lose nothing, one that agrees on 92 % may lose much. These numbers say where to look.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune import runtime
from tfdrlprune.choices import Choices
from tfdrlprune.deployment import artifact
from tfdrlprune.evidence.bounding.boxes import batch
from tfdrlprune.evidence.bounding.pairs import check_pair
from tfdrlprune.specs import Array, pack_like

# A continuous action agrees if it is this near, as a fraction of its range.
_NEAR = 0.01


@dataclass(frozen=True)
class Quantiles:
    """Of one number for each state: what half, 90 % and 99 % of the states stay at or below.

    Attributes:
        p50: the median.
        p90: the 90 % quantile, between two states linearly interpolated.
        p99: the 99 % quantile, likewise.
        largest: over all states.
    """

    p50: float
    p90: float
    p99: float
    largest: float

    @staticmethod
    def of(values: Array) -> Quantiles:
        """Returns the quantiles of [states], at least one."""
        return Quantiles(*(float(q) for q in np.quantile(values, (0.5, 0.9, 0.99, 1.0))))


@dataclass(frozen=True)
class Flips:
    """States in which an argmax head chooses another action than the baseline, and what it costs.

    The loss in a state is the baseline's score of its own choice minus its score of the
    candidate's, in the scores' units; 0 where both choose the same. The score of an action of
    several numbers is the sum of theirs. Relative losses are in units of
    ``gap_mean``, so 1 is the price of taking the second best action in an average state. They are
    None where the baseline never prefers one action to another.

    Attributes:
        share: of the states with another choice, [0, 1].
        gap_mean: mean over all states of the baseline's best score minus its second best; 0 where
            there is one action only.
        loss_mean: mean loss over all states, those without a flip included.
        loss_largest: the largest loss.
        loss_mean_relative: ``loss_mean / gap_mean``.
        loss_largest_relative: ``loss_largest / gap_mean``.
        observation: index of the state with the largest loss.
    """

    share: float
    gap_mean: float
    loss_mean: float
    loss_largest: float
    loss_mean_relative: float | None
    loss_largest_relative: float | None
    observation: int


@dataclass(frozen=True)
class Deviation:
    """How far continuous actions are apart, as a fraction of their range, largest dimension.

    The range is the action's bounds, or, where it has none, what the baseline spans. A dimension
    that has neither, as the baseline never moves there, has no fraction and is left out of them.

    Attributes:
        fraction: quantiles over the states; None where no dimension has a range.
        value: of the action that is farthest off, the distance in the action's own units.
        observation: index of its state.
        dimension: its number among the action's, in C order.
    """

    fraction: Quantiles | None
    value: float
    observation: int
    dimension: int


@dataclass(frozen=True)
class Diagnostics:
    """A candidate beside its baseline on the same states.

    Attributes:
        count: of the states.
        agreement: share on which both act alike, [0, 1]; see `agreement`.
        flips: of an argmax head; None for continuous actions.
        deviation: of continuous actions; None for an argmax head.
        outputs: how far the raw outputs are apart, the farthest output of each state counting, in
            their own units.
        centred_outputs: the same after each state's mean score is taken from its scores (of several
            numbers each by itself), which decides nothing, and which the exporter changes for int8;
            None for continuous actions.
    """

    count: int
    agreement: float
    flips: Flips | None
    deviation: Deviation | None
    outputs: Quantiles
    centred_outputs: Quantiles | None

    def to_json(self) -> dict[str, Any]:
        """Returns the diagnostics as JSON values, keys as the attributes."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Diagnostics:
        """Returns what `to_json` wrote.

        Raises:
            KeyError, TypeError: something is missing or of another kind.
        """
        flips, deviation, centred = (
            values[name] for name in ("flips", "deviation", "centred_outputs")
        )
        if deviation is not None:
            fraction = deviation["fraction"] and Quantiles(**deviation["fraction"])
            deviation = Deviation(**{**deviation, "fraction": fraction})
        return Diagnostics(
            count=values["count"],
            agreement=values["agreement"],
            flips=flips and Flips(**flips),
            deviation=deviation,
            outputs=Quantiles(**values["outputs"]),
            centred_outputs=centred and Quantiles(**centred),
        )


def diagnose(candidate: runtime.Policy, baseline: runtime.Policy, observations: Any) -> Diagnostics:
    """Returns how far a candidate acts as its baseline does, in the states given.

    Args:
        candidate: an artifact, loaded.
        baseline: likewise, with the same observations and actions.
        observations: states that one of them visits, nested, [count, ...]; `record_observations`
            gives them.

    Raises:
        ValueError: the two take other observations or give other actions; there are no
            observations, or they do not fit; an output is NaN or infinite.
        TypeError: observations of a dtype that does not fit.
    """
    check_pair(candidate.manifest, baseline.manifest)
    given = pack_like(
        baseline.manifest.observation, list(batch(baseline.manifest.observation, observations))
    )
    ours, theirs = (
        _finite(name, each.outputs(given))
        for name, each in (("candidate", candidate), ("baseline", baseline))
    )
    actions, others = (np.asarray(each.action(given)) for each in (candidate, baseline))
    discrete = baseline.manifest.head.kind == "argmax"
    flips = deviation = centred = None
    if discrete:
        choices = baseline.manifest.action.choices()
        chosen = _indices(actions, candidate), _indices(others, baseline)
        flips = _flips(*chosen, theirs, choices)
        centred = _apart(*map(choices.centred, (ours, theirs)))
    else:
        deviation = _deviation(actions, others, baseline.manifest)
    return Diagnostics(
        count=len(others),
        agreement=agreement(actions, others, baseline.manifest),
        flips=flips,
        deviation=deviation,
        outputs=_apart(ours, theirs),
        centred_outputs=centred,
    )


def agreement(actions: Array, others: Array, manifest: artifact.Manifest) -> float:
    """Returns the share of equal actions; continuous ones may differ by 1 % of their range.

    The range is the action's bounds, or, where it has none, what ``others`` span.

    Args:
        actions: [count, *shape].
        others: likewise.
        manifest: says what an action is.
    """
    if manifest.head.kind == "argmax":
        equal = actions == others
    else:
        apart = np.abs(actions.astype(np.float64) - others)
        equal = apart <= _NEAR * _ranges(others, manifest)
    return float(equal.reshape(len(actions), -1).all(axis=1).mean())


def _ranges(others: Array, manifest: artifact.Manifest) -> Array:
    """Returns each dimension's range: between its bounds, or, without, what the baseline spans."""
    low, high = (
        bound.reshape(manifest.action.shape) for bound in _observations.bounds(manifest.action)
    )
    bounded = np.isfinite(low) & np.isfinite(high)
    span = np.where(bounded, high, 0.0) - np.where(bounded, low, 0.0)
    ranges: Array = np.where(bounded, span, np.ptp(others.astype(np.float64), axis=0))
    return ranges


def _indices(actions: Array, policy: runtime.Policy) -> Array:
    """Returns the index of the chosen score of each number of the action, [count, numbers]."""
    offset = np.asarray(policy.manifest.head.offset).astype(np.int64)
    indices: Array = actions.reshape(len(actions), -1).astype(np.int64) - offset
    return indices


def _flips(ours: Array, theirs: Array, scores: Array, choices: Choices) -> Flips:
    """Returns what other choices cost by the baseline's scores.

    Args:
        ours: the candidate's indices, [count, numbers].
        theirs: the baseline's.
        scores: the baseline's, [count, scores].
        choices: of the action.
    """
    # Both of a tie are the best: what argmax takes of them costs nothing, and never less.
    apart = choices.taken(scores, theirs) - choices.taken(scores, ours)
    loss = np.maximum(apart, 0.0).sum(axis=1)
    # The second best action differs in one number.
    gaps = choices.gaps(scores).min(axis=1)
    gap = float(gaps.mean()) if np.isfinite(gaps).all() else 0.0
    mean, largest = float(loss.mean()), float(loss.max())
    return Flips(
        share=float((ours != theirs).any(axis=1).mean()),
        gap_mean=gap,
        loss_mean=mean,
        loss_largest=largest,
        loss_mean_relative=mean / gap if gap > 0 else None,
        loss_largest_relative=largest / gap if gap > 0 else None,
        observation=int(loss.argmax()),
    )


def _deviation(actions: Array, others: Array, manifest: artifact.Manifest) -> Deviation:
    apart = np.abs(actions.astype(np.float64) - others).reshape(len(others), -1)
    ranges = _ranges(others, manifest).ravel()
    ranged = ranges > 0
    fractions = apart[:, ranged] / ranges[ranged]
    # Without any range only the distance itself can say which is farthest.
    judged, numbers = (
        (fractions, np.flatnonzero(ranged)) if ranged.any() else (apart, np.arange(apart.shape[1]))
    )
    observation, column = np.unravel_index(int(judged.argmax()), judged.shape)
    dimension = int(numbers[column])
    return Deviation(
        fraction=Quantiles.of(fractions.max(axis=1)) if ranged.any() else None,
        value=float(apart[observation, dimension]),
        observation=int(observation),
        dimension=dimension,
    )


def _apart(ours: Array, theirs: Array) -> Quantiles:
    return Quantiles.of(np.abs(ours - theirs).max(axis=1))


def _finite(name: str, outputs: Array) -> Array:
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The outputs of the {name} are finite. Received NaN or infinity for "
            f"{len(bad)} of {len(outputs)} observations, the first being {bad[0]}. "
            "Export the policy again."
        )
    return outputs.astype(np.float64)
