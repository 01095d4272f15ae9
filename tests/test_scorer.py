"""Criteria that look at the loss and at observations choose what hand-worked numbers say."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.experience import Recorded
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.scorer import scorer
from tfdrlprune.recipe import Selection

L = tf.keras.layers


def linear(weights, **arguments):
    """Returns y = x . w with a loss whose gradient is -2 * mean(x * (y_true - y))."""
    model = tf.keras.Sequential([L.Dense(1, use_bias=False, name="w", input_shape=(len(weights),))])
    model.compile(tf.keras.optimizers.SGD(0.1), "mse", **arguments)
    model.layers[0].set_weights([np.array(weights, "float32")[:, None]])
    return model


def scores(model, data, criterion, batch_size=256, **selection):
    kernels = find_kernels(model)
    made = scorer(
        kernels,
        [model],
        Selection(criterion=criterion, **selection),
        0,
        Recorded(model, data, batch_size),
    )
    made.begin()
    return [each.ravel() for each in made([kernel.variable.numpy() for kernel in kernels])]


# Two batches of one row: y = 2 a - b is 2 and -1, the targets are 0, so that the gradients of the
# squared error are 2 * 2 * [1, 0] and 2 * -1 * [0, 1].
X, Y = np.eye(2, dtype="float32"), np.zeros((2, 1), "float32")


def test_saliency_is_the_weight_times_the_mean_gradient():
    # The means are [2, -1]: |2 * 2| and |-1 * -1|.
    np.testing.assert_allclose(scores(linear([2, -1]), (X, Y), "saliency", 1), [[4.0, 1.0]])


def test_taylor_is_the_mean_square_so_that_gradients_do_not_cancel():
    # (2 * 4)^2 / 2 and (-1 * -2)^2 / 2
    np.testing.assert_allclose(scores(linear([2, -1]), (X, Y), "taylor", 1), [[32.0, 2.0]])
    x = np.array([[1.0, 0.0], [1.0, 0.0]], "float32")
    targets = np.array([[0.0], [4.0]], "float32")  # gradients 4 and -4
    model = linear([2, -1])
    np.testing.assert_allclose(scores(model, (x, targets), "saliency", 1), [[0.0, 0.0]])
    np.testing.assert_allclose(scores(model, (x, targets), "taylor", 1), [[64.0, 0.0]])


def test_gradients_are_taken_on_as_many_batches_as_asked_for():
    taken = scores(linear([2, -1]), (X, Y), "saliency", 1, gradient_batches=1)
    np.testing.assert_allclose(taken, [[8.0, 0.0]])  # of the first row only


def test_scoring_leaves_weights_metrics_and_moments_alone():
    model = linear([2, -1], metrics=["mae"])
    model.fit(X, Y, verbose=0)
    before = [each.numpy() for each in (*model.variables, *model.optimizer.variables)]
    metrics = [metric.result().numpy() for metric in model.metrics]
    assert len(metrics) == 2
    for criterion in ("saliency", "taylor", "snip"):
        scores(model, (X, Y), criterion)
    after = [each.numpy() for each in (*model.variables, *model.optimizer.variables)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    assert metrics == [metric.result().numpy() for metric in model.metrics]


def test_the_epochs_loss_is_that_of_its_own_batches():
    x = np.random.default_rng(0).normal(size=(10, 2)).astype("float32")

    def loss(*callbacks):
        model = linear([2, -1])
        model.optimizer.learning_rate.assign(0.0)
        data = {"batch_size": 1, "verbose": 0, "shuffle": False, "callbacks": callbacks}
        return model.fit(x, x[:, :1], **data).history["loss"]

    never_removes = tp.PruningCallback(
        lambda step: 0.0, criterion="taylor", frequency=8, data=(x, 5 * x[:, :1])
    )
    assert loss(never_removes) == loss()


def test_snip_keeps_the_scores_from_before_training():
    model = linear([2, -1])
    callback = tp.PruningCallback(tp.schedules.one_shot(0.5, at=40), criterion="snip", data=(X, Y))
    # Training turns the order round: the first weight becomes the smaller one.
    x = np.array([[1.0, 1.0]] * 100, "float32")
    targets = np.array([[-8.0]] * 100, "float32")
    model.fit(x, targets, batch_size=1, epochs=1, verbose=0, callbacks=[callback])
    first, second = model.layers[0].kernel.numpy().ravel()
    assert second == 0.0
    assert first != 0.0


def test_movement_removes_what_moved_towards_zero():
    # |0.5| is smaller than |2|, but grows, while 2 falls.
    model = linear([2.0, 0.5])
    x = np.eye(2, dtype="float32")[[0, 1] * 20]
    targets = np.where(x[:, :1] == 1.0, 1.0, 3.0).astype("float32")
    callback = tp.PruningCallback(tp.schedules.one_shot(0.5, at=20), criterion="movement")
    model.fit(x, targets, batch_size=2, epochs=1, verbose=0, shuffle=False, callbacks=[callback])
    first, second = model.layers[0].kernel.numpy().ravel()
    assert first == 0.0
    assert second > 0.5
    assert "apply_gradients" not in vars(model.optimizer)


def test_movement_is_counted_once_in_a_further_fit():
    model = linear([2.0, -3.0])
    callback = tp.PruningCallback(lambda step: 0.0, criterion="movement")
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")
    found = []
    for _ in range(2):
        before = model.layers[0].kernel.numpy().ravel()
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[callback])
        gradient = 2.0 * before.sum()
        (engine,) = callback._engines
        found.append((-before * gradient, engine._scorer._movement.numpy()[0].ravel()))
    np.testing.assert_allclose(found[0][1], found[0][0])
    np.testing.assert_allclose(found[1][1], found[0][0] + found[1][0], rtol=1e-5)


def test_movement_goes_on_after_a_kill(tmp_path):
    class Stop(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")

    def run(folder, *more):
        model = linear([1.0, -1.0, 0.5, 2.0, -0.3, 0.1])
        model.fit(
            *(x, x[:, :1]),
            batch_size=2,
            epochs=3,
            verbose=0,
            shuffle=False,
            callbacks=[
                tp.PruningCallback(tp.schedules.one_shot(0.5, at=55), criterion="movement"),
                tf.keras.callbacks.BackupAndRestore(str(tmp_path / folder)),
                *more,
            ],
        )
        return model.layers[0].kernel.numpy()

    whole = run("a")
    with pytest.raises(KeyboardInterrupt):
        run("b", Stop())
    np.testing.assert_array_equal(run("b"), whole)
    assert (whole == 0.0).sum() == 3


def units(model, criterion, data=None, **arguments):
    """Prunes two of the four units of the first layer; returns which of them are left."""
    x = np.array([[1.0], [-1.0]], "float32")
    callback = tp.PruningCallback(
        lambda step: 0.5,
        frequency=1,
        granularity="unit",
        criterion=criterion,
        distribution="uniform",
        data=data or (x, np.zeros((2, 1))),
        **arguments,
    )
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    model.fit(x, np.zeros((2, 1)), verbose=0, callbacks=[callback])
    kernel, bias = model.layers[0].get_weights()
    alive = kernel.any(axis=0)
    assert (bias[~alive] == 0.0).all()
    return alive.tolist()


def network(kernel, bias, last=(1.0, 1.0, 1.0, 1.0)):
    model = tf.keras.Sequential([L.Dense(4, "relu", input_shape=(1,)), L.Dense(1)])
    model.set_weights([np.array([kernel]), np.array(bias), np.array(last)[:, None], np.zeros(1)])
    return model


def test_units_go_by_what_they_put_out():
    # On 1 and -1 the units put out 3, 0 | 0, 0.5 | 1.1, 0.9 | 1.5, 0: means of 1.5, 0.25, 1 and
    # 0.75, of which one half, one half, all and one half are not zero.
    def made():
        return network([3.0, -0.5, 0.1, 2.5], [0.0, 0.0, 1.0, -1.0])

    assert units(made(), "magnitude") == [True, False, False, True]
    assert units(made(), "activation") == [True, False, True, False]
    assert units(made(), "apoz") == [False, False, True, True]


def test_in_and_out_counts_what_reads_a_unit():
    # In: 3, 2, 1, 0.5; out: 0, 0, 3, 3.
    def made():
        return network([3.0, 2.0, 1.0, 0.5], [0.0] * 4, [0.0, 0.0, 3.0, 3.0])

    assert units(made(), "magnitude") == [True, True, False, False]
    assert units(made(), "magnitude", group_score="in+out") == [False, False, True, True]


def test_data_may_be_lists_of_arrays_or_of_batches_but_no_iterator():
    wanted = scores(linear([2, -1]), (X, Y), "saliency", 1)
    batches = [(X[:1], Y[:1]), (X[1:], Y[1:])]
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(1)
    for data in (batches, dataset):
        np.testing.assert_allclose(scores(linear([2, -1]), data, "saliency", 1), wanted)
    np.testing.assert_allclose(scores(linear([2, -1]), [X, Y], "saliency", 1), wanted)
    with pytest.raises(ValueError, match="Received: an iterator, which is used up"):
        scores(linear([2, -1]), iter(batches), "saliency")


def test_an_interrupted_fit_leaves_nothing_on_the_optimizer_after_strip():
    class Stop(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = linear([2, -1])
    callback = tp.PruningCallback(lambda step: 0.5, criterion="movement")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[callback, Stop()])
    assert "apply_gradients" in vars(model.optimizer)
    callback.strip()
    assert "apply_gradients" not in vars(model.optimizer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "saliency"}, r"criterion='saliency' needs data: .*data=\(x, y\)"),
        ({"criterion": "activation", "granularity": "unit"}, "criterion='activation' needs data"),
        ({"group_score": "in+out", "granularity": "unit"}, r"group_score='in\+out' needs data"),
        ({"criterion": "activation"}, "scores units.*Write granularity='unit'"),
        ({"group_score": "in+out"}, r"adds up the weights of units.*granularity='element'"),
        ({"criterion": "taylor", "gradient_batches": 0}, "gradient_batches is at least 1"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(arguments, message):
    model = network([3.0, 2.0, 1.0, 0.5], [0.0] * 4)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        model.fit(
            *(X[:, :1], Y),
            verbose=0,
            callbacks=[tp.PruningCallback(lambda step: 0.5, **arguments)],
        )
    np.testing.assert_array_equal(model.layers[0].kernel.numpy()[0], [3.0, 2.0, 1.0, 0.5])
