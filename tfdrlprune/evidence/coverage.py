"""States that a candidate visits and its baseline did not. Never acceptance.

Agreement is measured where the baseline goes. A candidate that drifts into other states acts there
unobserved: this tells how often, and where it is farthest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from tfdrlprune.evidence.bounding.boxes import batch
from tfdrlprune.specs import Array, Nest, flatten

# Of the baseline's own distances: 1 % of its states are as far from all others.
_QUANTILE = 0.99
# Distances between single pixels, or among hundreds of numbers, tell nothing of being near.
_MOST_NUMBERS = 512
# A spread below this fraction of the numbers' size is rounding.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Coverage:
    """How far a candidate's states are covered by its baseline's.

    Attributes:
        count: of the candidate's states.
        baseline_count: of the baseline's.
        uncovered: share of the candidate's states that are farther than ``threshold`` from every
            state of the baseline, [0, 1].
        threshold: 99 % quantile of the baseline's own distances, in standard deviations.
        farthest: distance of the candidate's farthest state, likewise.
        observation: index of that state.
        outside: share of the candidate's states with a number below the baseline's lowest or above
            its highest, [0, 1].
        outside_numbers: for each part of the observation with such numbers, their indices in C
            order, the most frequent first.
    """

    count: int
    baseline_count: int
    uncovered: float
    threshold: float
    farthest: float
    observation: int
    outside: float
    outside_numbers: dict[str, list[int]]

    def to_json(self) -> dict[str, Any]:
        """Returns the coverage as JSON values, keys as the attributes."""
        return dataclasses.asdict(self)


def cover(
    nest: Nest,
    visited: Any,
    baseline: Any,
    *,
    held_out: Any = None,
    reference: Any = None,
    parts: Collection[str] | None = None,
) -> Coverage:
    """Returns how far the states that a candidate visits are covered by its baseline's.

    Distances are Euclidean between standardised numbers, integers included: each minus the
    baseline's mean, over its standard deviation. A number that the baseline keeps constant is
    scaled by the deviation of both policies' states, and has no part where it never moves at all.

    The baseline's own distances are those of each of its states from the nearest of its others.
    Equal states are 0 apart, so that in an environment of few states every unseen state counts.
    Moments of one episode are near each other, so that even the baseline in new episodes comes out
    with more than 1 %; ``held_out`` measures its distances between episodes instead, and with a
    ``reference`` from its states.

    Args:
        nest: the observation's specs.
        visited: states that the candidate visits in closed loop, nested, [count, ...].
        baseline: the baseline's, likewise, two at least. Below a hundred, the threshold is the
            largest of its own distances.
        held_out: further states of the baseline, of other episodes, likewise; None for none.
        reference: states that those held out are measured from, instead of the baseline's.
        parts: names of the parts of the observation that are looked at; None for all.

    Raises:
        ValueError: an image, or more than 512 numbers, are to be looked at; fewer than two states
            of the baseline; an unknown part; observations that do not fit.
        TypeError: observations of a dtype that does not fit.
    """
    names = _chosen(nest, parts)
    ours, theirs = (_numbers(nest, each, names) for each in (visited, baseline))
    if len(theirs) < 2:
        raise ValueError(
            "Coverage needs two states of the baseline at least, to know how far apart they are. "
            f"Received: {len(theirs)}. Record more."
        )
    centre, scale = theirs.mean(axis=0), _scale(theirs, ours)
    tree = cKDTree((theirs - centre) / scale)
    if held_out is None:
        own = tree.query(tree.data, k=2)[0][:, 1]
    else:
        others = baseline if reference is None else reference
        near = cKDTree((_numbers(nest, others, names) - centre) / scale)
        own = near.query((_numbers(nest, held_out, names) - centre) / scale)[0]
    threshold = float(np.quantile(own, _QUANTILE, method="higher"))
    distances = tree.query((ours - centre) / scale)[0]
    beyond = (ours < theirs.min(axis=0)) | (ours > theirs.max(axis=0))
    return Coverage(
        count=len(ours),
        baseline_count=len(theirs),
        # As near as the threshold but for rounding is near.
        uncovered=float((distances > threshold * (1 + 1e-9)).mean()),
        threshold=threshold,
        farthest=float(distances.max()),
        observation=int(distances.argmax()),
        outside=float(beyond.any(axis=1).mean()),
        outside_numbers=_named(nest, names, beyond.sum(axis=0)),
    )


def _chosen(nest: Nest, parts: Collection[str] | None) -> list[str]:
    """Returns the names of the parts to be looked at, in the nest's order."""
    specs = {leaf.name: leaf for leaf in flatten(nest)}
    if unknown := sorted(set(parts or ()) - set(specs)):
        raise ValueError(f"The observation has the parts {sorted(specs)}. Received: {unknown}.")
    names = [name for name in specs if parts is None or name in parts]
    images = [name for name in names if len(specs[name].shape) > 1 and specs[name].dtype == "uint8"]
    count = sum(int(np.prod(specs[name].shape, dtype=int)) for name in names)
    if images or not 0 < count <= _MOST_NUMBERS:
        raise ValueError(
            f"Distances tell something among up to {_MOST_NUMBERS} numbers that are no pixels. "
            f"Received: {count} numbers, images: {images}. Name the parts to be looked at, "
            f"parts=[...], of {sorted(specs)}."
        )
    return names


def _numbers(nest: Nest, observations: Any, names: list[str]) -> Array:
    """Returns the chosen parts side by side, float64 [count, numbers]."""
    leaves = batch(nest, observations)
    return np.concatenate(
        [
            leaf.reshape(len(leaf), -1).astype(np.float64)
            for spec, leaf in zip(flatten(nest), leaves, strict=True)
            if spec.name in names
        ],
        axis=1,
    )


def _scale(theirs: Array, ours: Array) -> Array:
    """Returns each number's deviation over the baseline; else over both; else 1."""
    scale: Array = np.ones(theirs.shape[1])
    for states in (np.concatenate([theirs, ours]), theirs):
        deviation = states.std(axis=0)
        moves = deviation > _CONSTANT * np.abs(states).max(axis=0)
        scale = np.where(moves, deviation, scale)
    return scale


def _named(nest: Nest, names: list[str], counts: Array) -> dict[str, list[int]]:
    found, start = {}, 0
    for spec in flatten(nest):
        if spec.name not in names:
            continue
        end = start + int(np.prod(spec.shape, dtype=int))
        part = counts[start:end]
        order = np.argsort(-part, kind="stable")
        if part.any():
            found[spec.name] = [int(index) for index in order if part[index]]
        start = end
    return found
