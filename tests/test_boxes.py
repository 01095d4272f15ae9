"""Boxes of observations, and the smaller boxes inside them."""

from __future__ import annotations

import numpy as np
import pytest

from tfdrlprune.evidence.bounding import boxes
from tfdrlprune.specs import ArraySpec

NEST = {
    "arm": ArraySpec("arm", (2,), "float32", (-1.0, -2.0), (1.0, 2.0)),
    "key": ArraySpec("1 key", (), "uint8", 0, 3),
}


def test_a_box_given_is_flattened_in_the_order_of_the_specs():
    box = boxes.given(NEST, {"key": 1, "arm": [0, -1]}, {"key": 2, "arm": [0.5, 1]})
    assert (box.low.tolist(), box.high.tolist()) == ([0, -1, 1], [0.5, 1, 2])
    inputs = box.inputs(box.low[None], box.high[None])
    assert inputs["arm"].low.tolist() == [[[0, -1]]]
    assert inputs["x_1_key"].high.tolist() == [[2]]


def test_ends_are_rounded_as_the_observation_is():
    box = boxes.given(ArraySpec("o", (1,), "float32"), [0.1], [0.3])
    assert (box.low[0], box.high[0]) == (float(np.float32(0.1)), float(np.float32(0.3)))
    assert box.low[0] != 0.1
    assert boxes.of_spec(ArraySpec("o", (1,), "float32", 0.1, 0.3)).low[0] == box.low[0]


def test_the_specs_bounds_are_a_box_where_there_are_all():
    box = boxes.of_spec(NEST)
    assert (box.low.tolist(), box.high.tolist()) == ([-1, -2, 0], [1, 2, 3])
    largest = float(np.finfo(np.float32).max)
    with pytest.raises(ValueError, match=r"'speed' has no bounds for its numbers \[1\]"):
        boxes.of_spec(ArraySpec("speed", (2,), "float32", (0.0, -largest), (1.0, largest)))


def test_visited_states_are_a_box():
    visited = {"arm": np.float32([[0, 5], [-3, 1]]), "key": np.uint8([2, 1])}
    box = boxes.of_visited(NEST, visited)
    assert (box.low.tolist(), box.high.tolist()) == ([-3, 1, 1], [0, 5, 2])
    with pytest.raises(ValueError, match="a batch of at least one"):
        boxes.of_visited(NEST, {"arm": np.float32([0, 5]), "key": np.uint8(2)})


@pytest.mark.parametrize(
    ("low", "high", "match"),
    [
        ([0.0, 1.0], [1.0, 0.5], "from a lower to a higher"),
        ([0.0, -np.inf], [1.0, 0.5], "finite"),
        ([0.0], [1.0], r"shape \(2,\). Received: \(1,\) and \(1,\)"),
    ],
)
def test_what_is_no_box_is_refused(low, high, match):
    with pytest.raises(ValueError, match=match):
        boxes.given(ArraySpec("o", (2,), "float32"), low, high)


def parts(box, splits, weight):
    return box.cut(splits, lambda low, high: ((high - low) * weight).sum(axis=1))


def test_cuts_halve_what_widens_the_bounds_most_and_cover_the_box():
    box = boxes.given(ArraySpec("o", (3,), "float32"), [0, 0, 2], [4, 1, 2])
    low, high = parts(box, 1, [1, 8, 100])
    # The second number widens the bounds by 8, the first by 4, the third has no width.
    assert low.tolist() == [[0, 0, 2], [0, 0.5, 2]]
    assert high.tolist() == [[4, 0.5, 2], [4, 1, 2]]
    low, high = parts(box, 3, [1, 8, 100])
    # 8, then 4 and 4: one cut of the first number, and two of the second.
    assert sorted(set(low[:, 0])) == [0, 2]
    assert sorted(set(low[:, 1])) == [0, 0.25, 0.5, 0.75]
    assert np.prod((high - low)[:, :2], axis=1).sum() == 4


def test_cuts_go_round_where_none_promises_anything():
    box = boxes.given(ArraySpec("o", (2,), "float32"), [0, 0], [1, 1])
    low, _ = parts(box, 2, [0, 0])
    assert sorted(map(tuple, low)) == [(0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5)]


def test_a_point_is_never_cut_and_too_many_cuts_are_refused():
    box = boxes.given(ArraySpec("o", (1,), "float32"), [1], [1])
    assert len(parts(box, 5, [1])[0]) == 1
    with pytest.raises(ValueError, match="splits=21"):
        parts(box, 21, [1])
