"""What a trainer refuses before anything is trained."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import pytest
from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import q_network

import tfdrlprune as tp


@pytest.fixture(scope="module")
def trainer():
    return tp.AgentTrainer(tp.agents.dqn("CartPole-v1", hidden=(8,)), "CartPole-v1", num_envs=4)


def gated():
    return tp.PruningCallback(tp.schedules.ReturnGated(final_sparsity=0.5))


def test_averages_of_an_optimizer_are_refused(trainer):
    specs = trainer.agent.time_step_spec, trainer.agent.action_spec
    network = q_network.QNetwork(specs[0].observation, specs[1], fc_layer_params=(8,))
    optimizer = tf.keras.optimizers.Adam(use_ema=True)
    agent = dqn_agent.DqnAgent(*specs, q_network=network, optimizer=optimizer)
    with pytest.raises(ValueError, match=r"use_ema=True\. Leave it out"):
        tp.AgentTrainer(agent, "CartPole-v1")


@pytest.mark.parametrize(
    "callbacks",
    [
        lambda: [gated()],
        lambda: [gated(), tp.EvaluationCallback()],
        lambda: [tf.keras.callbacks.EarlyStopping("loss"), gated()],
    ],
    ids=["none", "after it", "another"],
)
def test_a_gate_without_returns_is_refused_before_training(trainer, callbacks):
    with pytest.raises(ValueError, match=r"Put tp.EvaluationCallback\(\) before"):
        trainer.fit(steps=64, callbacks=callbacks(), verbose=0)
    assert trainer.optimizer_step() == 0


def test_a_callback_of_the_users_own_may_give_the_return():
    class Own(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["return"] = 1.0

    made = tp.AgentTrainer(tp.agents.dqn("CartPole-v1", hidden=(8,)), "CartPole-v1", num_envs=4)
    history = made.fit(steps=64, epochs=1, callbacks=[Own(), gated()], verbose=0).history
    assert history["return_reference"] == [1.0]
