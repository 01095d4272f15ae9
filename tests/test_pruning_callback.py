from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.callbacks import PruningCallback
from tfdrlprune.recipe import Recipe

X = np.random.default_rng(0).normal(size=(320, 6)).astype("float32")
Y = X[:, :1] * 2 + X[:, 1:2]


def model(**arguments):
    tf.keras.utils.set_random_seed(0)
    network = tf.keras.Sequential(
        [
            tf.keras.layers.Dense(16, "relu", name="first", input_shape=(6,)),
            tf.keras.layers.Dense(12, "relu", name="second"),
            tf.keras.layers.Dense(1, name="last"),
        ]
    )
    network.compile("adam", "mse", **arguments)
    return network


def polynomial(final=0.8, begin=5, end=25, frequency=5):
    return tfmot().sparsity.keras.PolynomialDecay(0.0, final, begin, end, frequency=frequency)


def kernels(network):
    return {layer.name: layer.kernel.numpy() for layer in network.layers}


def zeros(network):
    return sum(int((kernel == 0).sum()) for kernel in kernels(network).values())


TOTAL = 6 * 16 + 16 * 12 + 12


def test_fit_ends_with_exactly_the_requested_zeros():
    network = model()
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(polynomial())])
    assert zeros(network) == round(0.8 * TOTAL) == 240


def test_zeros_hold_after_every_batch_and_follow_the_schedule():
    seen = []

    class Watch(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((int(self.model.optimizer.iterations), zeros(self.model), logs["sparsity"]))

    source = polynomial()
    model_ = model()
    model_.fit(
        X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(source), Watch()]
    )
    assert [step for step, _, _ in seen] == list(range(1, 31))
    for step, count, logged in seen:
        due = min(step - step % 5, 25)
        wanted = round(float(source(tf.constant(due, tf.int64))[1]) * TOTAL) if step >= 5 else 0
        assert count == wanted
        assert logged == pytest.approx(count / TOTAL)


@pytest.mark.parametrize("overwrite", [None, 4])
def test_averages_of_the_optimizer_bring_no_weight_back(overwrite):
    network = model()
    optimizer = tf.keras.optimizers.Adam(use_ema=True, ema_overwrite_frequency=overwrite)
    network.compile(optimizer, "mse")
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(polynomial())])
    assert zeros(network) == 240


def test_a_plain_model_has_no_roles_to_choose_from():
    callback = PruningCallback(polynomial(), networks=("actor", "critic"))
    with pytest.raises(ValueError, match=r"one of 'actor'. Received: networks='critic'"):
        model().fit(X, Y, verbose=0, callbacks=[callback])


def test_the_network_still_learns_under_its_masks():
    network = model()
    before = network.evaluate(X, Y, verbose=0)
    callback = PruningCallback(polynomial(0.5))
    network.fit(X, Y, batch_size=32, epochs=80, verbose=0, callbacks=[callback])
    assert network.evaluate(X, Y, verbose=0) < 0.05 * before


def test_uniform_and_erk_share_the_zeros_differently():
    shares = {}
    for distribution in ("uniform", "erk", "global"):
        network = model()
        callback = PruningCallback(polynomial(), distribution=distribution)
        network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
        shares[distribution] = (kernels(network)["last"] == 0).mean()
        assert zeros(network) == 240
    assert shares["uniform"] == 9 / 12  # 9.6 of 12, to within one weight
    assert shares["erk"] == 0.0  # 12 of its 13 shares of 60 that stay: it is kept whole


def test_a_spared_kernel_stays_dense_and_does_not_count():
    network = model()
    callback = PruningCallback(polynomial(), spare=["second"])
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
    assert (kernels(network)["second"] != 0).all()
    assert zeros(network) == round(0.8 * (TOTAL - 192))
    assert set(callback.sparsity()) == {"sparsity", "sparsity/first", "sparsity/last"}


def test_a_model_that_only_its_first_batch_builds_is_pruned_too():
    tf.keras.utils.set_random_seed(0)
    network = tf.keras.Sequential([tf.keras.layers.Dense(10), tf.keras.layers.Dense(1)])
    network.compile("adam", "mse")
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(polynomial())])
    assert zeros(network) == round(0.8 * 70)
    network.fit(X, Y, batch_size=32, epochs=1, verbose=0)
    assert zeros(network) == round(0.8 * 70)


