"""Inputs to try a model on, and what is always the same on them."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.structure.probe import given_inputs, random_inputs, unchanging, values_of


@pytest.fixture
def model():
    inputs = [
        tf.keras.Input((None, 3), name="series"),
        tf.keras.Input((2, 2, 1), dtype="uint8", name="pixels"),
        tf.keras.Input((), dtype="int32", name="choice"),
    ]
    return tf.keras.Model(inputs, inputs)


def test_random_inputs_fit_the_model_and_follow_the_seed(model):
    series, pixels, choice = random_inputs(model, 500, seed=3)
    assert (series.shape, series.dtype) == ((500, 5, 3), np.float32)
    assert abs(series.mean()) < 0.1
    assert series.std() == pytest.approx(1, abs=0.1)
    assert (pixels.shape, pixels.dtype) == ((500, 2, 2, 1), np.uint8)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert (choice.shape, sorted(set(choice))) == ((500,), [0, 1])
    again, other = random_inputs(model, 500, seed=3), random_inputs(model, 500, seed=4)
    np.testing.assert_array_equal(series, again[0])
    assert (series != other[0]).all()


def test_observations_come_in_the_order_of_the_inputs(model):
    named = {"pixels": np.zeros((4, 2, 2, 1)), "choice": [1, 2, 3, 4], "series": np.ones((4, 9, 3))}
    series, pixels, choice = given_inputs(model, named)
    assert (series.dtype, pixels.dtype, choice.dtype) == (np.float32, np.uint8, np.int32)
    np.testing.assert_array_equal(choice, [1, 2, 3, 4])
    listed = given_inputs(model, [series, pixels, choice])
    np.testing.assert_array_equal(listed[2], choice)
    assert given_inputs(model, None) is None
    with pytest.raises(ValueError, match=r"one array for each of the model's inputs.*Received: 1"):
        given_inputs(model, series)


def test_a_number_is_unchanging_where_no_sample_and_no_open_place_differs():
    values = np.zeros((2, 3, 4))  # [batch, time, channels], time left open
    values[:, :, 0] = 7
    values[1, :, 1] = 1  # differs by sample
    values[:, 2, 2] = 1  # by time
    values[0, 0, 3] = 1e-9  # by rounding
    np.testing.assert_allclose(unchanging(values, (1, 4)), [[7, np.nan, np.nan, 0]], atol=1e-8)


def test_values_are_those_of_the_tensors_asked_for():
    inputs = tf.keras.Input((1,))
    doubled = tf.keras.layers.Rescaling(2.0)(tf.keras.layers.Dropout(0.9)(inputs))
    model = tf.keras.Model(inputs, tf.keras.layers.Rescaling(5.0)(doubled))
    (values,) = values_of(model, [doubled], [np.float32([[3], [4]])])
    np.testing.assert_array_equal(values, [[6], [8]])
