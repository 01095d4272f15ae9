"""Selection: which units of a dependency graph go, given a score for each."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfdrlprune.recipe.checks import check_choice, check_count, check_sparsity
from tfdrlprune.specs import Array
from tfdrlprune.structure.costs import savings
from tfdrlprune.structure.graph import Graph, Group

SHARES = ("layer", "global", "latency")
COUNTS = ("units", "parameters")


def select(
    graph: Graph,
    scores: Mapping[str, Array],
    sparsity: float,
    *,
    share: str = "layer",
    of: str = "units",
    multiple: int = 1,
    least: int = 1,
) -> dict[str, Array]:
    """Returns the indices of the units that go, ascending, by group; as `shrink` takes them.

    In every group those with the lowest scores go, of equal ones the first. Units that may not go
    stay, and of every layer the ``least`` with the highest scores. What goes in total is as near to
    what was asked as whole units allow.

    Args:
        graph: of the model.
        scores: [units] for each group, from `structure.scores`.
        sparsity: the fraction that goes, in [0, 1): of the units that may go, or of the model's
            parameters.
        share: "layer" takes the same fraction of every group; "global" compares scores across
            groups, each divided by its group's mean; "latency" divides those by the multiply-adds
            that the unit saves.
        of: "units" or "parameters".
        multiple: what stays of a group is rounded up to a multiple of it, such as 8 or 16.
        least: units of each layer that stay, 1 or more.

    Raises:
        ValueError: an argument is out of range, scores do not fit the graph, or so many parameters
            cannot go; says how many can.
    """
    check_sparsity(sparsity)
    check_choice("share", share, SHARES)
    check_choice("of", of, COUNTS)
    for name, value in (("multiple", multiple), ("least", least)):
        check_count(name, value)
    queues = [_queue(graph, group, scores, least) for group in graph.groups if group.free.any()]
    states = _by_layer(queues) if share == "layer" else _by_score(graph, queues, share)

    def removed(state: tuple[int, ...]) -> list[Array]:
        return [q.first(count, multiple) for q, count in zip(queues, state, strict=True)]

    def gone(state: tuple[int, ...]) -> float:
        if of == "units":  # before rounding, which takes back some
            return sum(state)
        units = [q.group.units[each] for q, each in zip(queues, removed(state), strict=True)]
        return graph.parameters() - graph.parameters(np.concatenate([np.array([], int), *units]))

    total = sum(int(q.group.free.sum()) for q in queues) if of == "units" else graph.parameters()
    target = sparsity * total
    if of == "parameters" and gone(states[-1]) < target:
        raise ValueError(
            f"At most {gone(states[-1]) / total:.3g} of the parameters can go. Received: "
            f"sparsity={sparsity!r}. Lower it, or round the widths less."
        )
    index = min(bisect_left(states, target, key=gone), len(states) - 1)
    if index and target - gone(states[index - 1]) < gone(states[index]) - target:
        index -= 1
    chosen = zip(queues, removed(states[index]), strict=True)
    return {q.group.name: each for q, each in chosen if each.size}


@dataclass(frozen=True, eq=False)
class _Queue:
    """A group's units in the order in which they go; those that stay are not in it."""

    group: Group
    scores: Array
    order: Array

    def first(self, count: int, multiple: int) -> Array:
        """Returns the indices of the units that go when so many may, ascending."""
        size = len(self.group.units)
        stay = min(size, math.ceil((size - count) / multiple) * multiple)
        return np.sort(self.order[: size - stay])


def _queue(graph: Graph, group: Group, scores: Mapping[str, Array], least: int) -> _Queue:
    given = np.asarray(scores.get(group.name, ()), np.float64)
    if given.shape != group.units.shape or not np.isfinite(given).all():
        raise ValueError(
            f"Scores of {group.name} are {len(group.units)} finite numbers, one for each unit. "
            f"Received: {given.shape if group.name in scores else 'none'}."
        )
    best = {
        int(i)
        for ids in (np.searchsorted(group.units, graph.made[name]) for name in group.layers)
        for i in sorted(ids, key=lambda i: -given[i])[:least]
    }
    free = [i for i in np.flatnonzero(group.free) if int(i) not in best]
    return _Queue(group, given, np.array(sorted(free, key=lambda i: given[i]), int))


def _by_layer(queues: list[_Queue]) -> list[tuple[int, ...]]:
    """Returns how many units of each group go at every fraction at which one more does."""
    sizes = [int(queue.group.free.sum()) for queue in queues]
    fractions = sorted({0.0} | {(i + 0.5) / size for size in sizes for i in range(size)})
    states = []
    for fraction in fractions:
        counts = (math.floor(fraction * size + 0.5 + 1e-9) for size in sizes)
        states.append(tuple(min(c, len(q.order)) for c, q in zip(counts, queues, strict=True)))
    return states


def _by_score(graph: Graph, queues: list[_Queue], share: str) -> list[tuple[int, ...]]:
    """Returns how many units of each group go, from none to all, one more at a time."""
    saved = savings(graph) if share == "latency" else {}
    offers = []
    for number, queue in enumerate(queues):
        mean = queue.scores.mean() or 1.0
        worth = queue.scores / mean / np.maximum(1, saved.get(queue.group.name, 1))
        # A unit goes after those before it in its group, whatever it costs.
        worth = np.maximum.accumulate(worth[queue.order]) if len(queue.order) else queue.order
        offers += [(float(value), number, place) for place, value in enumerate(worth)]
    state = [0] * len(queues)
    states = [tuple(state)]
    for _, number, _ in sorted(offers):
        state[number] += 1
        states.append(tuple(state))
    return states
