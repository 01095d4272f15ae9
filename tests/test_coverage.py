"""States that the baseline did not visit, on states whose distances can be read off."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfdrlprune.evidence.coverage import cover
from tfdrlprune.specs import ArraySpec

LINE = ArraySpec("observation", (1,), "float32")
PLANE = ArraySpec("observation", (2,), "float32")


def column(values):
    return np.float32(values)[:, None]


def test_states_farther_than_the_baselines_own_neighbours_are_not_covered():
    baseline = column(range(201))  # neighbours are 1 apart, the deviation is sqrt(201**2 / 12)
    visited = column([0.5, 100.9, 201.0, 201.5, 203.0])
    found = cover(LINE, visited, baseline)
    deviation = np.std(np.arange(201))
    assert found.threshold == pytest.approx(1 / deviation)
    assert found.uncovered == 0.4  # 201.5 and 203; 201 is just 1 away
    assert found.farthest == pytest.approx(3 / deviation)
    assert found.observation == 4
    assert found.outside == 0.6
    assert (found.count, found.baseline_count) == (5, 201)
    assert found.outside_numbers == {"observation": [0]}


def test_the_threshold_is_the_99_percent_quantile_not_the_largest():
    # Of 201 states one is 50 from its nearest: less than 1 %. All others are 1 apart.
    baseline = column([*range(200), 249])
    found = cover(LINE, column([199, 202]), baseline)
    assert found.threshold == pytest.approx(1 / np.std(baseline))
    assert found.uncovered == 0.5


def test_numbers_count_by_their_spread():
    generator = np.random.default_rng(0)
    baseline = generator.normal(size=(500, 2)).astype(np.float32) * np.float32([1, 1000])
    # 300 is a third of a deviation of the second number, and 300 of the first.
    assert cover(PLANE, np.float32([[0, 300]]), baseline).uncovered == 0
    found = cover(PLANE, np.float32([[300, 0]]), baseline)
    assert (found.uncovered, found.outside) == (1, 1)
    assert found.outside_numbers == {"observation": [0]}


def test_a_number_that_the_baseline_keeps_constant_still_counts():
    baseline = np.stack([np.arange(100), np.full(100, 7)], axis=1).astype(np.float32)
    same = cover(PLANE, baseline, baseline)
    assert (same.uncovered, same.outside, same.farthest) == (0, 0, 0)
    moved = baseline.copy()
    moved[:25, 1] = 8
    found = cover(PLANE, moved, baseline)
    assert (found.uncovered, found.outside) == (0.25, 0.25)
    assert found.outside_numbers == {"observation": [1]}
    assert np.isfinite(found.farthest)


def test_where_all_states_are_met_again_and_again_every_unseen_one_counts():
    baseline = column([0, 0, 1, 1, 2, 2])
    found = cover(LINE, column([0, 1, 2, 1.5, 3]), baseline)
    assert found.threshold == 0
    assert found.uncovered == 0.4
    assert found.outside == 0.2


def test_other_episodes_of_the_baseline_set_a_threshold_of_their_own():
    baseline = column(range(101))
    found = cover(LINE, column([105, 120]), baseline, held_out=column([50, 110]))
    assert found.threshold == pytest.approx(10 / np.std(np.arange(101)))
    assert found.uncovered == 0.5


NEST = {
    "camera": ArraySpec("camera", (4, 4, 1), "uint8", 0, 255),
    "body": (ArraySpec("body/0", (2,), "float32"), ArraySpec("body/1", (), "int64")),
}


def nested(count, shift=0.0):
    generator = np.random.default_rng(1)
    return {
        "camera": generator.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8),
        "body": (
            (generator.normal(size=(count, 2)) + shift).astype(np.float32),
            generator.integers(0, 5, count),
        ),
    }


def test_images_are_refused_unless_the_other_parts_are_named():
    with pytest.raises(ValueError, match=r"images: \['camera'\].*parts="):
        cover(NEST, nested(50), nested(50))
    found = cover(NEST, nested(50, 100), nested(50), parts=["body/0", "body/1"])
    assert found.uncovered == found.outside == 1
    assert found.outside_numbers == {"body/0": [0, 1]}
    with pytest.raises(ValueError, match=r"Received: \['bodi'\]"):
        cover(NEST, nested(50), nested(50), parts=["bodi"])
    with pytest.raises(ValueError, match="Received: 0 numbers"):
        cover(NEST, nested(50), nested(50), parts=[])


def test_too_few_states_and_too_many_numbers_are_refused():
    with pytest.raises(ValueError, match="two states of the baseline at least"):
        cover(LINE, column([1]), column([1]))
    wide = ArraySpec("observation", (513,), "float32")
    with pytest.raises(ValueError, match="Received: 513 numbers"):
        cover(wide, np.zeros((3, 513), np.float32), np.zeros((3, 513), np.float32))


def test_results_are_json():
    value = json.loads(json.dumps(cover(LINE, column([0, 9]), column(range(5))).to_json()))
    assert value == {
        "count": 2,
        "baseline_count": 5,
        "uncovered": 0.5,
        "threshold": pytest.approx(1 / np.sqrt(2)),
        "farthest": pytest.approx(5 / np.sqrt(2)),
        "observation": 1,
        "outside": 0.5,
        "outside_numbers": {"observation": [0]},
    }
