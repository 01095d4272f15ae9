"""Bounds for every observation in a box: on outputs, actions, and two artifacts' distance.

They are sound: no observation in the box, rounded as the interpreter rounds, leaves them. They are
not tight: a wide bound proves nothing bad.

Example:
    ``network = load("small/")``, ``box = boxes.of_visited(network.manifest.observation, visited)``,
    then ``bound_difference(network, load("dense/"), box, splits=8).largest_output``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfdrlprune.deployment import artifact, model_graph
from tfdrlprune.evidence.bounding.boxes import Box
from tfdrlprune.evidence.bounding.differential import Difference
from tfdrlprune.evidence.bounding.interval_results import Bounds, DifferenceBounds, Numbers
from tfdrlprune.evidence.bounding.intervals import Interval
from tfdrlprune.evidence.bounding.margins import margins, margins_apart
from tfdrlprune.evidence.bounding.pairs import check_pair
from tfdrlprune.evidence.bounding.propagation import Propagation
from tfdrlprune.specs import Array

# So many boxes go through the network at once; the widest tensors then take some megabytes.
_AT_ONCE = 256
_NAMES = ("outputs", "action")
# Dtypes of actions that hold the model's float32 as it is.
_EXACT = ("float32", "float64")


@dataclass(frozen=True, eq=False)
class Network:
    """An artifact's graph and manifest; see `load`."""

    graph: model_graph.Graph
    manifest: artifact.Manifest


def load(folder: str | os.PathLike[str]) -> Network:
    """Returns the network of an artifact.

    Raises:
        FileNotFoundError, ValueError: no artifact, or a damaged one.
    """
    manifest = artifact.read(folder)
    content = artifact.read_file(folder, manifest, artifact.MODEL_FILE)
    return Network(model_graph.read(content), manifest)


def bound(network: Network, box: Box, *, splits: int = 0) -> Bounds:
    """Returns what an artifact can give for the observations in a box.

    Args:
        network: of `load`.
        box: of observations; see `boxes`.
        splits: the box is cut into ``2**splits`` smaller ones, which makes the bounds tighter.

    Raises:
        ValueError: an operation is not known, and is named: convolutions and recurrent layers are
            not; float32 may overflow; ``splits`` is out of its range.
    """
    discrete = network.manifest.head.kind == "argmax"

    def found(low: Array, high: Array) -> dict[str, Array]:
        side = Propagation(network.graph, box.inputs(low, high))
        outputs, action = (network.graph.outputs[name] for name in _NAMES)
        ends = _ends("output", side.held(outputs))
        if discrete:
            return ends | {"choice": _choices(side)}
        return ends | _ends("action", _cast(side.held(action), network.manifest))

    total = _over(box, splits, found)
    choices = total.get("choice", np.array([-1]))
    offset = int(np.asarray(network.manifest.head.offset).ravel()[0]) if discrete else 0
    certain = bool((choices == choices[0]).all()) and choices[0] >= 0
    return Bounds(
        output_low=_numbers(total, "output_low") or (),
        output_high=_numbers(total, "output_high") or (),
        action_low=_numbers(total, "action_low"),
        action_high=_numbers(total, "action_high"),
        choice=int(choices[0]) + offset if certain else None,
        certain=float((choices >= 0).mean()) if discrete else None,
        boxes=int(total["boxes"]),
    )


