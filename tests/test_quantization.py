"""Quantization-aware training: what it rounds, that int8 does the same, what it leaves alone."""

import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.quantization.rounding import round_activations, round_weights
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
X = np.random.default_rng(0).uniform(-2, 3, (512, 6)).astype("float32")
Y = np.stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2] - X[:, 3]], axis=1)
FAST = tp.agents.OffPolicySettings(warm_up=200, fused_steps=32, batch_size=16)


def model(seed=0):
    tf.keras.utils.set_random_seed(seed)
    layers = [L.Dense(24, "relu", input_shape=(6,)), L.Dense(24, "relu"), L.Dense(2)]
    made = tf.keras.Sequential(layers)
    made.compile(tf.keras.optimizers.Adam(3e-3), "mse")
    return made


class Seen(tf.keras.callbacks.Callback):
    """What the model gives after each epoch, while it rounds."""

    def __init__(self):
        super().__init__()
        self.outputs = []

    def on_epoch_end(self, epoch, logs=None):
        self.outputs.append(self.model(X).numpy())


def rounded(made, **arguments):
    """Returns what the model gives while it rounds, and nothing trains."""
    seen = Seen()
    made.compile(tf.keras.optimizers.SGD(0.0), "mse")
    callback = tp.QuantizationCallback(data=(X, Y), **arguments)
    made.fit(X, Y, epochs=1, verbose=0, callbacks=[callback, seen])
    return seen.outputs[0]


def test_weights_are_rounded_by_hand_and_zero_stays_zero():
    # Steps of 1.27 / 127 and 2.54 / 127.
    weights = tf.constant([[1.27, 0.0], [0.014, -2.54], [0.0, 0.031]])
    found = round_weights(weights)
    np.testing.assert_allclose(found, [[1.27, 0.0], [0.01, -2.54], [0.0, 0.04]], atol=1e-6)
    np.testing.assert_array_equal(round_weights(tf.zeros((2, 2))), np.zeros((2, 2)))


def test_activations_are_rounded_by_hand_and_their_gradient_ends_at_the_range():
    # 255 steps of 0.01 from -0.55 to 2.
    value = tf.Variable([-1.0, -0.55, 0.0, 0.014, 1.996, 2.0, 7.0])
    with tf.GradientTape() as tape:
        found = round_activations(value, tf.constant(-0.55), tf.constant(2.0))
    np.testing.assert_allclose(found, [-0.55, -0.55, 0.0, 0.01, 2.0, 2.0, 2.0], atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(found, value), [0, 1, 1, 1, 1, 1, 0])


def test_the_forward_pass_is_that_of_the_int8_file(tmp_path):
    made = model()
    made.fit(X, Y, epochs=10, verbose=0)
    plain = made(X).numpy()
    ours = rounded(made, outputs=True)
    np.testing.assert_array_equal(made(X), plain)  # and plain again
    assert np.abs(ours - plain).max() > 1e-3
    source = tf.keras.Input((6,), name="x")
    copies = [L.Dense(24, "relu"), L.Dense(24, "relu"), L.Dense(2, name="outputs")]
    tensor = source
    for copy in copies:
        tensor = copy(tensor)
    for copy, layer in zip(copies, made.layers, strict=True):
        copy.set_weights(layer.get_weights())
    policy = Policy(
        tf.keras.Model(source, tensor),
        Head("affine"),
        ArraySpec("x", (6,), "float32"),
        ArraySpec("action", (2,), "float32"),
    )
    export(policy, tmp_path / "a", precision="int8", observations=X)
    theirs = runtime.load(tmp_path / "a").outputs(X)
    step = (plain.max() - plain.min()) / 255
    # Half a step where a sum falls on the other side of a rounding, in any of three layers.
    assert np.abs(ours - theirs).mean() < 0.5 * step
    assert np.abs(ours - theirs).max() < 4 * step
    assert np.abs(ours - theirs).mean() < 0.3 * np.abs(plain - theirs).mean()


