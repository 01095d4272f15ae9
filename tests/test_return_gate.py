"""A return-gated schedule rises while returns hold and takes back what they did not bear."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.return_gate import GateState, ReturnGate, decide
from tfdrlprune.pruning.schedules import ReturnGated

RULE = ReturnGated(
    final_sparsity=0.9, begin_step=100, margin=0.1, stride=0.5, smallest_stride=0.2, patience=1
)


def history(rule, *pairs):
    """Returns (action, sparsity, stride, reference) after each (step, return)."""
    state, found = GateState(stride=rule.stride), []
    for step, value in pairs:
        decision = decide(rule, state, value, step)
        state = decision.state
        found.append((decision.action, state.sparsity, state.stride, state.reference))
    return found


def test_the_dense_reference_is_the_mean_of_the_latest_returns():
    dense = history(RULE, (10, 10.0), (20, 20.0), (30, 30.0), (40, 70.0))
    assert dense == [("keep", 0.0, 0.5, reference) for reference in (10.0, 15.0, 20.0, 40.0)]


def test_it_rises_by_strides_of_what_is_left_and_stops_at_the_end():
    found = history(RULE, (50, 100.0), *[(100, 100.0)] * 5)
    assert [each[:2] for each in found] == [
        *(("keep", 0.0), ("raise", 0.5), ("raise", 0.75), ("raise", 0.875)),
        *(("raise", 0.9), ("keep", 0.9)),
    ]


def test_it_waits_goes_back_and_tries_half_the_stride():
    found = history(
        RULE,
        *((50, 100.0), (100, 90.0)),  # 90 just holds: 10 % less
        *((110, 89.0), (120, 89.0)),  # twice not
        *((130, 95.0), (140, 80.0), (150, 95.0)),  # once not, at 0.25
        *((160, 80.0), (170, 80.0), (180, 100.0)),
    )
    assert [each[:3] for each in found] == [
        *(("keep", 0.0, 0.5), ("raise", 0.5, 0.5)),
        *(("keep", 0.5, 0.5), ("restore", 0.0, 0.25)),
        *(("raise", 0.25, 0.25), ("keep", 0.25, 0.25), ("raise", 1 - 0.75**2, 0.25)),
        # A stride of 0.125 is below the smallest: it stays where it was good.
        *(("keep", 1 - 0.75**2, 0.25), ("restore", 0.25, 0.125), ("keep", 0.25, 0.125)),
    ]


def test_the_reference_follows_upwards_only_so_that_losses_do_not_add_up():
    found = history(RULE, (50, 100.0), *[(100, 91.0)] * 3, (110, 160.0), (120, 160.0))
    # Means of the last three are below 100 until 91, 160, 160.
    assert [each[3] for each in found] == [100.0, 100.0, 100.0, 100.0, 342 / 3, 411 / 3]


def test_a_negative_return_may_be_lower_by_the_margin():
    assert [each[0] for each in history(RULE, (50, -100.0), (100, -110.0), (110, -111.0))] == [
        *("keep", "raise", "keep"),
    ]


def test_a_state_that_stops_holding_comes_back_without_a_smaller_stride():
    rule = ReturnGated(final_sparsity=0.5, stride=0.5, patience=0)
    found = history(rule, (0, 100.0), (1, 100.0), (2, 50.0), (3, 100.0))
    assert [each[:3] for each in found] == [
        *(("raise", 0.5, 0.5), ("keep", 0.5, 0.5)),
        *(("restore", 0.5, 0.5), ("keep", 0.5, 0.5)),
    ]


def test_the_last_good_state_comes_back_to_the_bit_and_travels_in_a_checkpoint(tmp_path):
    rule = ReturnGated(final_sparsity=0.5, stride=0.5, patience=0)
    variable = tf.Variable([1.0, 2.0])
    gate = ReturnGate(rule, [variable])
    assert gate.see(100.0, 0) == "raise"
    variable.assign([3.0, 4.0])
    path = gate.checkpointable.save(str(tmp_path / "gate"))
    other = tf.Variable([5.0, 6.0])
    resumed = ReturnGate(rule, [other])
    resumed.checkpointable.restore(path).assert_consumed()
    assert resumed.state == gate.state == GateState(0.5, 0.0, 0.5, 0, 100.0, (100.0,))
    for each, of in ((gate, variable), (resumed, other)):
        assert each.see(10.0, 1) == "restore"
        np.testing.assert_array_equal(of.numpy(), [1.0, 2.0])
        assert each.state.stride == 0.25


def test_a_rise_that_nobody_judged_is_taken_back_at_the_end():
    variable = tf.Variable(1.0)
    gate = ReturnGate(ReturnGated(final_sparsity=0.5), [variable])
    assert not gate.finish()  # nothing is known yet
    gate.see(100.0, 0)
    variable.assign(2.0)
    assert gate.finish()
    assert (variable.numpy(), gate.state.sparsity) == (1.0, 0.0)
    assert not gate.finish()


X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")


def fit(returns, *more, **rule):
    """Fits one epoch for each return, which a stand-in for an evaluation logs."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(16, "relu", input_shape=(6,)), tf.keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")

    class Evaluation(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["return"] = returns[epoch]
            seen.append([each.numpy() for each in model.layers[0].weights])

    seen = []
    rule = ReturnGated(**{"final_sparsity": 0.9, "stride": 0.5, "patience": 0} | rule)
    pruning = tp.PruningCallback(rule)
    history = model.fit(
        *(X, X[:, :1]),
        batch_size=32,
        epochs=len(returns),
        verbose=0,
        shuffle=False,
        callbacks=[Evaluation(), pruning, *more],
    ).history
    return model, pruning, history, seen


def zeros(model):
    return sum(int((layer.kernel.numpy() == 0).sum()) for layer in model.layers)


def test_in_a_fit_masks_rise_and_a_bad_return_brings_the_weights_back():
    # 112 weights: 56 go, then 84; that fails, so that the state with 56 comes back.
    model, pruning, history, seen = fit([1.0, 1.0, 0.5, 0.5])
    # Beside each return the sparsity that it was found at.
    np.testing.assert_allclose(history["sparsity"], [0.0, 0.5, 0.75, 0.5])
    np.testing.assert_allclose(history["return_reference"], 1.0)
    assert zeros(model) == 56
    # As it was at the end of the second epoch, when it was seen to hold: 0.5 at the third failed.
    for now, then in zip(model.layers[0].weights, seen[1], strict=True):
        np.testing.assert_array_equal(now.numpy(), then)
    assert pruning.sparsity()["sparsity"] == 0.5
    model.fit(X, X[:, :1], epochs=3, verbose=0)
    assert zeros(model) == 56  # the masks came back as well


def test_the_optimizers_moments_come_back_too():
    moments = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            # Behind the gate: at the third epoch the state of the second is back.
            own = [each.numpy() for each in self.model.optimizer.variables]
            moments.append([each for each in own if each.ndim])

    fit([1.0, 1.0, 0.5], Look())
    assert len(moments[1]) == 8
    for good, back in zip(moments[1], moments[2], strict=True):
        assert np.abs(good).max() > 0.0
        np.testing.assert_array_equal(good, back)


def test_an_evaluation_that_keeps_the_best_would_undo_it():
    agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4)
    callbacks = [
        tp.EvaluationCallback(keep_best=True),
        tp.PruningCallback(ReturnGated(final_sparsity=0.5)),
    ]
    with pytest.raises(ValueError, match="without keep_best=True"):
        trainer.fit(steps=8, callbacks=callbacks, verbose=0)


