"""Gates close while a model trains, in plain fits and in agents, and a resumed run is the same."""

from __future__ import annotations

import contextlib
import logging

from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest
from keras_models import randomized

import tfdrlprune as tp
from tfdrlprune.structure.callbacks import StructuralPruningCallback
from tfdrlprune.structure.gating import gated
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers
X = np.random.default_rng(0).normal(size=(128, 4)).astype(np.float32)
Y = np.stack([np.sin(X[:, 0]), X[:, 1]], axis=1).astype(np.float32)


def model(penalty=None, shrinkage=1e-4):
    inputs = tf.keras.Input((4,))
    x = L.Dense(8, "relu", name="a")(inputs)
    x = L.Dense(6, "tanh", name="b")(x)
    plain = randomized(tf.keras.Model(inputs, L.Dense(2, name="out")(x)))
    found = gated(plain, penalty, shrinkage=shrinkage).model
    found.compile(tf.keras.optimizers.Adam(1e-2), "mse")
    return found


def fit(own, *callbacks, epochs=5, batch=16):
    """Trains eight steps an epoch."""
    return own.fit(X, Y, batch, epochs, verbose=0, shuffle=False, callbacks=list(callbacks))


def rise(final=0.5, begin=4, end=24):
    return tp.schedules.linear(final, begin, end, frequency=4)


def test_gates_follow_the_schedule_and_the_log_says_how_many_are_open():
    own = model()
    log = fit(own, StructuralPruningCallback(rise())).history
    # Steps 8, 16, 24: 0.1, 0.3 and 0.5 of 14 units, to the nearest whole number.
    assert log["unit_sparsity"] == [pytest.approx(each / 14) for each in (1, 4, 7, 7, 7)]
    assert (log["open_units/a"][-1], log["open_units/b"][-1]) == (4, 3)
    small = shrink(own)
    assert small.widths == {"a": (8, 4), "b": (6, 3)}
    # 4-8-6-2: 108; 4-4-3-2: 43.
    assert log["parameter_sparsity"][-1] == pytest.approx(1 - 43 / 108)
    assert small.parameters_after == 43
    np.testing.assert_allclose(small.model(X), own(X), atol=1e-5)


def test_tfmots_schedules_and_functions_are_taken():
    for schedule in (
        tfmot().sparsity.keras.ConstantSparsity(0.5, begin_step=8, frequency=4),
        lambda step: 0.5 if step >= 8 else 0.0,
    ):
        log = fit(model(), StructuralPruningCallback(schedule, frequency=4), epochs=2).history
        assert log["unit_sparsity"][-1] == 0.5


def test_the_network_learns_on_with_the_units_that_are_left():
    own = model()
    first = own.evaluate(X, Y, verbose=0)
    fit(own, StructuralPruningCallback(rise(end=16)), epochs=30)
    assert own.evaluate(X, Y, verbose=0) < 0.3 * first


def test_trained_gates_close_by_themselves_and_stay_closed_until_the_end():
    own = model("l1", shrinkage=0.01)
    callback = StructuralPruningCallback(None, frequency=8, end_step=160)
    log = fit(own, callback, epochs=25).history
    assert log["unit_sparsity"][-1] > 0.2
    assert np.all(np.diff(log["unit_sparsity"]) >= 0)
    assert float(own.get_layer("a_gate").shrinkage) == 0.0
    small = shrink(own)
    left = {name: int(log[f"open_units/{name}"][-1]) for name in ("a", "b")}
    assert {name: layer.units for name, layer in _dense(small.model).items()} == left | {"out": 2}


def _dense(own):
    return {layer.name: layer for layer in own.layers if isinstance(layer, L.Dense)}


