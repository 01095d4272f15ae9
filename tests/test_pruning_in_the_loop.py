"""Agents that are pruned while they train: exact zeros, in every network and every step."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from trainers import dqn_trainer, polynomial, ppo_trainer, zero_share

import tfdrlprune as tp
from tfdrlprune.pruning.kernels import find_kernels


@pytest.mark.parametrize("make", [dqn_trainer, ppo_trainer])
def test_pruning_in_the_fit_loop_ends_with_the_exact_sparsity(make):
    trainer = make()
    callback = tp.PruningCallback(polynomial(8, 48))
    seen = []

    class Watch(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ((actor, followers),) = self.model.prunable_networks()["actor"]
            seen.append((logs["sparsity"], [zero_share(net) for net in (actor, *followers)]))

    trainer.fit(steps=96, verbose=0, callbacks=[callback, Watch()])
    ((actor, _),) = trainer.prunable_networks()["actor"]
    total = sum(kernel.variable.numpy().size for kernel in find_kernels(actor))
    assert zero_share(actor) == round(0.8 * total) / total
    for logged, shares in seen:
        assert shares == pytest.approx([logged] * len(shares), abs=1e-6)


@pytest.mark.slow
def test_the_critic_is_left_alone_unless_it_is_asked_for():
    trainer = ppo_trainer()
    trainer.fit(steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.5)])
    networks = trainer.prunable_networks()
    assert zero_share(networks["actor"][0][0]) == pytest.approx(0.5, abs=0.01)
    assert zero_share(networks["critic"][0][0]) == 0.0
    trainer = ppo_trainer()
    both = tp.PruningCallback(lambda step: 0.5, networks=("actor", "critic"))
    trainer.fit(steps=16, verbose=0, callbacks=[both])
    assert zero_share(trainer.prunable_networks()["critic"][0][0]) > 0.3


def test_zeros_hold_inside_ppos_epochs():
    trainer = ppo_trainer()
    trainer.fit(steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda step: 0.8)])
    actor = trainer.prunable_networks()["actor"][0][0]
    masked = [kernel.variable.numpy() == 0 for kernel in find_kernels(actor)]
    after_each = []
    optimizer, original = trainer.optimizer, trainer.optimizer.apply_gradients

    def watched(pairs, **arguments):
        result = original(pairs, **arguments)
        after_each.append([kernel.variable.numpy() == 0 for kernel in find_kernels(actor)])
        return result

    optimizer.apply_gradients = watched
    tf.config.run_functions_eagerly(True)
    try:
        trainer.make_train_function(force=True)
        trainer._learner._update._train = lambda steps, inputs: [
            trainer._learner._update._train_once(i, tf.nest.map_structure(tf.constant, inputs))
            for i in range(steps)
        ]
        trainer._learner._update(trainer._learner._collector.collect(16))
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(after_each) == 4
    for step in after_each:
        for mask, zeros in zip(masked, step, strict=True):
            np.testing.assert_array_equal(zeros, mask)


@pytest.mark.slow
def test_dqn_solves_cartpole_while_it_is_pruned():
    agent = tp.agents.dqn("CartPole-v1", hidden=(64, 64), seed=1)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", seed=1)
    schedule = tp.PolynomialDecay(0.0, 0.9, begin_step=10_000, end_step=30_000)
    judge = tp.EvaluationCallback(episodes=100, seed=77, keep_best=True)
    history = trainer.fit(steps=50_000, verbose=0, callbacks=[tp.PruningCallback(schedule), judge])
    assert history.history["sparsity"][-1] == 0.9
    fresh = {}
    last = tp.EvaluationCallback(episodes=100, seed=12_345)
    last.set_model(trainer)
    last.on_epoch_end(0, fresh)
    assert fresh["return"] >= 475
