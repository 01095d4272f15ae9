"""Collection beside training: as deterministic as without, one batch older, nothing lost."""

import threading

from tfdrlprune._tf import tf

import gymnasium
import numpy as np
import pytest

import tfdrlprune as tp

STEPS, FUSED, ENVS = 96, 16, 4


def make_trainer(overlap, env="CartPole-v1", **arguments):
    settings = tp.agents.OffPolicySettings(
        batch_size=8, warm_up=64, fused_steps=FUSED, overlap=overlap
    )
    agent = tp.agents.dqn("CartPole-v1", hidden=(16,), seed=1, n_step=2)
    return tp.AgentTrainer(agent, env, num_envs=ENVS, settings=settings, seed=5, **arguments)


def weights(trainer):
    return [variable.numpy() for variable in trainer.agent._q_network.variables]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def fitted(trainer, steps=STEPS, **arguments):
    trainer.fit(steps=steps, verbose=0, **arguments)
    return weights(trainer)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_counts():
    one, other, alone = make_trainer(True), make_trainer(True), make_trainer(False)
    ours = fitted(one)
    assert_equal(ours, fitted(other))
    # By older weights, so not the same as without; but as many steps of everything.
    assert not np.array_equal(ours[0], fitted(alone)[0])
    assert one.env_step == alone.env_step == 64 + STEPS
    assert one.optimizer_step() == alone.optimizer_step() == STEPS


@pytest.mark.slow
def test_collection_runs_while_training_does():
    trainer = make_trainer(True)
    fitted(trainer, steps=FUSED)
    collecting = threading.Event()
    learner = trainer._learner
    collect = learner._collect
    learner._collect = lambda: (collecting.set(), collect())[1]
    train, met = learner._train, []

    def wait(steps, inputs):
        met.append(collecting.wait(timeout=20))
        collecting.clear()
        return train(steps, inputs)

    learner._train = wait
    learner.forget_compiled = lambda: None
    fitted(trainer, steps=3 * FUSED)
    # The last batch has none to collect for; the first one's own was collected before it.
    assert met[:2] == [True, True]


def test_a_resumed_run_goes_on_as_the_saved_one(tmp_path):
    class Save(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.save_weights(str(tmp_path / "at"))

    whole = make_trainer(True)
    expected = fitted(whole, callbacks=[Save()], epochs=1)
    resumed = make_trainer(True)
    resumed.load_weights(str(tmp_path / "at"))
    begun = resumed.optimizer_step()
    assert begun == 3 * FUSED
    resumed._run_steps = STEPS
    while (done := resumed.optimizer_step()) < STEPS:
        resumed._rates.follow(done / STEPS)
        resumed._train_batch(None)
    assert_equal(expected, weights(resumed))
    assert resumed.env_step == whole.env_step == 64 + STEPS


def test_a_network_that_does_not_act_in_numpy_is_trained_without():
    found = []
    for overlap in (True, False):
        trainer = make_trainer(overlap)
        trainer._learner._method._scores._run = None
        for layer in trainer.agent._q_network.layers[0].layers:
            if isinstance(layer, tf.keras.layers.Dense):
                layer.activation = tf.keras.activations.swish
        found.append(fitted(trainer))
        assert not trainer._learner._method.acts_on_copies
    assert_equal(*found)


def test_an_error_of_the_environment_comes_out_of_fit():
    class Breaks(gymnasium.Wrapper):
        steps = 0

        def step(self, action):
            Breaks.steps += 1
            if Breaks.steps > 64 + 2 * FUSED:
                raise RuntimeError("the motor is on fire")
            return self.env.step(action)

    trainer = make_trainer(True, env=lambda: Breaks(gymnasium.make("CartPole-v1")))
    with pytest.raises(RuntimeError, match="the motor is on fire"):
        fitted(trainer)
