"""What students are taught, worked out by hand."""

import numpy as np
import pytest
from students import balancer, continuous

from tfdrlprune.choices import Choices
from tfdrlprune.compression.distillation.objectives import (
    Action,
    CrossEntropy,
    Mean,
    Values,
    objective_of,
)
from tfdrlprune.specs import Head

SCORES = np.array([[0.0, 1.0, 5.0], [2.0, 8.0, 0.0]], np.float32)  # gaps of 4 and 6
THREE = Choices((3,))


def test_the_temperature_is_in_units_of_the_mean_gap():
    assert CrossEntropy(0.2, THREE).scale(SCORES) == pytest.approx(0.2 * 5.0)


def test_cross_entropy_is_that_of_the_softmax_at_the_temperature():
    ours = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    p = np.exp(SCORES / 2.0)
    p /= p.sum(axis=1, keepdims=True)
    q = np.exp(ours / 2.0)
    q /= q.sum(axis=1, keepdims=True)
    expected = -(p * np.log(q)).sum(axis=1)
    found = CrossEntropy(1.0, THREE).losses(SCORES, ours, np.float32(2.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_centred_regression_leaves_out_what_all_scores_have_in_common():
    shifted = SCORES + np.array([[100.0], [-7.0]], np.float32)
    np.testing.assert_allclose(Values(True, THREE).losses(SCORES, shifted, 5.0), 0.0, atol=1e-9)
    np.testing.assert_allclose(Values(False, THREE).losses(SCORES, shifted, 5.0), [400.0, 1.96])


def test_one_action_has_no_gap():
    scale = CrossEntropy(0.2, Choices((1,))).scale(np.zeros((4, 1), np.float32))
    assert scale == pytest.approx(0.2)


def test_the_action_is_compared_in_its_own_units_as_the_head_gives_it():
    # tanh(mean) * 2, and the spread of -2 tanh(1) and 2 tanh(1) is 2 tanh(1).
    objective = Action.of(continuous(Head("tanh", 2.0), 0))
    answers = np.array([[-1.0], [1.0]], np.float32)
    scale = objective.scale(answers)
    np.testing.assert_allclose(scale, 2 * np.tanh(1.0), rtol=1e-6)
    ours = np.array([[0.0], [1.0]], np.float32)
    np.testing.assert_allclose(objective.losses(answers, ours, scale), [1.0, 0.0], rtol=1e-6)


def test_beyond_a_bound_all_means_are_one_action_and_the_wrong_side_still_pulls():
    from tfdrlprune._tf import tf

    objective = Action.of(continuous(Head("affine"), 0))  # bounds of -2 and 2
    answers = np.array([[5.0], [5.0], [1.0], [-3.0]], np.float32)
    ours = tf.constant([[9.0], [1.0], [4.0], [4.0]])
    with tf.GradientTape() as tape:
        tape.watch(ours)
        losses = objective.losses(answers, ours, np.float32([1.0]))
        total = tf.reduce_sum(losses)
    np.testing.assert_allclose(losses, [0.0, 1.0, 9.0, 36.0])
    # Towards the teacher's bound, also from beyond the other one.
    np.testing.assert_allclose(tape.gradient(total, ours)[:, 0], [0.0, -2.0, 6.0, 12.0])


def test_a_dimension_that_hardly_moves_does_not_outweigh_the_others():
    answers = np.array([[-1.0, 0.0], [1.0, 1e-6]], np.float32)
    np.testing.assert_allclose(Mean().scale(answers), [1.0, 0.01], rtol=1e-3)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [("auto", CrossEntropy), ("advantages", Values), ("values", Values)],
)
def test_names_of_losses_for_discrete_actions(loss, kind):
    assert isinstance(objective_of(balancer(), loss, 0.2), kind)


@pytest.mark.parametrize(("loss", "kind"), [("auto", Action), ("action", Action), ("mean", Mean)])
def test_names_of_losses_for_continuous_actions(loss, kind):
    assert isinstance(objective_of(continuous(Head("affine"), 0), loss, 0.2), kind)


def test_a_loss_of_the_other_kind_of_actions_is_refused():
    with pytest.raises(ValueError, match=r"are discrete: distil_loss is one of cross_entropy, adv"):
        objective_of(balancer(), "action", 0.2)
    with pytest.raises(ValueError, match=r"are continuous: distil_loss is one of action, mean\. R"):
        objective_of(continuous(Head("affine"), 0), "cross_entropy", 0.2)
    with pytest.raises(ValueError, match=r"distil_loss is one of .*Did you mean 'values'"):
        objective_of(balancer(), "value", 0.2)