def test_a_further_fit_goes_on_from_where_the_gate_stood():
    model, pruning, _, _ = fit([1.0, 1.0, 1.0])
    state = pruning._gate.state
    assert zeros(model) == 84  # what was last judged: 98 were not

    class Evaluation(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["return"] = 1.0

    history = model.fit(X, X[:, :1], verbose=0, callbacks=[Evaluation(), pruning]).history
    assert state.sparsity == 0.75
    assert history["sparsity"] == [pytest.approx(0.75)]
    assert pruning._gate.state.good_sparsity == 0.75


def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(tmp_path):
    tf.config.experimental.enable_op_determinism()

    class Stop(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    returns = [1.0, 1.0, 0.9, 0.2, 1.0, 1.0, 1.0]

    def run(folder, *more):
        backup = tf.keras.callbacks.BackupAndRestore(str(tmp_path / folder))
        model, pruning, _, _ = fit(returns, backup, *more, margin=0.2)
        return model.get_weights(), pruning.sparsity()["sparsity"], pruning._gate.state

    weights, sparsity, state = run("a")
    with pytest.raises(KeyboardInterrupt):
        run("b", Stop())
    again, same, also = run("b")
    assert (same, also) == (sparsity, state)
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_an_evaluation_before_it_the_callback_says_what_to_do():
    model = tf.keras.Sequential([tf.keras.layers.Dense(4, input_shape=(6,))])
    model.compile("adam", "mse")
    pruning = tp.PruningCallback(ReturnGated(final_sparsity=0.5))
    with pytest.raises(ValueError, match=r"Put tp.EvaluationCallback\(\) before"):
        model.fit(X, X[:, :4], verbose=0, callbacks=[pruning])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"final_sparsity": 90}, "For 90 % write 0.9"),
        ({"margin": 0}, r"margin is a share in \(0, 1\). Received: margin=0"),
        ({"stride": 1.0}, r"stride is a share in \(0, 1\)"),
        ({"patience": -1}, "patience >= 0"),
        ({"window": 0}, "window >= 1"),
        ({"begin_step": 0.5}, "begin_step is a whole number"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReturnGated(**{"final_sparsity": 0.5} | arguments)
