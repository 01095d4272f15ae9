"""What all masking callbacks refuse or tell: two for a kernel, frozen layers, empty kernels."""

from __future__ import annotations

import logging

from tfdrlprune._tf import tf

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.kernels import find_kernels

X = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
Y = X[:, :1]


def model():
    tf.keras.utils.set_random_seed(0)
    made = tf.keras.Sequential(
        [
            tf.keras.layers.Dense(16, activation="relu", input_shape=(8,), name="hidden"),
            tf.keras.layers.Dense(1, name="last"),
        ]
    )
    made.compile("adam", "mse")
    return made


def prune(sparsity, **options):
    return tp.PruningCallback(tp.schedules.cubic(sparsity, 0, 4, frequency=1), **options)


def fit(made, *callbacks):
    made.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=list(callbacks))
    return [float((layer.kernel.numpy() == 0).mean()) for layer in made.layers]


def test_two_callbacks_for_one_kernel_are_refused_before_training():
    made = model()
    static = tp.SparseTrainingCallback(sparsity=0.5, method="static", end_step=4)
    for other in (prune(0.5), static):
        with pytest.raises(ValueError, match=r"One callback masks a kernel\. Received: two for"):
            fit(made, prune(0.9), other)
    assert made.optimizer.iterations.numpy() == 0


def test_two_callbacks_for_different_kernels_both_get_what_they_ask_for():
    made = model()
    found = fit(
        made,
        prune(0.75, spare="last", distribution="uniform"),
        prune(0.5, spare="hidden", distribution="uniform"),
    )
    assert found == [0.75, 0.5]
    # Each has its state in a checkpoint of the model.
    assert made.pruning_state_of_actor_hidden is not made.pruning_state_of_actor_last


def test_one_callback_after_another_is_no_conflict():
    made = model()
    fit(made, prune(0.5, distribution="uniform"))
    assert fit(made, prune(0.75, distribution="uniform")) == [0.75, 0.75]


def test_a_frozen_layer_is_left_alone_and_named(caplog):
    made = model()
    made.layers[0].trainable = False
    made.compile("adam", "mse")
    before = made.layers[0].kernel.numpy()
    with caplog.at_level(logging.WARNING):
        found = fit(made, prune(0.75))
    np.testing.assert_array_equal(made.layers[0].kernel.numpy(), before)
    assert found[1] == 0.75
    assert "frozen (trainable=False), and left as they are: hidden" in caplog.text


def test_a_kernel_that_loses_its_last_weight_is_named_once(caplog):
    with caplog.at_level(logging.WARNING):
        once = tp.schedules.one_shot(0.999, at=2)
        fit(model(), tp.PruningCallback(once, distribution="uniform"))
    told = [record.message for record in caplog.records if "no weight is left" in record.message]
    (line,) = told
    assert line.startswith("no weight is left in hidden, last, so nothing gets through")


@pytest.mark.parametrize("value", [None, "0.5"])
def test_a_schedule_that_gives_no_number_is_named(value):
    with pytest.raises(ValueError, match="A schedule gives the sparsity at a step"):
        fit(model(), tp.PruningCallback(lambda step: value))


@pytest.mark.parametrize("frequency", ["10", 2.5, 0])
def test_a_frequency_is_a_whole_number(frequency):
    with pytest.raises(ValueError, match="frequency"):
        tp.PruningCallback(lambda step: 0.5, frequency=frequency)


def test_weights_that_another_callback_restores_are_masked_again():
    made = model()
    # The largest loss is that of the first epoch, when nothing is pruned yet. It comes first in the
    # list, since Keras ends callbacks in their order.
    late = tp.schedules.cubic(0.75, 5, 8)
    callback = tp.PruningCallback(late, distribution="uniform")
    restore = tf.keras.callbacks.EarlyStopping(
        "loss", mode="max", patience=5, restore_best_weights=True
    )
    made.fit(X, Y, batch_size=16, epochs=4, verbose=0, callbacks=[restore, callback])
    assert [float((layer.kernel.numpy() == 0).mean()) for layer in made.layers] == [0.75, 0.75]


def test_movement_before_the_first_step_goes_by_magnitude():
    made = model()
    before = np.abs(made.layers[0].kernel.numpy())
    schedule = tp.schedules.one_shot(0.5, 0)
    callback = tp.PruningCallback(schedule, criterion="movement", spare="last")
    made.fit(X, Y, batch_size=64, epochs=1, verbose=0, callbacks=[callback])
    gone = made.layers[0].kernel.numpy() == 0
    assert before[gone].max() <= before[~gone].min()


def test_a_layer_without_units_is_no_kernel():
    given = tf.keras.Input((8,))
    none, some = tf.keras.layers.Dense(0)(given), tf.keras.layers.Dense(4, name="some")(given)
    outputs = tf.keras.layers.Dense(1, name="last")(tf.keras.layers.concatenate([none, some]))
    made = tf.keras.Model(given, outputs)
    # Not trained: TensorFlow's own product of a matrix without columns may abort the process.
    assert [kernel.name for kernel in find_kernels(made)] == ["some", "last"]


def test_a_stripped_model_saves_no_masks(tmp_path):
    made = model()
    pruning = tp.PruningCallback(lambda step: 0.5, frequency=1)
    fit(made, pruning)
    made.save_weights(str(tmp_path / "masked"))
    before = len(tf.train.list_variables(str(tmp_path / "masked")))
    pruning.strip()
    made.save_weights(str(tmp_path / "stripped"))
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "stripped"))]
    assert not [name for name in names if "mask" in name or "pruning" in name]
    assert len(names) < before