def test_masks_stay_in_force_in_a_later_fit_until_they_are_stripped():
    network = model()
    callback = PruningCallback(polynomial())
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
    network.fit(X, Y, batch_size=32, epochs=1, verbose=0)
    assert zeros(network) == 240
    callback.strip()
    network.fit(X, Y, batch_size=32, epochs=1, verbose=0)
    assert zeros(network) < 24


def test_a_step_traced_before_pruning_is_traced_anew():
    network = model()
    network.fit(X, Y, batch_size=32, epochs=1, verbose=0)
    callback = PruningCallback(polynomial(begin=0))
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
    assert zeros(network) == 240


def test_the_model_keeps_its_own_weights_and_a_saved_one_is_clean(tmp_path):
    network = model()
    names = [weight.name for weight in network.weights]
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(polynomial())])
    assert [weight.name for weight in network.weights] == names
    network.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), network.predict(X, verbose=0))
    assert all(layer.kernel.constraint is None for layer in loaded.layers)


def test_an_interrupted_fit_resumes_to_the_same_weights(tmp_path):
    tf.config.experimental.enable_op_determinism()

    class Stop(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(network, *more, folder):
        backup = tf.keras.callbacks.BackupAndRestore(str(folder))
        network.fit(
            X,
            Y,
            batch_size=32,
            epochs=4,
            verbose=0,
            shuffle=False,
            callbacks=[PruningCallback(polynomial(end=35, frequency=7)), backup, *more],
        )

    whole = model()
    fit(whole, folder=tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        fit(model(), Stop(), folder=tmp_path / "b")
    resumed = model()
    fit(resumed, folder=tmp_path / "b")
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_tensorboard_gets_the_sparsity_of_every_layer(tmp_path):
    board = tf.keras.callbacks.TensorBoard(str(tmp_path))
    callbacks = [PruningCallback(polynomial()), board]
    model().fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=callbacks)
    (file,) = (tmp_path / "train").glob("events*")
    last = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            if value.tag.startswith("epoch_sparsity"):
                last[value.tag] = float(tf.make_ndarray(value.tensor))
    assert last["epoch_sparsity"] == pytest.approx(0.8)
    assert set(last) == {"epoch_sparsity"} | {
        f"epoch_sparsity/{name}" for name in ("first", "second", "last")
    }


@pytest.mark.parametrize(("begin", "reached"), [(1_000, "0.000"), (5, "0.110")])
def test_a_run_that_ends_before_its_schedule_says_so(begin, reached, caplog):
    callback = PruningCallback(polynomial(begin=begin, end=2_000))
    model().fit(X, Y, batch_size=32, epochs=10, verbose=0, callbacks=[callback])
    assert f"from step {begin} to 2000, and training ended at step 100" in caplog.text
    assert f"with a sparsity of {reached}" in caplog.text


def test_a_run_that_outlasts_its_schedule_says_nothing(caplog):
    model().fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(polynomial())])
    assert "schedule" not in caplog.text


