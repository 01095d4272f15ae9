"""How far a search goes, on candidates that hold down to a known size."""

from dataclasses import dataclass

import pytest

from tfdrlprune.compression.search import search


@dataclass(frozen=True)
class Attempt:
    parameters: int
    holds: bool


def searched(keep, until, needed, least=0, bisections=2):
    """Searches where a candidate holds that keeps at least ``needed`` of 1,000 parameters."""
    asked = []

    def attempt(fraction):
        asked.append(round(1_000 * fraction))
        if asked[-1] < least:
            return None
        return Attempt(asked[-1], asked[-1] >= needed)

    return search(attempt, keep, until, bisections=bisections), asked


@pytest.mark.parametrize(("needed", "best"), [(100, 100), (101, None)])
def test_the_target_is_tried_alone(needed, best):
    found, asked = searched(0.1, "target", needed)
    assert asked == [100]
    assert (found.best and found.best.parameters) == best


def test_what_holds_at_once_is_taken_unless_more_is_asked_for():
    found, asked = searched(0.1, "holds", 10)
    assert (found.best.parameters, asked) == (100, [100])


def test_less_is_taken_until_it_holds_and_then_the_gap_is_halved_by_ratio():
    # 100 and 200 fail, 400 holds; 283 is their geometric middle and holds, then 238 fails.
    found, asked = searched(0.1, "holds", 250)
    assert asked == [100, 200, 400, 283, 238]
    assert found.best.parameters == 283


def test_more_is_taken_as_long_as_it_holds():
    # 100 and 50 hold, 25 fails; then 35 holds and 30 does.
    found, asked = searched(0.1, "breaks", 30)
    assert asked == [100, 50, 25, 35, 30]
    assert found.best.parameters == 30
    assert [each.parameters for each in found.attempts] == asked


def test_the_way_down_ends_where_no_network_is_so_small():
    found, asked = searched(0.1, "breaks", 0, least=40, bisections=0)
    assert asked == [100, 50, 25]
    assert found.best.parameters == 50


def test_where_nothing_holds_nothing_is_best_and_the_way_up_ends():
    found, asked = searched(0.1, "breaks", 2_000)
    assert asked == [100, 200, 400, 800, 900]
    assert found.best is None
    assert len(found.attempts) == 5