@pytest.mark.slow
def test_what_trained_rounded_is_better_rounded():
    def loss(with_callback):
        made = model()
        made.fit(X, Y, epochs=30, verbose=0)
        # Weights of very different sizes in one channel, which int8 holds badly.
        kernel = made.layers[1].kernel
        kernel.assign(tf.concat([kernel[:1] * 300, kernel[1:]], axis=0))
        made.layers[0].kernel.assign(made.layers[0].kernel / tf.constant([300.0] + [1.0] * 23))
        made.layers[0].bias.assign(made.layers[0].bias / tf.constant([300.0] + [1.0] * 23))
        made.compile(tf.keras.optimizers.Adam(1e-3), "mse")
        callbacks = [tp.QuantizationCallback(data=(X, Y))] if with_callback else []
        made.fit(X, Y, epochs=20, verbose=0, callbacks=callbacks)
        return float(np.mean((rounded(made) - Y) ** 2))

    assert loss(True) < 0.8 * loss(False)


def test_it_begins_at_its_step_and_says_so():
    made = model()
    callback = tp.QuantizationCallback(32, data=(X, Y))
    seen = Seen()
    history = made.fit(X, Y, batch_size=32, epochs=3, verbose=0, callbacks=[callback, seen])
    assert history.history["quantized"] == [0.0, 1.0, 1.0]  # 16 steps an epoch
    assert not callback.quantized
    assert isinstance(made.layers[0].kernel, tf.Variable)
    np.testing.assert_array_equal(made.predict(X, verbose=0), made(X))
    assert np.abs(seen.outputs[-1] - made(X).numpy()).max() > 1e-4


def dqn(fused=32):
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 16), n_step=3)
    settings = tp.agents.OffPolicySettings(warm_up=200, fused_steps=fused, batch_size=16)
    return tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)


def ppo():
    settings = tp.agents.OnPolicySettings(rollout_length=16, epochs=2, minibatch_size=32)
    agent = tp.agents.ppo("Pendulum-v1", hidden=(16, 16))
    return tp.AgentTrainer(agent, "Pendulum-v1", num_envs=4, settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize("make", [dqn, ppo])
def test_an_agent_trains_rounded_and_pruned_and_its_policy_is_plain(make, tmp_path):
    trainer = make()
    pruning = tp.PruningCallback(tp.schedules.one_shot(0.5, at=16))
    quantization = tp.QuantizationCallback(32)
    history = trainer.fit(steps=128, epochs=4, verbose=0, callbacks=[pruning, quantization]).history
    assert history["quantized"][-1] == 1.0
    assert np.isfinite(history["loss"]).all()
    ((network, _),) = trainer.prunable_networks()["actor"]
    zeros = [kernel.variable.numpy() == 0 for kernel in find_kernels(network)]
    share = sum(each.sum() for each in zeros) / sum(each.size for each in zeros)
    assert share == pytest.approx(0.5, abs=0.01)
    policy = trainer.policy()  # proved equal to the agent's
    made = export(
        policy,
        tmp_path / "a",
        precision="int8",
        observations=trainer.observations(200),
        requested_sparsity=None,
    )
    assert made.manifest.sparsity.achieved >= 0.49


def fitted(agent, callbacks, epochs):
    settings = tp.agents.OffPolicySettings(warm_up=50, fused_steps=4, batch_size=16)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=2, settings=settings)
    steps = 4 * epochs
    return trainer, trainer.fit(steps=steps, epochs=epochs, verbose=0, callbacks=callbacks).history


