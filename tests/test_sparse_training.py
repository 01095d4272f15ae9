"""Sparse from the first step to the last: static, SET and RigL."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.moments import moments_of
from tfdrlprune.recipe import Recipe

X = np.random.default_rng(0).normal(size=(320, 6)).astype("float32")
Y = X[:, :1] * 2 + X[:, 1:2]
TOTAL = 6 * 16 + 16 * 12 + 12


def model():
    tf.keras.utils.set_random_seed(0)
    network = tf.keras.Sequential(
        [
            tf.keras.layers.Dense(16, "relu", name="first", input_shape=(6,)),
            tf.keras.layers.Dense(12, "relu", name="second"),
            tf.keras.layers.Dense(1, name="last"),
        ]
    )
    network.compile("adam", "mse")
    return network


class Watch(tf.keras.callbacks.Callback):
    """Collects the masks and the weights after every batch."""

    def __init__(self, sparse):
        super().__init__()
        self.sparse, self.masks, self.weights = sparse, [], []

    def on_train_batch_end(self, batch, logs=None):
        (engine,) = self.sparse._engines
        self.masks.append(engine.masks.numpy())
        self.weights.append([kernel.variable.numpy() for kernel in engine.masks.kernels])


def exchanged(method):
    return {} if method == "static" else {"drop_fraction": 0.4}


def run(method="rigl", network=None, epochs=4, **arguments):
    network = network or model()
    arguments = {"end_step": 30, "frequency": 5} | exchanged(method) | arguments
    sparse = tp.SparseTrainingCallback(0.8, method, **arguments)
    watch = Watch(sparse)
    network.fit(
        *(X, Y), batch_size=32, epochs=epochs, verbose=0, shuffle=False, callbacks=[sparse, watch]
    )
    return network, watch


@pytest.mark.parametrize("method", ["static", "set", "rigl"])
def test_every_step_has_the_same_number_of_zeros_in_every_kernel(method):
    _, watch = run(method, data=(X, Y))
    counts = {tuple(int((mask == 0).sum()) for mask in masks) for masks in watch.masks}
    assert len(counts) == 1
    assert sum(counts.pop()) == round(0.8 * TOTAL) == 240
    for masks, weights in zip(watch.masks, watch.weights, strict=True):
        for mask, weight in zip(masks, weights, strict=True):
            assert (weight[mask == 0] == 0.0).all()
    moved = [
        sum(int((a != b).sum()) for a, b in zip(one, other, strict=True))
        for one, other in zip(watch.masks, watch.masks[1:], strict=False)
    ]
    # Steps are 1, 2, ...: exchanges come with 5, 10, 15, 20, fewer each time; at 25 the share is
    # less than one weight of any kernel.
    exchanges = [index + 2 for index, count in enumerate(moved) if count]
    assert exchanges == ([] if method == "static" else [5, 10, 15, 20])
    assert sorted(moved, reverse=True)[:4] == [moved[each - 2] for each in (5, 10, 15, 20)]


def test_the_first_exchange_moves_the_share_that_was_asked_for():
    _, watch = run("set", frequency=10, begin_step=10, end_step=1_000, distribution="uniform")
    before, after = watch.masks[8], watch.masks[9]
    for old, new in zip(before, after, strict=True):
        kept = int(old.sum())
        # The share at step 10 of 1,000 is 0.4 to three digits; what goes may come back at once.
        assert 0 < ((old == 1) & (new == 0)).sum() <= int(0.4 * kept) or kept < 3


def test_rigl_grows_where_the_gradient_is_largest():
    network = tf.keras.Sequential(
        [tf.keras.layers.Dense(1, use_bias=False, name="w", input_shape=(8,))]
    )
    network.compile(tf.keras.optimizers.SGD(1e-6), "mse")
    x = np.random.default_rng(1).normal(size=(512, 8)).astype("float32")
    # Inputs 2 and 5 say everything.
    y = 3.0 * x[:, 2:3] - 2.0 * x[:, 5:6]
    sparse = tp.SparseTrainingCallback(
        *(0.75, "rigl"), end_step=1_000, frequency=1, drop_fraction=0.99, data=(x, y)
    )
    watch = Watch(sparse)
    network.fit(x, y, batch_size=512, epochs=3, verbose=0, callbacks=[sparse, watch])
    # 0.99 of two weights is one a step: after two exchanges both are where they help.
    assert sorted(np.flatnonzero(watch.masks[-1][0])) == [2, 5]


def test_new_weights_and_their_moments_begin_at_zero():
    network = model()
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            step = int(self.model.optimizer.iterations)
            (engine,) = sparse._engines
            masks = engine.masks.numpy()
            if step == 10:
                for kernel, old, new in zip(engine.masks.kernels, self.before, masks, strict=True):
                    fresh = (old == 0) & (new == 1)
                    moments = moments_of(self.model.optimizer, kernel.variable)
                    assert len(moments) == 2
                    seen.append(int(fresh.sum()))
                    for each in (kernel.variable, *(moment.variable for moment in moments)):
                        assert (each.numpy()[fresh] == 0.0).all()
                        assert (each.numpy()[(old == 1) & (new == 1)] != 0.0).any()
            self.before = masks

    sparse = tp.SparseTrainingCallback(0.8, "set", end_step=1_000, frequency=10)
    network.fit(X, Y, batch_size=32, epochs=2, verbose=0, callbacks=[sparse, Look()])
    assert sum(seen) >= 5


@pytest.mark.slow
def test_masks_follow_the_seed_and_the_network_learns():
    first, again, other = (run("set", seed=seed)[1].masks for seed in (1, 1, 2))
    for one, same in zip(first, again, strict=True):
        for a, b in zip(one, same, strict=True):
            np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first[0], other[0], strict=True))
    before = model().evaluate(X, Y, verbose=0)
    network, _ = run("rigl", data=(X, Y), epochs=120, end_step=900)
    assert network.evaluate(X, Y, verbose=0) < 0.05 * before


@pytest.mark.parametrize("method", ["static", "set", "rigl"])
def test_an_interrupted_run_goes_on_to_the_same_bits(method, tmp_path):
    tf.config.experimental.enable_op_determinism()

    class Stop(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(folder, *more):
        network = model()
        sparse = tp.SparseTrainingCallback(
            *(0.8, method), end_step=35, frequency=7, data=(X, Y), **exchanged(method)
        )
        backup = tf.keras.callbacks.BackupAndRestore(str(tmp_path / folder))
        network.fit(
            *(X, Y),
            batch_size=32,
            epochs=4,
            verbose=0,
            shuffle=False,
            callbacks=[sparse, backup, *more],
        )
        return network.get_weights()

    whole = fit("a")
    with pytest.raises(KeyboardInterrupt):
        fit("b", Stop())
    for one, other in zip(whole, fit("b"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_agents_target_follows_and_its_own_loss_gives_the_gradient():
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 16), seed=0)
    settings = tp.agents.OffPolicySettings(fused_steps=32, batch_size=16)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    sparse = tp.SparseTrainingCallback(0.8, "rigl", end_step=400, frequency=32)
    watch = Watch(sparse)
    trainer.fit(steps=512, callbacks=[sparse, watch], verbose=0)
    changes = [
        any((a != b).any() for a, b in zip(one, other, strict=True))
        for one, other in zip(watch.masks, watch.masks[1:], strict=False)
    ]
    assert sum(changes[:11]) >= 8
    assert not any(changes[12:])
    ((network, (target,)),) = trainer.prunable_networks()["actor"]
    for mask, own, other in zip(
        watch.masks[-1], find_kernels(network), find_kernels(target), strict=True
    ):
        for kernel in (own, other):
            assert (kernel.variable.numpy()[mask == 0] == 0.0).all()


def test_a_further_fit_goes_on_with_the_masks_that_were_found():
    network = model()
    sparse = tp.SparseTrainingCallback(0.8, "set", end_step=30, frequency=5, drop_fraction=0.4)
    fit = {"batch_size": 32, "epochs": 4, "verbose": 0, "callbacks": [sparse]}
    network.fit(X, Y, **fit)
    (engine,) = sparse._engines
    before, weights = engine.masks.numpy(), network.get_weights()
    network.fit(X, Y, **fit)
    for old, new in zip(before, engine.masks.numpy(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.allclose(weights[0], network.get_weights()[0])


@pytest.mark.parametrize("how", ["compiled anew", "another callback"])
def test_masks_of_an_earlier_fit_are_gone_on_with(how):
    network = model()
    sparse = tp.SparseTrainingCallback(0.8, "set", end_step=30, frequency=5, drop_fraction=0.4)
    network.fit(X, Y, batch_size=32, epochs=4, verbose=0, callbacks=[sparse])
    before = sparse._engines[0].masks.numpy()
    network.compile("adam", "mse")
    if how == "another callback":
        sparse = tp.SparseTrainingCallback(0.8, "static", end_step=30, seed=5)
    network.fit(X, Y, batch_size=320, epochs=1, verbose=0, callbacks=[sparse])
    for old, new in zip(before, sparse._engines[0].masks.numpy(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_recipe_becomes_the_callback():
    recipe = Recipe(sparsity=0.8, method="set", distribution="uniform", end=0.5, frequency=5)
    sparse = tp.SparseTrainingCallback.from_recipe(recipe, steps=40, seed=3)
    network = model()
    network.fit(X, Y, batch_size=32, epochs=4, verbose=0, callbacks=[sparse])
    # 76.8, 153.6 and 9.6: 240 in all.
    assert sparse.sparsity() == {
        **{"sparsity": 0.8, "sparsity/first": 77 / 96},
        **{"sparsity/second": 154 / 192, "sparsity/last": 9 / 12},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "rig"}, "method is one of 'rigl', 'set', 'static'.*Did you mean 'rigl'"),
        ({"method": "rigl"}, r"method='rigl' needs data for its gradients: .*data=\(x, y\)"),
        ({"drop_fraction": 0.0}, r"drop_fraction is a share in \(0, 1\). Received: .*=0.0"),
        ({"distribution": "global"}, "Write 'erk' or 'uniform'"),
        ({"distribution": "ekr"}, "Did you mean 'erk'"),
        ({"spare": ["frist"]}, "Did you mean 'first'"),
        ({"spare": ["first", "second", "last"]}, "nothing to make sparse"),
        ({"spare": 4}, "spare is a list of kernels' names"),
        ({"distribution": None}, "distribution is one of"),
        ({"method": "rigl", "gradient_batches": 0}, "gradient_batches is at least 1"),
        ({"gradient_batches": 4}, "method='set' has no gradient_batches"),
        ({"method": "static", "drop_fraction": 0.4}, "method='static' has no drop_fraction"),
        ({"end_step": 0}, "moves weights from begin_step to end_step. Received: both are 0"),
        ({"seed": -1}, "seed is a whole number from 0 on"),
        ({"begin_step": 50}, "0 <= begin_step <= end_step"),
    ],
)
def test_a_bad_argument_is_refused_before_training(arguments, message):
    network = model()
    before = network.get_weights()
    with pytest.raises(ValueError, match=message):
        run(**{"method": "set", "network": network} | arguments)
    for a, b in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_evaluation_comes_back_with_its_masks():
    class Evaluation(tp.EvaluationCallback):
        """Finds the second epoch best, and remembers its masks and weights."""

        def _returns(self):
            (engine,) = sparse._engines
            weights = [kernel.variable.numpy() for kernel in engine.masks.kernels]
            seen.append((engine.masks.numpy(), weights))
            return np.array([[1.0, 5.0, 2.0, 3.0][len(seen) - 1]])

    seen = []
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 16), seed=0)
    settings = tp.agents.OffPolicySettings(fused_steps=32, batch_size=16)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    sparse = tp.SparseTrainingCallback(0.8, "set", end_step=400, frequency=32)
    evaluation = Evaluation(keep_best=True)
    # In either order: what one puts back the other must not undo.
    trainer.fit(steps=256, epochs=4, callbacks=[evaluation, sparse], verbose=0)
    (engine,) = sparse._engines
    masks, weights = seen[1]
    assert any((a != b).any() for a, b in zip(masks, seen[3][0], strict=True))
    for kernel, now, mask, weight in zip(
        engine.masks.kernels, engine.masks.numpy(), masks, weights, strict=True
    ):
        np.testing.assert_array_equal(now, mask)
        np.testing.assert_array_equal(kernel.variable.numpy(), weight)
