from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest

from tfdrlprune.pruning import schedules
from tfdrlprune.pruning.schedules import from_recipe
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe


@pytest.mark.parametrize(("make", "power"), [(schedules.linear, 1), (schedules.cubic, 3)])
def test_linear_and_cubic_are_tfmots_polynomials(make, power):
    ours = make(0.9, 10, 97, initial_sparsity=0.2)
    theirs = tfmot().sparsity.keras.PolynomialDecay(0.2, 0.9, 10, 97, power=power)
    steps = range(10, 120)
    wanted = [float(theirs(tf.constant(step, tf.int64))[1]) for step in steps]
    np.testing.assert_allclose([ours(step) for step in steps], wanted, atol=1e-6)


def test_one_shot_jumps_at_its_step():
    schedule = schedules.one_shot(0.9, at=50)
    assert (schedule.begin_step, schedule.end_step) == (50, 50)
    assert [schedule(step) for step in (0, 49, 50, 51)] == [0.0, 0.0, 0.9, 0.9]


def test_cycles_rise_from_the_same_to_the_same_and_the_last_reaches_the_end():
    schedule = schedules.cyclical(0.8, 100, 400, cycles=3, initial_sparsity=0.4)
    # Half-way through a cycle: 0.8 - 0.4 / 8.
    assert schedule(150) == pytest.approx(0.75)
    assert [schedule(step) for step in (100, 200, 300)] == pytest.approx([0.4, 0.4, 0.4])
    assert schedule(199) == pytest.approx(0.8, abs=1e-3)
    assert schedule(250) == schedule(150) == schedule(350)
    assert schedule(400) == schedule(9_999) == 0.8


def rise(**more):
    return schedules.Rise(
        initial_sparsity=0.0, final_sparsity=0.5, begin_step=0, end_step=9, **more
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.linear(90, 0, 10), "For 90 % write 0.9"),
        (lambda: schedules.cubic(0.9, 10, 5), "0 <= begin_step <= end_step. Received: begin"),
        (lambda: schedules.cyclical(0.9, 0, 10, cycles=0), "cycles is at least 1. Received"),
        (lambda: schedules.cubic("0.5", 0, 10), "final_sparsity is a number. Received: .*'0.5'"),
        (lambda: schedules.cubic(0.5, 0, 10, frequency=0), "frequency is at least 1"),
        (lambda: rise(power=-1), "power is a finite number above 0. Received: power=-1"),
        (lambda: rise(power="x"), "power is a number"),
        (lambda: schedules.ReturnGated(final_sparsity="0.5"), "final_sparsity is a number"),
        (lambda: schedules.one_shot(0.9, at=1.5), "begin_step is a whole number"),
    ],
)
def test_a_schedule_that_cannot_be_says_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_recipe_becomes_steps_of_the_run():
    schedule = Schedule(from_recipe(Recipe(sparsity=0.75, begin=0.25, end=0.5), steps=1_000))
    assert (schedule.begin_step, schedule.end_step, schedule.frequency) == (250, 500, 100)
    assert schedule.sparsity(500) == 0.75
    assert schedule.sparsity(250) == 0.0


@pytest.mark.parametrize(
    ("name", "half_way"),
    [("cubic", 0.7), ("linear", 0.4), ("cyclical", 0.0), ("one_shot", 0.8)],
)
def test_a_recipe_names_its_schedule(name, half_way):
    cycles = {"cycles": 2} if name == "cyclical" else {}
    recipe = Recipe(sparsity=0.8, schedule=name, begin=0.2, end=0.6, **cycles)
    assert from_recipe(recipe, 1_000)(400) == pytest.approx(half_way)
    assert from_recipe(recipe, 1_000)(600) == 0.8
