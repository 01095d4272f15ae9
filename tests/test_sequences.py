"""Recurrent students: what they are taught on, and that they learn to remember."""

import itertools

from tfdrlprune._tf import tf

import gymnasium
import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.compression.actor import Actor
from tfdrlprune.compression.bench import Judging
from tfdrlprune.compression.distillation import DistillationSettings, SequenceLesson, teach
from tfdrlprune.compression.distillation.sequences import LENGTH, _cut
from tfdrlprune.compression.narrow import narrowed, trainable_parameters
from tfdrlprune.compression.states import States
from tfdrlprune.compression.trials import Environments
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.over_time import over_time
from tfdrlprune.specs import ArraySpec, Head


class Hidden(gymnasium.ObservationWrapper):
    """CartPole-v1 without the velocities: who balances remembers where things were."""

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2,), np.float32)

    def observation(self, observation):
        return observation[[0, 2]].astype(np.float32)


def remembering(units=8, seed=0, last=None):
    """A recurrent policy; with ``last`` one that remembers the last angle, worked out by hand."""
    tf.keras.utils.set_random_seed(seed)
    given = tf.keras.Input((2,), name="observation")
    state = tf.keras.Input((units,), name="state_0")
    one = tf.keras.layers.Reshape((1, 2), name="one_step")(given)
    output, following = tf.keras.layers.SimpleRNN(
        units, activation="linear", unroll=True, return_state=True, name="rnn"
    )(one, initial_state=[state])
    model = tf.keras.Model(
        [given, state],
        [
            tf.keras.layers.Dense(2, name="outputs")(output),
            tf.keras.layers.Activation("linear", name="next_state_0")(following),
        ],
    )
    if last is not None:
        kernel, recurrent = np.zeros((2, units)), np.zeros((units, units))
        # Units: the angle, the angle before, position, position before.
        kernel[1, 0] = kernel[0, 2] = 1.0
        recurrent[0, 1] = recurrent[2, 3] = 1.0
        model.get_layer("rnn").set_weights([kernel, recurrent, np.zeros(units)])
        outputs = np.zeros((units, 2))
        outputs[:4, 1] = last
        model.get_layer("outputs").set_weights([outputs - outputs[:, ::-1], np.zeros(2)])
    return Policy(
        model,
        Head("argmax"),
        ArraySpec("observation", (2,), "float32", -10.0, 10.0),
        ArraySpec("action", (), "int64", 0, 1),
        state_spec=(ArraySpec("state_0", (units,), "float32"),),
    )


# The angle and 25 times its change in a step, which is half its speed; likewise the position.
BALANCES = [26.0, -25.0, 1.1, -1.0]


def test_each_environment_remembers_its_own_episode():
    policy = remembering(last=BALANCES)
    actor = Actor(policy)
    seen = np.random.default_rng(0).normal(size=(5, 3, 2)).astype("float32")
    first = np.zeros((5, 3), bool)
    first[0], first[2, 1] = True, True
    ours = np.stack([actor.outputs([seen[t]], first[t]) for t in range(5)])
    for lane, cuts in ((0, [0, 5]), (1, [0, 2, 5]), (2, [0, 5])):
        theirs = [
            policy.batch_outputs([seen[begin:end, lane]]) for begin, end in itertools.pairwise(cuts)
        ]
        np.testing.assert_allclose(ours[:, lane], np.concatenate(theirs), rtol=1e-5, atol=1e-5)


def test_sequences_are_cut_in_the_order_of_time():
    values = np.arange(2 * LENGTH * 3).reshape(2 * LENGTH, 3)
    found = _cut(values)
    assert found.shape == (6, LENGTH)
    np.testing.assert_array_equal(found[1], values[:LENGTH, 1])
    np.testing.assert_array_equal(found[5], values[LENGTH:, 2])


def test_students_go_through_time_as_they_act_step_by_step():
    student = remembering(seed=1)
    seen = np.random.default_rng(0).normal(size=(LENGTH, 4, 2)).astype("float32")
    first = np.random.default_rng(1).random((LENGTH, 4)) < 0.1
    first[0] = True
    by_lane = [tf.constant(each.swapaxes(0, 1)) for each in (seen, first)]
    outputs, _ = over_time(student.model, by_lane[:1], by_lane[1], [tf.zeros((4, 8))])
    actor = Actor(student)
    theirs = [actor.outputs([seen[t]], first[t]) for t in range(LENGTH)]
    np.testing.assert_allclose(outputs, np.swapaxes(theirs, 0, 1), rtol=1e-4, atol=1e-5)


def test_the_teacher_s_answers_are_those_of_its_own_memory():
    teacher = remembering(last=BALANCES)
    settings = DistillationSettings(num_envs=3)
    lesson = SequenceLesson(teacher, remembering(seed=1), settings, 0)
    states = States(Hidden, 3, np.random.default_rng(0))
    lesson.collect(states, [Actor(remembering(seed=2))], LENGTH, 0.0)
    (leaves, first), answers = lesson._leaves[0], lesson._answers[0]
    for seen, begins, wanted in zip(leaves, first, answers, strict=True):
        ends = [*np.flatnonzero(begins)[1:], LENGTH]
        assert begins[0]
        begin = 0
        for end in ends:
            own = teacher.batch_outputs([seen[begin:end]])
            np.testing.assert_allclose(wanted[begin:end], own, rtol=1e-4, atol=1e-4)
            begin = end
    assert first.sum() > 3  # a random policy falls within so many steps


def test_only_what_the_memory_was_filled_for_counts():
    lesson = SequenceLesson(remembering(), remembering(seed=1), DistillationSettings(), 0)
    first = np.zeros((4, LENGTH), bool)
    first[0, 0], first[1, 3] = True, True
    drawn = lesson._draw([np.zeros((4, LENGTH, 2)), first], np.zeros((4, LENGTH, 2)), 1)
    by_begin = {}
    for begun, weight in zip(drawn["first"][0], drawn["weight"][0], strict=True):
        begins = np.flatnonzero(begun)
        by_begin[int(begins[0]) if len(begins) else -1] = weight.sum()
    assert by_begin == {0: LENGTH, 3: LENGTH - 3, -1: LENGTH - 8}


def test_a_recurrent_network_gets_thinner_with_its_state():
    teacher = remembering(16)
    # w units have 2 w + w * w + w + 2 w + 2 parameters: 26 for 3, 38 for 4.
    small = narrowed(teacher, 30)
    assert small.model.get_layer("rnn").units == 3
    assert small.states[0].shape == (3,)
    assert trainable_parameters(small) == 26
    assert small.batch_outputs([np.zeros((4, 2), "float32")]).shape == (4, 2)


def test_recorded_observations_alone_are_refused_for_a_recurrent_policy():
    lesson = SequenceLesson(remembering(), remembering(seed=1), DistillationSettings(), 0)
    with pytest.raises(ValueError, match="learns from whole episodes"):
        teach(lesson, None, observations=np.zeros((10, 2), "float32"))


@pytest.mark.slow
def test_a_small_recurrent_student_balances_without_seeing_velocities():
    teacher = remembering(16, last=BALANCES)
    returns = Environments(Hidden).play(Actor(teacher), list(range(20))).returns
    assert returns.mean() > 450
    recipe = tp.Recipe(sparsity=0.8, route="distil", until="target")
    terms = Terms(bounds=(0.0, 500.0))
    judging = Judging(episodes=400, until_decided=True, terms=terms)
    result = tp.compress(teacher, Hidden, recipe, judging=judging)
    assert result.report.judged.parameters < 70
    assert result.report.verdict == "PASS"