def bound_difference(
    candidate: Network, baseline: Network, box: Box, *, splits: int = 0
) -> DifferenceBounds:
    """Returns how far two artifacts can be apart on the observations in a box.

    Args:
        candidate: of `load`.
        baseline: likewise, with the same observations and actions.
        box: of observations; see `boxes`.
        splits: as in `bound`.

    Raises:
        ValueError: the two do not take the same observations or give the same kind of action; as
            `bound`.
    """
    check_pair(candidate.manifest, baseline.manifest)
    discrete = candidate.manifest.head.kind == "argmax"
    alike = []

    def found(low: Array, high: Array) -> dict[str, Array]:
        ours, theirs = (
            Propagation(each.graph, box.inputs(low, high)) for each in (candidate, baseline)
        )
        apart = Difference(ours, theirs)
        outputs, action = (
            (candidate.graph.outputs[name], baseline.graph.outputs[name]) for name in _NAMES
        )
        ends = _ends("output", apart.of(*outputs))
        if discrete:
            gaps = margins_apart(apart, ours.scores(), theirs.scores())
            ends |= {"ours": _choices(ours), "theirs": _choices(theirs)} | _ends("gap", gaps)
        elif all(each.manifest.action.dtype in _EXACT for each in (candidate, baseline)):
            ends |= _ends("action", apart.of(*action))
        else:
            # Integers, and halves, are rounded at the very end, each for itself.
            p = _cast(ours.held(action[0]), candidate.manifest)
            ends |= _ends("action", p - _cast(theirs.held(action[1]), baseline.manifest))
        alike.append(apart.alike)
        return ends

    total = _over(box, splits, found)
    same = other = None
    if discrete:
        ours, theirs = total["ours"], total["theirs"]
        both = (ours >= 0) & (theirs >= 0)
        same, other = (float((both & each).mean()) for each in (ours == theirs, ours != theirs))
    low, high, action_low, action_high = (
        _numbers(total, name) for name in ("output_low", "output_high", "action_low", "action_high")
    )
    return DifferenceBounds(
        output_low=low or (),
        output_high=high or (),
        largest_output=_largest(low, high) or 0.0,
        largest_gap=_largest(_numbers(total, "gap_low"), _numbers(total, "gap_high")),
        action_low=action_low,
        action_high=action_high,
        largest_action=_largest(action_low, action_high),
        same_choice=same,
        other_choice=other,
        differential=all(alike),
        boxes=int(total["boxes"]),
    )


def _over(
    box: Box, splits: int, found: Callable[[Array, Array], dict[str, Array]]
) -> dict[str, Array]:
    """Returns what is found in the parts of a box: the outermost ends, and the rest of all parts.

    Args:
        box: to be cut.
        splits: how often.
        found: from boxes [boxes, numbers] to ``..._low`` and ``..._high`` [boxes, n], and more.
    """

    def in_parts(low: Array, high: Array) -> dict[str, Array]:
        parts = [
            found(low[start : start + _AT_ONCE], high[start : start + _AT_ONCE])
            for start in range(0, len(low), _AT_ONCE)
        ]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def widths(low: Array, high: Array) -> Array:
        ends = in_parts(low, high)
        # Of scores only their distances matter.
        name = "gap" if "gap_high" in ends else "output"
        total: Array = (ends[f"{name}_high"] - ends[f"{name}_low"]).sum(axis=1)
        return total

    low, high = box.cut(splits, widths)
    total = in_parts(low, high)
    for key in total:
        if key.endswith("_low"):
            total[key] = total[key].min(axis=0)
        elif key.endswith("_high"):
            total[key] = total[key].max(axis=0)
    return total | {"boxes": np.array(len(low))}


def _choices(side: Propagation) -> Array:
    """Returns the index that is certainly chosen in each box, -1 where none is."""
    apart = margins(side, side.scores())
    count = apart.shape[-1]
    beaten = (apart > 0) | np.eye(count, dtype=bool)
    winner: Array = np.where(beaten.all(axis=-1).any(axis=-1), beaten.all(axis=-1).argmax(-1), -1)
    return winner


def _cast(action: Interval, manifest: artifact.Manifest) -> Interval:
    """Returns the action in the environment's dtype, as the runtime gives it."""
    dtype = np.dtype(manifest.action.dtype)
    return Interval(*(end.astype(dtype).astype(np.float64) for end in (action.low, action.high)))


def _ends(name: str, found: Interval) -> dict[str, Array]:
    flat = found.reshaped((found.low[0].size,))
    return {f"{name}_low": flat.low, f"{name}_high": flat.high}


def _numbers(total: dict[str, Array], name: str) -> Numbers | None:
    return tuple(map(float, total[name])) if name in total else None


def _largest(low: Numbers | None, high: Numbers | None) -> float | None:
    return None if low is None or high is None else max(map(abs, (*low, *high)))