def test_a_torso_that_two_networks_share_is_pruned_once():
    class Two(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.torso = tf.keras.layers.Dense(8)
            self.networks = {
                name: tf.keras.Sequential([tf.keras.Input((6,)), self.torso, last])
                for name, last in (
                    ("actor", tf.keras.layers.Dense(3)),
                    ("critic", tf.keras.layers.Dense(1)),
                )
            }

        def prunable_networks(self):
            return {name: [(network, [])] for name, network in self.networks.items()}

        def optimizer_step(self):
            return 0

    callback = PruningCallback(lambda step: 0.5, networks=("actor", "critic"))
    callback.set_model(Two())
    (engine,) = callback._engines
    assert [kernel.shape for kernel in engine.masks.kernels] == [(6, 8), (8, 3), (8, 1)]


@pytest.mark.parametrize(
    ("granularity", "removed"),
    [
        # ERK's shares of 150 are 35.3, 114.7 and 0. Blocks have 8 weights, so 32 or 40 and 112 or
        # 120 go: 152 is the nearest total.
        ("block:2x4", 152),
        # Every column loses 2 of 4; the first kernel's have two rows more, of which both stay.
        ("2:4", 32 + 96 + 6),
    ],
)
def test_groups_go_whole_in_a_fit_and_the_log_says_what_was_achieved(granularity, removed):
    network = model()
    callback = PruningCallback(polynomial(0.5), granularity=granularity)
    history = network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
    assert zeros(network) == removed
    assert history.history["sparsity"][-1] == pytest.approx(removed / TOTAL)


def test_a_unit_goes_with_its_column_and_the_outputs_stay():
    network = model()
    callback = PruningCallback(polynomial(0.5), granularity="unit", distribution="uniform")
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
    weights = kernels(network)
    assert [(weights[name] == 0).all(axis=0).sum() for name in ("first", "second")] == [8, 6]
    assert [(weights[name] == 0).sum() for name in ("first", "second", "last")] == [48, 96, 0]


def test_sparsities_by_name_end_where_they_should():
    network = model()
    callback = PruningCallback(polynomial(0.5), distribution={"second": 0.75})
    network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
    counts = {name: (kernel == 0).sum() for name, kernel in kernels(network).items()}
    # 150 in all: 144 of the second, 6 of the first, since ERK keeps the last whole.
    assert counts == {"first": 6, "second": 144, "last": 0}


def test_a_recipe_becomes_a_callback_with_all_its_choices():
    recipe = Recipe(
        sparsity=0.5,
        granularity="block:2x2",
        criterion="random",
        distribution="uniform",
        spare=("last",),
        schedule="one_shot",
        begin=0.1,
    )
    weights = []
    for seed in (1, 1, 2):
        network = model()
        callback = PruningCallback.from_recipe(recipe, steps=30, seed=seed)
        network.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback])
        weights.append(kernels(network))
        assert zeros(network) == 144
        pooled = weights[-1]["first"].reshape(3, 2, 8, 2) == 0
        assert ((pooled.sum(axis=(1, 3)) % 4) == 0).all()
    np.testing.assert_array_equal(weights[0]["first"], weights[1]["first"])
    assert ((weights[0]["first"] == 0) != (weights[2]["first"] == 0)).any()


def test_cycles_let_weights_come_back_and_end_at_the_full_sparsity():
    network, seen = model(), []
    schedule = tp.schedules.cyclical(0.8, 0, 20, cycles=2, frequency=1)
    watch = tf.keras.callbacks.LambdaCallback(
        on_batch_end=lambda batch, logs: seen.append(round(logs["sparsity"], 3))
    )
    network.fit(
        X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[PruningCallback(schedule), watch]
    )
    assert seen[8] > 0.79  # step 9 of the first 10
    assert seen[9] == 0.0
    assert zeros(network) == 240


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distribution": "erdos"}, "distribution is one of 'erk', 'uniform', 'global'"),
        ({"criterion": "size"}, "criterion is one of 'magnitude', 'random'"),
        ({"granularity": "2:4"}, "keeps 2 of 4 weights.*Write sparsity=0.5"),
        ({"distribution": {"frist": 0.5}}, "No kernel to prune is named 'frist'"),
        ({"distribution": dict.fromkeys(("first", "second", "last"), 0.5)}, "Write sparsity=0.5"),
        ({"spare": ["frist"]}, "Did you mean 'first'"),
        ({"spare": ["first", "second", "last"]}, "nothing to prune"),
        ({"spare": 4}, "spare is a list of kernels' names. Received: spare=4"),
        ({"frequency": 5}, "PolynomialDecay has the times of its own updates. Received: freq"),
        ({"seed": -1}, "seed is a whole number from 0 on. Received: seed=-1"),
        ({"seed": "x"}, "seed is a whole number"),
        ({"data": (X[:0], Y[:0])}, "data is empty"),
        ({"data": []}, "data is empty"),
        ({"data": (X, Y[:5])}, "as many targets as inputs. Received arrays of 5, 320 rows"),
        ({"data": (X[:, :2], Y)}, r"Received inputs of shape \(256, 2\), which it cannot be"),
        ({"mask_pictures": "/proc/x"}, "mask_pictures is a folder that can be written"),
        ({"mask_pictures": 3}, "mask_pictures is a folder that can be written"),
    ],
)
def test_a_bad_argument_is_refused_before_training_starts(arguments, message):
    network = model()
    before = network.get_weights()
    with pytest.raises(ValueError, match=message):
        network.fit(X, Y, verbose=0, callbacks=[PruningCallback(polynomial(), **arguments)])
    for a, b in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_without_kernels_is_refused():
    network = tf.keras.Sequential([tf.keras.layers.Rescaling(2.0, input_shape=(6,))])
    network.compile("adam", "mse")
    with pytest.raises(ValueError, match="nothing to prune"):
        network.fit(X, X, verbose=0, callbacks=[PruningCallback(polynomial())])
