"""What optimizers remember of a weight is found and put back, in every form that they have."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.pruning.moments import moments_of, reset

KERAS = tf.keras.optimizers
# How many variables each keeps for a weight.
OPTIMIZERS = {
    "adam": (lambda: KERAS.Adam(0.1), 2),
    "amsgrad": (lambda: KERAS.Adam(0.1, amsgrad=True), 3),
    "adamw with averages": (lambda: KERAS.AdamW(0.1, use_ema=True), 3),
    "rmsprop": (lambda: KERAS.RMSprop(0.1, momentum=0.9, centered=True), 3),
    "momentum": (lambda: KERAS.SGD(0.1, momentum=0.9), 1),
    "adagrad": (lambda: KERAS.Adagrad(0.1, initial_accumulator_value=0.25), 1),
    "legacy adam": (lambda: KERAS.legacy.Adam(0.1), 2),
    "legacy momentum": (lambda: KERAS.legacy.SGD(0.1, momentum=0.9), 1),
    "tf1 adam": (lambda: tf.compat.v1.train.AdamOptimizer(0.1), 2),
    "tf1 momentum": (lambda: tf.compat.v1.train.MomentumOptimizer(0.1, 0.9), 1),
    "loss scaling": (
        lambda: tf.keras.mixed_precision.LossScaleOptimizer(
            KERAS.Adam(0.1), dynamic=False, initial_scale=2.0
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_moments_of_some_weights_begin_anew_and_no_others(name):
    make, count = OPTIMIZERS[name]
    optimizer = make()
    # Two of one shape, so that a mix-up would show.
    first, second = (tf.Variable(tf.ones((2, 3))) for _ in range(2))
    for _ in range(3):
        optimizer.apply_gradients([(first * 3.0 + 1.0, first), (second * 5.0 + 1.0, second)])
    moments, others = moments_of(optimizer, first), moments_of(optimizer, second)
    assert len(moments) == len(others) == count
    before = [(m.numpy(), o.numpy()) for m, o in zip(moments, others, strict=True)]
    where = np.array([[True, False, False], [False, False, True]])
    reset(optimizer, first, where)
    begin = 0.25 if name == "adagrad" else 0.0
    for (old, other), moment, own in zip(before, moments, others, strict=True):
        assert (moment.numpy()[where] == begin).all()
        assert (old != begin).all()
        np.testing.assert_array_equal(moment.numpy()[~where], old[~where])
        np.testing.assert_array_equal(own.numpy(), other)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_variable_that_the_optimizer_does_not_know_has_none(name):
    optimizer = OPTIMIZERS[name][0]()
    known, unknown = tf.Variable([1.0]), tf.Variable([1.0])
    assert moments_of(optimizer, unknown) == []  # it has trained nothing yet
    optimizer.apply_gradients([(known * 2.0, known)])
    assert moments_of(optimizer, unknown) == []
