"""Scores of several choices in one row, against loops over the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdrlprune.choices import Choices
from tfdrlprune.specs import ArraySpec, Head, output_count

SCORES = np.array([[0.0, 3.0, 7.0, 5.0, 5.0, 1.0], [2.0, 1.0, 0.0, -4.0, 6.0, 9.0]])
COUNTS = Choices((2, 3, 1))


@st.composite
def scored(draw):
    """Draws counts, and scores for them with many ties, [4, total]."""
    counts = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    seed = draw(st.integers(0, 2**32 - 1))
    return counts, np.random.default_rng(seed).integers(-2, 3, (4, sum(counts))).astype(float)


def parts(counts, scores):
    return np.split(scores, np.cumsum(counts)[:-1], axis=-1)


def test_each_number_is_the_best_of_its_own_scores_and_the_first_of_equals_counts():
    np.testing.assert_array_equal(COUNTS.best(SCORES), [[1, 0, 0], [0, 2, 0]])
    np.testing.assert_array_equal(COUNTS.best(SCORES[0]), [1, 0, 0])


def test_gaps_are_between_the_best_two_of_a_number_and_infinite_where_it_has_one():
    np.testing.assert_array_equal(COUNTS.gaps(SCORES), [[3, 2, np.inf], [1, 6, np.inf]])
    np.testing.assert_array_equal(Choices((1, 1)).gaps(np.zeros((3, 2))), np.full((3, 2), np.inf))


def test_centred_scores_lose_the_mean_of_their_own_number():
    np.testing.assert_allclose(
        COUNTS.centred(SCORES),
        [[-1.5, 1.5, 4 / 3, -2 / 3, -2 / 3, 0], [0.5, -0.5, -2 / 3, -14 / 3, 16 / 3, 0]],
    )


@given(scored())
@settings(deadline=None, max_examples=60)
def test_tables_say_what_loops_over_the_numbers_say(drawn):
    counts, scores = drawn
    choices = Choices(counts)
    best = np.stack([part.argmax(axis=-1) for part in parts(counts, scores)], axis=-1)
    np.testing.assert_array_equal(choices.best(scores), best)
    np.testing.assert_array_equal(
        choices.taken(scores, best), np.stack([p.max(axis=-1) for p in parts(counts, scores)], -1)
    )
    np.testing.assert_allclose(
        choices.centred(scores),
        np.concatenate([p - p.mean(axis=-1, keepdims=True) for p in parts(counts, scores)], -1),
    )
    for index, part in enumerate(parts(counts, scores)):
        if counts[index] > 1:
            ordered = np.sort(part, axis=-1)
            wanted = ordered[:, -1] - ordered[:, -2]
            np.testing.assert_allclose(choices.gaps(scores)[:, index], wanted)


@given(scored())
@settings(deadline=None, max_examples=60)
def test_the_head_counts_each_number_from_its_own_lower_bound(drawn):
    counts, scores = drawn
    low = tuple(3 * index - 1 for index in range(len(counts)))
    high = tuple(first + count - 1 for first, count in zip(low, counts, strict=True))
    action = ArraySpec("action", (len(counts),), "int64", low, high)
    head = Head.choosing(action)
    best = np.stack([part.argmax(axis=-1) for part in parts(counts, scores)], axis=-1)
    np.testing.assert_array_equal(head.action(scores, action), best + low)
    assert Head.from_json(head.to_json()) == head
    assert output_count(head, action) == sum(counts)


def test_actions_of_any_shape_are_in_c_order():
    action = ArraySpec("action", (2, 2), "int32", 0, (1, 2, 0, 1))
    found = Head.choosing(action).action(np.array([0, 1, 0, 0, 1, 9, 1.0, 0]), action)
    np.testing.assert_array_equal(found, [[[1, 2], [0, 0]]])
    assert found.dtype == np.int32


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("float32", 0, 1), ("int64", None, 3), ("int64", 0, None)]
)
def test_only_integers_between_bounds_are_chosen(dtype, low, high):
    with pytest.raises(ValueError, match=r"argmax head gives integers between bounds.*Received"):
        ArraySpec("action", (2,), dtype, low, high).choices()


def test_a_number_without_a_value_is_refused():
    with pytest.raises(ValueError, match="at least one value for each number"):
        ArraySpec("action", (2,), "int64", 0, (1, -1)).choices()


def test_offsets_are_one_or_one_for_each_number():
    action = ArraySpec("action", (3,), "int64", 0, 1)
    assert output_count(Head("argmax", offset=2.0), action) == 6
    with pytest.raises(ValueError, match=r"one for each number.*offset=\(1.0, 2.0\) for 3"):
        output_count(Head("argmax", offset=(1.0, 2.0)), action)
