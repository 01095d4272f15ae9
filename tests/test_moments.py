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
    "ftrl": (lambda: KERAS.Ftrl(0.1, initial_accumulator_value=0.25), 2),
    "tf1 rmsprop": (lambda: tf.compat.v1.train.RMSPropOptimizer(0.1, momentum=0.9), 2),
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
    before = [
        (m.variable.numpy(), o.variable.numpy()) for m, o in zip(moments, others, strict=True)
    ]
    where = np.array([[True, False, False], [False, False, True]])
    reset(optimizer, first, where)
    begin = {"adagrad": [0.25], "ftrl": [0.25, 0.0], "tf1 rmsprop": [0.0, 1.0]}.get(name)
    assert [moment.beginning for moment in moments] == (begin or [0.0] * count)
    for (old, other), moment, own in zip(before, moments, others, strict=True):
        now = moment.variable.numpy()
        assert (now[where] == moment.beginning).all()
        assert (old != moment.beginning).all()
        np.testing.assert_array_equal(now[~where], old[~where])
        np.testing.assert_array_equal(own.variable.numpy(), other)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_moment_begins_where_it_is_said_to(name):
    optimizer = OPTIMIZERS[name][0]()
    variable = tf.Variable(tf.fill((2, 3), 2.0))
    # A step of no gradient; averages of weights and what decays are no longer where they began.
    optimizer.apply_gradients([(tf.zeros_like(variable), variable)])
    for moment in moments_of(optimizer, variable):
        value = moment.variable.numpy()
        near = moment.beginning if name != "adamw with averages" else value[0, 0]
        assert (np.abs(value - near) < 0.11).all()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_variable_that_the_optimizer_does_not_know_has_none(name):
    optimizer = OPTIMIZERS[name][0]()
    known, unknown = tf.Variable([1.0]), tf.Variable([1.0])
    assert moments_of(optimizer, unknown) == []  # it has trained nothing yet
    optimizer.apply_gradients([(known * 2.0, known)])
    assert moments_of(optimizer, unknown) == []
