"""Gradients are recorded as the optimizer would have applied them."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.pruning.gradients import BesideSteps, GradientSums, Movement, instead_of_steps
from tfdrlprune.pruning.kernels import Kernel

KERAS = tf.keras.optimizers
OPTIMIZERS = {
    "keras": lambda: KERAS.SGD(0.5),
    "legacy": lambda: KERAS.legacy.SGD(0.5),
    "tf1": lambda: tf.compat.v1.train.GradientDescentOptimizer(0.5),
}


def two():
    variables = [tf.Variable([[2.0, -3.0]]), tf.Variable([[1.0], [4.0]])]
    return variables, [Kernel(f"k{i}", variable) for i, variable in enumerate(variables)]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_means_over_batches_are_worked_by_hand_and_no_weight_moves(name):
    (first, second), kernels = two()
    bias, optimizer = tf.Variable([0.0]), OPTIMIZERS[name]()
    sums = GradientSums(kernels)

    @tf.function
    def step(gradient):
        ones = tf.ones_like(second)
        optimizer.apply_gradients([(gradient, first), (ones, second), (bias + 1.0, bias)])

    with instead_of_steps([optimizer], sums.record):
        step(tf.constant([[1.0, 2.0]]))
        step(tf.constant([[-3.0, 4.0]]))
    gradients, squares = sums.means()
    np.testing.assert_array_equal(gradients[0], [[-1.0, 3.0]])
    # (2 * 1)^2 and (2 * -3)^2; (-3 * 2)^2 and (-3 * 4)^2
    np.testing.assert_array_equal(squares[0], [[20.0, 90.0]])
    np.testing.assert_array_equal(gradients[1], [[1.0], [1.0]])
    np.testing.assert_array_equal(squares[1], [[1.0], [16.0]])
    np.testing.assert_array_equal(first.numpy(), [[2.0, -3.0]])
    assert bias.numpy() == 0.0
    # The optimizer is as it was.
    assert "apply_gradients" not in vars(optimizer)
    optimizer.apply_gradients([(tf.ones_like(first), first)])
    np.testing.assert_array_equal(first.numpy(), [[1.5, -3.5]])
    sums.reset()
    with pytest.raises(ValueError, match="no gradient for k0, k1"):
        sums.means()


def test_a_kernel_without_a_gradient_is_named():
    (first, second), kernels = two()
    sums = GradientSums(kernels)
    sums.record([(tf.ones_like(first), first), (None, second)])
    with pytest.raises(ValueError, match="The loss has no gradient for k1"):
        sums.means()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_movement_adds_up_over_steps_that_are_made_all_the_same(name):
    (first, _), kernels = two()
    optimizer, movement = OPTIMIZERS[name](), Movement(kernels[:1])
    hook = BesideSteps([optimizer], movement.record)

    @tf.function(jit_compile=True)
    def step():
        optimizer.apply_gradients([(tf.constant([[1.0, 2.0]]), first)])

    if name == "tf1":
        step = step.python_function
    if hasattr(optimizer, "build"):
        optimizer.build([first])
    step()
    step()
    # w goes 2, 1.5 and -3, -4: the sums of -w * g are -(2 + 1.5) and -2 * (-3 - 4).
    np.testing.assert_allclose(movement.numpy()[0], [[-3.5, 14.0]])
    np.testing.assert_allclose(first.numpy(), [[1.0, -5.0]])
    hook.remove()
    optimizer.apply_gradients([(tf.constant([[1.0, 2.0]]), first)])
    np.testing.assert_allclose(movement.numpy()[0], [[-3.5, 14.0]])


def test_several_stand_before_an_optimizer_and_a_users_own_method_stays():
    (first, second), kernels = two()
    optimizer = KERAS.SGD(0.5)
    calls = []
    own = optimizer.apply_gradients
    optimizer.apply_gradients = lambda pairs: calls.append("a user's") or own(pairs)
    users = optimizer.apply_gradients
    of_first, of_second = Movement(kernels[:1]), Movement(kernels[1:])
    hooks = [BesideSteps([optimizer], each.record) for each in (of_first, of_second)]
    with instead_of_steps([optimizer], lambda pairs: calls.append("instead")):
        optimizer.apply_gradients([(tf.ones_like(first), first)])
    both = [(tf.ones_like(first), first), (tf.ones_like(second), second)]
    optimizer.apply_gradients(both)
    np.testing.assert_array_equal(of_first.numpy()[0], [[-2.0, 3.0]])
    np.testing.assert_array_equal(of_second.numpy()[0], [[-1.0], [-4.0]])
    assert calls == ["instead", "a user's"]
    hooks[0].remove()  # in the order in which they came
    optimizer.apply_gradients(both)
    np.testing.assert_array_equal(of_first.numpy()[0], [[-2.0, 3.0]])
    np.testing.assert_array_equal(of_second.numpy()[0], [[-1.5], [-7.5]])
    hooks[1].remove()
    assert optimizer.apply_gradients is users


def test_a_step_that_loss_scaling_leaves_out_does_not_count_as_movement():
    (first, second), kernels = two()
    movement = Movement(kernels)
    movement.record([(tf.ones_like(first), first), (tf.fill((2, 1), np.inf), second)])
    movement.record([(tf.ones_like(first), first), (tf.ones_like(second), second)])
    np.testing.assert_array_equal(movement.numpy()[0], [[-2.0, 3.0]])
    np.testing.assert_array_equal(movement.numpy()[1], [[-1.0], [-4.0]])


def test_mixed_precision_and_sparse_gradients_are_recorded_too():
    layer = tf.keras.layers.Dense(2, dtype="mixed_float16")
    layer.build((None, 1))
    sums = GradientSums([Kernel("w", layer.kernel)])
    some = tf.IndexedSlices(tf.constant([[1.0, 2.0]]), tf.constant([0]), tf.constant([1, 2]))
    sums.record([(some, layer.kernel)])
    np.testing.assert_array_equal(sums.means()[0][0], [[1.0, 2.0]])