def test_evaluations_see_the_network_round():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,), n_step=1, learning_rate=1e-9)
    (network,) = [agent._q_network]
    kernel, bias, outputs, last = network.trainable_variables
    falls = np.array([0.0, 0.0, 1.0, 0.5])  # position, velocity, angle, angular velocity
    zeros = np.zeros(4)
    kernel.assign(np.stack([falls, -falls, zeros, zeros], axis=1))
    # Beside a unit that gives 10,000, in steps of 39, nothing is left of the others.
    bias.assign([0.0, 0.0, 1e4, 0.0])
    outputs.assign([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0], [0.0, 0.0]])
    last.assign([0.0, 0.0])
    callbacks = [tp.QuantizationCallback(4), tp.EvaluationCallback(episodes=5)]
    _, history = fitted(agent, callbacks, epochs=3)
    assert history["quantized"] == [1.0, 1.0, 1.0]
    assert max(history["return"]) < 15
    _, history = fitted(agent, callbacks[1:], epochs=1)
    assert history["return"][0] > 150


def test_an_evaluation_before_it_rounds_is_not_the_best(monkeypatch):
    returns = iter([500.0, 10.0, 30.0, 20.0])
    monkeypatch.setattr(tp.EvaluationCallback, "_returns", lambda self: [next(returns)])
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,), n_step=1)
    seen = []

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([each.numpy() for each in agent._q_network.variables])

    callbacks = [tp.QuantizationCallback(8), tp.EvaluationCallback(keep_best=True), Look()]
    _, history = fitted(agent, callbacks, epochs=4)
    assert history["quantized"] == [0.0, 1.0, 1.0, 1.0]
    for kept, best in zip(agent._q_network.variables, seen[2], strict=True):
        np.testing.assert_array_equal(kept, best)


@pytest.mark.slow
def test_targets_are_rounded_with_their_network():
    trainer = dqn(fused=1)
    agent = trainer.agent
    trainer.fit(steps=4, verbose=0)
    x = tf.constant(trainer.observations(50))
    found = {}

    class Look(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for name in ("_q_network", "_target_q_network"):
                found[name] = getattr(agent, name)(x)[0].numpy()

    trainer.fit(steps=4, epochs=1, verbose=0, callbacks=[tp.QuantizationCallback(), Look()])
    for name, value in found.items():
        plain = getattr(agent, name)(x)[0].numpy()
        assert 1e-6 < np.abs(value - plain).max() < 0.2, name


def test_what_cannot_be_rounded_is_named_and_trained_in_float(caplog):
    made = tf.keras.Sequential([L.LSTM(4, input_shape=(5, 6)), L.Dense(2, name="last")])
    made.compile("adam", "mse")
    x, y = np.zeros((8, 5, 6), "float32"), np.zeros((8, 2), "float32")
    with caplog.at_level(logging.WARNING, "tfdrlprune"):
        made.fit(x, y, verbose=0, callbacks=[tp.QuantizationCallback(data=(x, y))])
    assert "quantized after training only: lstm_cell, lstm_cell/recurrent_kernel" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_step": -1}, "start_step is 0 or more. Received: start_step=-1"),
        ({"start_step": "late"}, "start_step is a whole number"),
        ({"data": None}, r"give QuantizationCallback\(data=\(x, y\)\)"),
        ({"networks": "actr"}, "Did you mean 'actor'"),
    ],
)
def test_a_bad_argument_is_refused_before_training(arguments, message):
    made = model()
    before = made.get_weights()

    def fit():
        callback = tp.QuantizationCallback(**({"data": (X, Y)} | arguments))
        made.fit(X, Y, verbose=0, callbacks=[callback])

    with pytest.raises(ValueError, match=message):
        fit()
    for ours, theirs in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_critic_that_takes_actions_is_refused():
    agent = tp.agents.sac("Pendulum-v1", hidden=(8,))
    settings = tp.agents.SacSettings(batch_size=8, warm_up=50, fused_steps=1)
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", num_envs=4, settings=settings)
    with pytest.raises(ValueError, match=r"is not called on observations alone.*networks='actor'"):
        trainer.fit(steps=2, verbose=0, callbacks=[tp.QuantizationCallback(networks="critic")])
