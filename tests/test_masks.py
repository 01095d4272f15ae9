from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.pruning.kernels import Kernel, find_kernels
from tfdrlprune.pruning.masks import Masks


def optimizers():
    keras = tf.keras.optimizers
    return {
        "adam": lambda: keras.Adam(0.1),
        "adam with clipping": lambda: keras.Adam(0.1, clipnorm=0.1),
        "adamw": lambda: keras.AdamW(0.1, weight_decay=0.1),
        "rmsprop": lambda: keras.RMSprop(0.1, momentum=0.9),
        "sgd": lambda: keras.SGD(0.1, momentum=0.9, nesterov=True),
        "legacy adam": lambda: keras.legacy.Adam(0.1),
        "legacy sgd": lambda: keras.legacy.SGD(0.1, momentum=0.9),
        "tf1 adam": lambda: tf.compat.v1.train.AdamOptimizer(0.1),
    }


@pytest.mark.parametrize("name", sorted(optimizers()))
def test_zeros_stay_exact_after_every_step_of_every_optimizer(name):
    optimizer = optimizers()[name]()
    variable = tf.Variable(np.random.default_rng(0).normal(size=(6, 5)).astype("float32"))
    mask = np.random.default_rng(1).integers(0, 2, size=(6, 5)).astype("float32")
    before = variable.numpy()
    masks = Masks([Kernel("w", variable)])
    if hasattr(optimizer, "build"):
        optimizer.build([variable])

    @tf.function
    def step():
        optimizer.apply_gradients([(2.0 * variable + 1.0, variable)])

    step()  # dense, so that the moments of what is removed are not zero
    assert np.count_nonzero(variable.numpy()) == 30
    masks.assign([mask])
    for _ in range(5):
        step()
        np.testing.assert_array_equal(variable.numpy() == 0.0, mask == 0.0)
    assert not np.allclose(variable.numpy()[mask == 1], before[mask == 1])


def test_zeros_stay_exact_under_mixed_precision():
    layer = tf.keras.layers.Dense(4, dtype="mixed_float16")
    layer.build((None, 3))
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(tf.keras.optimizers.Adam(0.1))
    masks = Masks(find_kernels(tf.keras.Sequential([tf.keras.Input((3,)), layer])))
    mask = np.array([[1, 0, 1, 0]] * 3, "float32")
    masks.assign([mask])
    optimizer.apply_gradients([(tf.ones_like(layer.kernel), layer.kernel)])
    np.testing.assert_array_equal(layer.kernel.numpy() == 0.0, mask == 0.0)


def test_followers_are_masked_with_their_kernel():
    kernel, follower = tf.Variable(tf.ones((2, 2))), tf.Variable(tf.fill((2, 2), 3.0))
    masks = Masks([Kernel("w", kernel)], [[Kernel("target", follower)]])
    masks.assign([np.array([[1, 0], [0, 1]], "float32")])
    np.testing.assert_array_equal(follower.numpy(), [[3, 0], [0, 3]])


def test_a_constraint_that_was_there_before_still_holds_and_comes_back():
    layer = tf.keras.layers.Dense(2, kernel_constraint=tf.keras.constraints.NonNeg())
    layer.build((None, 2))
    own = layer.kernel.constraint
    masks = Masks([Kernel("w", layer.kernel)])
    masks.assign([np.array([[1, 0], [1, 1]], "float32")])
    layer.kernel.assign([[-1.0, 2.0], [3.0, 4.0]])
    result = layer.kernel.constraint(layer.kernel)
    np.testing.assert_array_equal(result, [[0, 0], [3, 4]])
    masks.remove()
    assert layer.kernel.constraint is own


def test_masks_travel_in_a_checkpoint(tmp_path):
    mask = np.array([[1, 0, 0]], "float32")
    masks = Masks([Kernel("w", tf.Variable(tf.ones((1, 3))))])
    masks.assign([mask])
    path = masks.checkpointable.save(str(tmp_path / "masks"))
    other = Masks([Kernel("w", tf.Variable(tf.ones((1, 3))))])
    other.checkpointable.restore(path).assert_consumed()
    np.testing.assert_array_equal(other.numpy()[0], mask)


def test_masks_on_a_kernel_that_has_one_already_go_on_with_it():
    variable = tf.Variable(tf.ones((1, 3)))
    Masks([Kernel("w", variable)]).assign([np.array([[0, 1, 1]], "float32")])
    np.testing.assert_array_equal(Masks([Kernel("w", variable)]).numpy()[0], [[0, 1, 1]])