def test_an_interrupted_fit_resumes_to_the_same_weights(tmp_path):
    class Stop(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def run(*more, folder):
        tf.keras.utils.set_random_seed(0)
        own = model("l1", shrinkage=0.005)
        backup = tf.keras.callbacks.BackupAndRestore(str(tmp_path / folder))
        with contextlib.suppress(KeyboardInterrupt):
            fit(own, StructuralPruningCallback(rise(0.4)), backup, *more)
        return own.get_weights()

    whole = run(folder="a")
    run(Stop(), folder="b")
    resumed = run(folder="b")
    for ours, theirs in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_tensorboard_gets_the_numbers(tmp_path):
    fit(
        model(),
        StructuralPruningCallback(rise()),
        tf.keras.callbacks.TensorBoard(str(tmp_path), write_graph=False),
        epochs=2,
    )
    events = [
        value.tag
        for path in sorted((tmp_path / "train").glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert {"epoch_unit_sparsity", "epoch_open_units/a", "epoch_parameter_sparsity"} <= {*events}


def test_a_run_that_ends_before_its_schedule_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        fit(model(), StructuralPruningCallback(rise(end=1000)), epochs=1)
    assert "it runs from step 4 to 1000, and training ended at step 8" in caplog.text


def test_trained_gates_without_an_end_say_nothing_of_one(caplog):
    fit(model("l1"), StructuralPruningCallback(None, frequency=4), epochs=1)
    assert "schedule" not in caplog.text


def test_mixed_precision_takes_gates():
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        own = model()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    fit(own, StructuralPruningCallback(rise()))
    assert own.get_layer("a_gate").is_open().sum() == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "l3"}, "criterion is one of"),
        ({"share": "units"}, "share is one of"),
        ({"of": "weights"}, "of is one of"),
        ({"aggregate": "median"}, "aggregate is one of"),
        ({"least": 0}, "least is at least 1. Received: least=0"),
        ({"multiple": 0}, "multiple is at least 1"),
        ({"frequency": 0}, "frequency is at least 1"),
        ({"end_step": 10}, "end_step goes with schedule=None"),
    ],
)
def test_a_bad_argument_is_refused_before_training(arguments, message):
    with pytest.raises(ValueError, match=message):
        StructuralPruningCallback(rise(), **arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: tf.keras.Sequential([L.Dense(2, input_shape=(4,))]), (rise(),), "no gates to clo"),
        (lambda: tf.keras.Sequential([L.Dense(2)]), (rise(),), "has not been built"),
        (model, (None,), "Fixed gates are closed by a schedule and a criterion"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_training(make, arguments, message):
    own = make()
    own.compile("sgd", "mse")
    with pytest.raises(ValueError, match=message):
        fit(own, StructuralPruningCallback(*arguments))


def test_two_callbacks_for_one_gate_are_refused():
    with pytest.raises(ValueError, match=r"One callback closes a gate\. Received: two for a_gate"):
        fit(model(), StructuralPruningCallback(rise()), StructuralPruningCallback(rise(0.2)))


def test_the_best_policy_that_is_put_back_is_one_with_all_its_gates_closed():
    start = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,)))
    agent = tp.agents.dqn(
        "CartPole-v1", policy=start.replace(model=gated(start.model).model), learning_rate=0.1
    )
    settings = tp.agents.OffPolicySettings(batch_size=8, fused_steps=8, warm_up=64)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    pruning = StructuralPruningCallback(tp.schedules.linear(0.5, 8, 24, frequency=8))
    evaluation = tp.EvaluationCallback(episodes=2, keep_best=True)
    trainer.fit(steps=40, epochs=5, verbose=0, callbacks=[pruning, evaluation])
    assert pruning.sparsity()["unit_sparsity"] == 0.5


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_an_agents_gates_close_in_its_fit_and_its_policy_shrinks(algo):
    make = getattr(tp.agents, algo)
    settings = {
        "dqn": tp.agents.OffPolicySettings(batch_size=16, fused_steps=16, warm_up=64),
        "ppo": tp.agents.OnPolicySettings(rollout_length=16, minibatch_size=32, epochs=2),
    }[algo]
    start = tp.policies.from_agent(make("CartPole-v1", hidden=(16, 8)))
    start = start.replace(model=gated(start.model).model)
    agent = make("CartPole-v1", policy=start)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    pruning = StructuralPruningCallback(tp.schedules.cubic(0.5, 8, 40, frequency=8))
    trainer.fit(steps=64, epochs=4, verbose=0, callbacks=[pruning])
    assert pruning.sparsity()["unit_sparsity"] == 0.5
    if algo == "dqn":  # the target's gates are closed at once, and not when it is copied
        gates = [
            layer.get_layer("dense_gate").is_open().tolist()
            for layer in (agent._q_network.model, agent._target_q_network.model)
        ]
        assert gates[0] == gates[1]
        assert sum(gates[1]) == 8
    policy = trainer.policy()
    small = shrink(policy.model, observations=trainer.observations(100))
    assert small.widths == {"dense": (16, 8), "dense_1": (8, 4)}
    # The acting network saw the gates close, too.
    observations = np.asarray(trainer.observations(100))
    np.testing.assert_array_equal(
        policy.replace(model=small.model)(observations), policy(observations)
    )
