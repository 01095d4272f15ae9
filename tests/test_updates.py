from tfdrlprune._tf import tf, tfmot

import pytest

from tfdrlprune.pruning import schedules
from tfdrlprune.pruning.updates import Schedule


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
    with pytest.raises(ValueError, match=r"frequency is at least 1\. Received: frequency=0"):
        Schedule(lambda step: 0.5, frequency=0)


def test_a_function_may_say_when_it_begins_and_ends_and_at_what():
    class Steps:
        begin_step, end_step, frequency, final_sparsity = 10, 20, 5, 0.4

        def __call__(self, step):
            assert isinstance(step, int)
            return 0.4

    schedule = Schedule(Steps())
    assert [schedule.last_due(step) for step in (9, 10, 16, 99)] == [None, 10, 15, 20]
    assert schedule.final_sparsity == 0.4


def test_the_last_sparsity_is_known_of_tfmots_schedules_and_ours_only():
    constant = tfmot().sparsity.keras.ConstantSparsity(0.5, 0)
    assert Schedule(polynomial()).final_sparsity == 0.8
    assert Schedule(constant).final_sparsity == 0.5
    assert Schedule(schedules.linear(0.7, 0, 10)).final_sparsity == 0.7
    assert Schedule(lambda step: 0.5).final_sparsity is None


def test_one_shot_is_due_once_whatever_the_batch_fuses():
    schedule = Schedule(schedules.one_shot(0.9, at=30))
    assert [schedule.last_due(step) for step in (29, 30, 256, 512)] == [None, 30, 30, 30]
    assert schedule.sparsity(30) == 0.9
