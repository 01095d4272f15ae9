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
            return ends | {"choice": _chosen(side, network.manifest)}
        return ends | _ends("action", _cast(side.held(action), network.manifest))

    total = _over(box, splits, found)
    chosen = total.get("choice", np.array([[-1]]))
    certain = (chosen >= 0).all(axis=1)
    return Bounds(
        output_low=_numbers(total, "output_low") or (),
        output_high=_numbers(total, "output_high") or (),
        action_low=_numbers(total, "action_low"),
        action_high=_numbers(total, "action_high"),
        choice=_same(chosen, network.manifest) if certain.all() else None,
        certain=float(certain.mean()) if discrete else None,
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
    alike = []

    def found(low: Array, high: Array) -> dict[str, Array]:
        ours, theirs = (
            Propagation(each.graph, box.inputs(low, high)) for each in (candidate, baseline)
        )
        apart = Difference(ours, theirs)
        ends = _ends_apart(apart, (ours, candidate), (theirs, baseline))
        alike.append(apart.alike)  # which is known only now
        return ends

    total = _over(box, splits, found)
    same = other = None
    if "ours" in total:
        ours, theirs = total["ours"], total["theirs"]
        both = (ours >= 0) & (theirs >= 0)
        same = float((both & (ours == theirs)).all(axis=1).mean())
        other = float((both & (ours != theirs)).any(axis=1).mean())
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


def _ends_apart(
    apart: Difference, one: tuple[Propagation, Network], other: tuple[Propagation, Network]
) -> dict[str, Array]:
    """Returns the ends of all that two artifacts differ in, and of argmax heads what they choose.

    Args:
        apart: of the two.
        one: the candidate with what is propagated through it.
        other: the baseline, likewise.
    """
    (ours, candidate), (theirs, baseline) = one, other
    outputs, action = (
        (candidate.graph.outputs[name], baseline.graph.outputs[name]) for name in _NAMES
    )
    ends = _ends("output", apart.of(*outputs))
    if candidate.manifest.head.kind == "argmax":
        owners = candidate.manifest.action.choices().owners
        gaps = margins_apart(apart, ours.scores(), theirs.scores())
        ends |= _ends("gap", _where(owners[:, None] == owners, gaps))
        ends |= {"ours": _chosen(ours, candidate.manifest)}
        return ends | {"theirs": _chosen(theirs, baseline.manifest)}
    if all(each.manifest.action.dtype in _EXACT for each in (candidate, baseline)):
        return ends | _ends("action", apart.of(*action))
    # Integers, and halves, are rounded at the very end, each for itself.
    p = _cast(ours.held(action[0]), candidate.manifest)
    return ends | _ends("action", p - _cast(theirs.held(action[1]), baseline.manifest))


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


def _chosen(side: Propagation, manifest: artifact.Manifest) -> Array:
    """Returns the index that is certainly chosen in each box for each number, -1 where none is."""
    apart = margins(side, side.scores())
    found = []
    for own in manifest.action.choices().slices:
        among = apart[:, own, own]
        wins = ((among > 0) | np.eye(among.shape[-1], dtype=bool)).all(axis=-1)
        found.append(np.where(wins.any(axis=-1), wins.argmax(axis=-1), -1))
    return np.stack(found, axis=1)


def _same(chosen: Array, manifest: artifact.Manifest) -> int | tuple[int, ...] | None:
    """Returns the action of indices [boxes, numbers], if they are the same in all boxes."""
    if not (chosen == chosen[0]).all():
        return None
    action = chosen[0] + np.asarray(manifest.head.offset).astype(int)
    numbers = tuple(int(each) for each in action)
    return numbers if len(numbers) > 1 else numbers[0]


def _where(mask: Array, found: Interval) -> Interval:
    return Interval(np.where(mask, found.low, 0.0), np.where(mask, found.high, 0.0))


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
