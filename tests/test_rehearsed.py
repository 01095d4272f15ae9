"""Which of a teacher's states a student has rehearsed."""

import dataclasses

import numpy as np
import pytest
from students import QUICK, balancer, copy, distill

from tfdrlprune.compression.distillation import Lesson
from tfdrlprune.compression.distillation.rehearsed import coverage_of
from tfdrlprune.specs import ArraySpec


def lesson_on(states):
    lesson = Lesson(balancer(), copy(balancer()), QUICK, 0)
    lesson.add([states])
    return lesson


def test_states_that_were_not_rehearsed_are_counted():
    generator = np.random.default_rng(0)
    rehearsed = generator.normal(size=(5_000, 4)).astype("float32")
    fresh = generator.normal(size=(1_000, 4)).astype("float32")
    fresh[:250, 2] += 20.0
    found = coverage_of(lesson_on(rehearsed), [fresh])
    assert (found.count, found.baseline_count) == (500, 5_000)
    # One moved state is as near to others of its kind as they are to one another, but those make a
    # quarter, so that 99 % of all distances are below how far it is from what was rehearsed.
    assert found.uncovered == pytest.approx(0.25, abs=0.01)
    assert found.observation < 125
    assert found.outside_numbers["observation"][0] == 2


@pytest.mark.parametrize(("states", "low", "high"), [(128, 0.03, 0.9), (4_096, 0.0, 0.01)])
def test_a_lesson_that_sees_only_how_episodes_begin_does_not_cover_their_ends(states, low, high):
    # Of 8 environments these are 3 * 16 and 3 * 512 steps; episodes have 500.
    settings = dataclasses.replace(QUICK, states=states, steps=5)
    taught = distill(balancer(), copy(balancer()), "CartPole-v1", settings=settings, seed=0)
    assert taught.coverage.count == 2_048
    assert taught.coverage.baseline_count == 3 * states
    assert low <= taught.coverage.uncovered < high


def test_recorded_observations_are_held_against_those_held_out():
    states = np.random.default_rng(0).normal(size=(500, 4)).astype("float32")
    found = distill(
        balancer(), copy(balancer()), None, settings=QUICK, seed=0, observations=states
    ).coverage
    assert (found.count, found.baseline_count) == (25, 450)


def test_of_images_nothing_is_told():
    class Pictures:
        seed = 0

        def states(self):
            return [np.zeros((4, 8, 8, 1), np.uint8)]

    lesson = Pictures()
    spec = ArraySpec("camera", (8, 8, 1), "uint8")
    lesson.teacher = type("Teacher", (), {"observation_spec": spec})()
    assert coverage_of(lesson, lesson.states()) is None
