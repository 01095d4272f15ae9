from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest

from tfdrlprune.pruning.schedules import Schedule, from_recipe
from tfdrlprune.recipe import Recipe


def polynomial(**changes):
    arguments = {"begin_step": 10, "end_step": 110, "frequency": 20} | changes
    return tfmot().sparsity.keras.PolynomialDecay(0.0, 0.8, **arguments)


def test_nothing_is_due_before_the_schedule_begins():
    assert Schedule(polynomial()).last_due(9) is None


def test_the_last_due_step_is_the_one_that_tfmot_would_have_pruned_at():
    source = polynomial()
    schedule = Schedule(source)
    pruned_at = None
    for step in range(10, 110):
        if bool(source(tf.constant(step, tf.int64))[0]):
            pruned_at = step
        assert schedule.last_due(step) == pruned_at


def test_the_end_step_is_due_even_where_the_frequency_misses_it():
    schedule = Schedule(polynomial(end_step=105))
    assert schedule.last_due(104) == 90
    assert schedule.last_due(105) == schedule.last_due(10_000) == 105
    assert schedule.sparsity(105) == pytest.approx(0.8)


def test_sparsity_is_the_cubic_of_zhu_and_gupta():
    # Half-way: 0.8 + (0 - 0.8) * (1 - 0.5)**3 = 0.7.
    assert Schedule(polynomial()).sparsity(60) == pytest.approx(0.7)


def test_constant_sparsity_never_ends():
    constant = tfmot().sparsity.keras.ConstantSparsity(0.5, begin_step=5, frequency=10)
    schedule = Schedule(constant)
    assert schedule.last_due(1_000_004) == 999_995
    assert schedule.sparsity(15) == 0.5


def test_a_plain_function_of_the_step_is_a_schedule():
    schedule = Schedule(lambda step: step / 100, frequency=25)
    assert [schedule.last_due(step) for step in (0, 24, 25, 74)] == [0, 0, 25, 50]
    assert schedule.sparsity(50) == 0.5


def test_a_function_that_leaves_the_range_is_named_with_its_step():
    with pytest.raises(ValueError, match=r"in \[0, 1\).*1.5 from the schedule at step 150"):
        Schedule(lambda step: step / 100).sparsity(150)


def test_what_is_no_schedule_is_refused_with_an_example():
    with pytest.raises(TypeError, match=r"PolynomialDecay.*Received: 0.9"):
        Schedule(0.9)


def test_a_frequency_below_one_step_is_refused():
    with pytest.raises(ValueError, match=r"at least 1 step\. Received: 0"):
        Schedule(lambda step: 0.5, frequency=0)


def test_a_recipe_becomes_steps_of_the_run():
    schedule = Schedule(from_recipe(Recipe(sparsity=0.75, begin=0.25, end=0.5), steps=1_000))
    assert (schedule.begin_step, schedule.end_step, schedule.frequency) == (250, 500, 100)
    assert schedule.sparsity(500) == pytest.approx(0.75)
    assert np.isclose(schedule.sparsity(250), 0.0)
