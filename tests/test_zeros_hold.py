"""Zeros are exact after every optimizer step, with every network of TF-Agents and every optimizer.

A spy behind the optimizer counts the masked weights that are not zero, inside the compiled step:
so PPO's inner epochs are seen as well.
"""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from builders import Scale
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.ddpg import actor_network, critic_network
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_clip_agent
from tf_agents.agents.sac import sac_agent
from tf_agents.agents.td3 import td3_agent
from tf_agents.keras_layers import dynamic_unroll_layer
from tf_agents.networks import (
    actor_distribution_network,
    actor_distribution_rnn_network,
    categorical_q_network,
    q_network,
    q_rnn_network,
    sequential,
    value_network,
    value_rnn_network,
)
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Selection

VECTOR = tensor_spec.BoundedTensorSpec((4,), tf.float32, -1, 1, name="vector")
IMAGE = tensor_spec.BoundedTensorSpec((6, 6, 1), tf.uint8, 0, 255, name="image")
BOTH = {"image": IMAGE, "vector": VECTOR}
CHOICE = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 2, name="choice")
FORCE = tensor_spec.BoundedTensorSpec((2,), tf.float32, -1, 1, name="force")
UNITS = {"fc_layer_params": (8, 6)}
LSTM = {"input_fc_layer_params": (8,), "lstm_size": (5,), "output_fc_layer_params": (6,)}
JOINED = {
    "preprocessing_layers": {
        "image": tf.keras.Sequential([Scale(), tf.keras.layers.Flatten()]),
        "vector": tf.keras.layers.Dense(3),
    },
    "preprocessing_combiner": tf.keras.layers.Concatenate(),
}


def counter():
    return tf.Variable(0, dtype=tf.int64)


def dqn(network, optimizer, observation=VECTOR, kind=dqn_agent.DdqnAgent, **arguments):
    agent = kind(
        ts.time_step_spec(observation),
        CHOICE,
        network,
        optimizer=optimizer,
        train_step_counter=counter(),
        target_update_tau=0.5,
        **arguments,
    )
    agent.initialize()
    return agent, [(agent._q_network, [agent._target_q_network])], [agent._optimizer]


def c51(optimizer):
    network = categorical_q_network.CategoricalQNetwork(VECTOR, CHOICE, num_atoms=5, **UNITS)
    agent = categorical_dqn_agent.CategoricalDqnAgent(
        ts.time_step_spec(VECTOR),
        CHOICE,
        network,
        optimizer,
        train_step_counter=counter(),
        target_update_tau=0.5,
    )
    agent.initialize()
    return agent, [(agent._q_network, [agent._target_q_network])], [agent._optimizer]


def ppo(actor, critic, optimizer, observation=VECTOR, action=FORCE):
    agent = ppo_clip_agent.PPOClipAgent(
        ts.time_step_spec(observation),
        action,
        optimizer,
        actor_net=actor,
        value_net=critic,
        num_epochs=3,
        gradient_clipping=0.5,
        train_step_counter=counter(),
    )
    agent.initialize()
    return agent, [(actor, []), (critic, [])], [agent._optimizer]


def plain_ppo(optimizer):
    actor = actor_distribution_network.ActorDistributionNetwork(VECTOR, FORCE, **UNITS)
    return ppo(actor, value_network.ValueNetwork(VECTOR, **UNITS), optimizer)


def recurrent_ppo(optimizer):
    actor = actor_distribution_rnn_network.ActorDistributionRnnNetwork(VECTOR, CHOICE, **LSTM)
    return ppo(actor, value_rnn_network.ValueRnnNetwork(VECTOR, **LSTM), optimizer, action=CHOICE)


def sac(optimizer):
    agent = sac_agent.SacAgent(
        ts.time_step_spec(VECTOR),
        FORCE,
        critic_network.CriticNetwork((VECTOR, FORCE), joint_fc_layer_params=(8, 6)),
        actor_distribution_network.ActorDistributionNetwork(VECTOR, FORCE, **UNITS),
        *(optimizer, type(optimizer)(0.01), type(optimizer)(0.01)),
        train_step_counter=counter(),
    )
    agent.initialize()
    networks = [
        (agent._actor_network, []),
        (agent._critic_network_1, [agent._target_critic_network_1]),
        (agent._critic_network_2, [agent._target_critic_network_2]),
    ]
    return agent, networks, [agent._actor_optimizer, agent._critic_optimizer]


def td3(optimizer):
    agent = td3_agent.Td3Agent(
        ts.time_step_spec(VECTOR),
        FORCE,
        actor_network.ActorNetwork(VECTOR, FORCE, fc_layer_params=(8, 6)),
        critic_network.CriticNetwork((VECTOR, FORCE), joint_fc_layer_params=(8, 6)),
        *(optimizer, type(optimizer)(0.01)),
        train_step_counter=counter(),
    )
    agent.initialize()
    networks = [
        (agent._actor_network, [agent._target_actor_network]),
        (agent._critic_network_1, [agent._target_critic_network_1]),
        (agent._critic_network_2, [agent._target_critic_network_2]),
    ]
    return agent, networks, [agent._actor_optimizer, agent._critic_optimizer]


def gru(optimizer):
    layers = [
        tf.keras.layers.Dense(8),
        dynamic_unroll_layer.DynamicUnroll(tf.keras.layers.GRUCell(5)),
        tf.keras.layers.Dense(3),
    ]
    return dqn(sequential.Sequential(layers, input_spec=VECTOR), optimizer)


NETWORKS = {
    "QNetwork": lambda o: dqn(q_network.QNetwork(VECTOR, CHOICE, **UNITS), o),
    "QNetwork, DQN": lambda o: dqn(
        q_network.QNetwork(VECTOR, CHOICE, **UNITS),
        o,
        kind=dqn_agent.DqnAgent,
        gradient_clipping=0.1,
    ),
    "QNetwork of images": lambda o: dqn(
        q_network.QNetwork(
            *(IMAGE, CHOICE), preprocessing_layers=Scale(), conv_layer_params=[(4, 3, 1)], **UNITS
        ),
        o,
        observation=IMAGE,
    ),
    "QNetwork of several observations": lambda o: dqn(
        q_network.QNetwork(BOTH, CHOICE, **JOINED, **UNITS), o, observation=BOTH
    ),
    "DuelingQNetwork": lambda o: dqn(DuelingQNetwork(VECTOR, CHOICE, **UNITS), o),
    "CategoricalQNetwork": c51,
    "Sequential": lambda o: dqn(
        sequential.Sequential(
            [tf.keras.layers.Dense(8, "relu"), tf.keras.layers.Dense(3)], input_spec=VECTOR
        ),
        o,
    ),
    "QRnnNetwork": lambda o: dqn(q_rnn_network.QRnnNetwork(VECTOR, CHOICE, **LSTM), o),
    "Sequential with a GRU": gru,
    "ActorDistributionNetwork, ValueNetwork": plain_ppo,
    "ActorDistributionRnnNetwork, ValueRnnNetwork": recurrent_ppo,
    "ActorDistributionNetwork, CriticNetwork": sac,
    "ActorNetwork, CriticNetwork": td3,
}
KERAS = tf.keras.optimizers
OPTIMIZERS = {
    "Adam": KERAS.Adam,
    "AdamW with clipping": lambda rate=0.01: KERAS.AdamW(rate, weight_decay=0.1, clipnorm=0.1),
    "RMSprop": lambda rate=0.01: KERAS.RMSprop(rate, momentum=0.9),
    "SGD with momentum": lambda rate=0.01: KERAS.SGD(rate, momentum=0.9, nesterov=True),
    "legacy Adam": KERAS.legacy.Adam,
    "legacy SGD with momentum": lambda rate=0.01: KERAS.legacy.SGD(rate, momentum=0.9),
    "TF 1 Adam": tf.compat.v1.train.AdamOptimizer,
    "TF 1 RMSprop": lambda rate=0.01: tf.compat.v1.train.RMSPropOptimizer(rate, momentum=0.9),
}


class Spy:
    """Counts, after every step of some optimizers, the masked weights that are not zero."""

    def __init__(self, masks, optimizers):
        self.steps, self.wrong = (tf.Variable(0, dtype=tf.int64) for _ in range(2))
        self._masks = masks
        for optimizer in optimizers:
            optimizer.apply_gradients = self._behind(optimizer.apply_gradients)

    def _behind(self, own):
        def apply_gradients(grads_and_vars, *args, **kwargs):
            made = own(list(grads_and_vars), *args, **kwargs)
            with tf.control_dependencies([made] if isinstance(made, tf.Tensor) else []):
                for kernel, mask in zip(self._masks.kernels, self._masks.variables, strict=True):
                    there = tf.cast(kernel.variable != 0.0, tf.int64) * tf.cast(
                        mask == 0.0, tf.int64
                    )
                    self.wrong.assign_add(tf.reduce_sum(there))
                self.steps.assign_add(1)
            return made

        return apply_gradients


# Steps in a sample, where they are not the two of a transition.
TIMES = {
    "QRnnNetwork": 5,
    "Sequential with a GRU": 5,
    "ActorDistributionNetwork, ValueNetwork": 6,
    "ActorDistributionRnnNetwork, ValueRnnNetwork": 6,
}


def experience(agent, time):
    """Returns random steps amid episodes, [4, time], with numbers of a size that losses bear."""
    sample = tensor_spec.sample_spec_nest(agent.collect_data_spec, outer_dims=(4, time), seed=1)
    ones = tf.ones_like(sample.reward)
    middle = tf.ones_like(sample.step_type)
    halves = tf.nest.map_structure(lambda each: tf.fill(each.shape, 0.5), sample.policy_info)
    return sample._replace(
        **{"step_type": middle, "next_step_type": middle, "discount": ones, "reward": 0.1 * ones},
        policy_info=halves,
    )


def cases():
    for network in NETWORKS:
        for optimizer in OPTIMIZERS:
            if network == "ActorDistributionNetwork, CriticNetwork" and "AdamW" in optimizer:
                continue  # SacAgent makes a legacy optimizer of what it is given: there is no AdamW
            # The constraint is the variable's: one by one by default, all pairs in the slow tests.
            quick = optimizer == "Adam" or network == "QNetwork"
            yield pytest.param(
                network,
                optimizer,
                marks=() if quick else pytest.mark.slow,
                id=f"{network}: {optimizer}",
            )


@pytest.mark.parametrize(("network", "optimizer"), cases())
def test_zeros_are_exact_after_every_optimizer_step(network, optimizer):
    tf.keras.utils.set_random_seed(0)
    agent, networks, optimizers = NETWORKS[network](OPTIMIZERS[optimizer](0.01))
    kernels = [kernel for each, _ in networks for kernel in find_kernels(each)]
    followers = [
        [find_kernels(other)[index] for other in others]
        for each, others in networks
        for index in range(len(find_kernels(each)))
    ]
    pruner = Pruner(kernels, Schedule(lambda step: 0.6, 1), Selection(), followers)
    spy = Spy(pruner.masks, optimizers)
    sample = experience(agent, TIMES.get(network, 2))
    with tf.summary.record_if(False):
        agent.train(sample)  # dense, so that the moments of what goes are not zero
        assert int(spy.wrong) == 0
        pruner.update(0)
        before, steps = [kernel.variable.numpy() for kernel in kernels], int(spy.steps)
        for _ in range(3):
            agent.train(sample)
            for kernel, mask, others in zip(kernels, pruner.masks.numpy(), followers, strict=True):
                for each in (kernel, *others):
                    assert (each.variable.numpy()[mask == 0.0] == 0.0).all()
    epochs = 3 if "Value" in network else 1
    assert int(spy.steps) - steps >= 3 * epochs
    assert int(spy.wrong) == 0
    zeros = sum(int((mask == 0.0).sum()) for mask in pruner.masks.numpy())
    assert zeros == round(0.6 * sum(kernel.variable.numpy().size for kernel in kernels))
    moved = [
        np.any(kernel.variable.numpy() != old) for kernel, old in zip(kernels, before, strict=True)
    ]
    assert np.mean(moved) > 0.6  # it trained


@pytest.mark.parametrize(
    "make",
    [
        lambda: tp.PruningCallback(tp.schedules.cubic(0.6, 0, 12, frequency=3)),
        lambda: tp.PruningCallback(
            tp.schedules.cubic(0.6, 0, 12, frequency=3), criterion="movement"
        ),
        lambda: tp.SparseTrainingCallback(0.6, "set", end_step=12, frequency=3),
    ],
    ids=["magnitude", "movement", "set"],
)
def test_zeros_are_exact_after_every_step_of_mixed_precision(make):
    tf.keras.utils.set_random_seed(0)
    layers = [
        tf.keras.layers.Dense(16, "relu", dtype="mixed_float16", input_shape=(6,)),
        tf.keras.layers.Dense(4, dtype="mixed_float16"),
        tf.keras.layers.Activation("linear", dtype="float32"),
    ]
    model = tf.keras.Sequential(layers)
    # It begins so high that the first steps overflow and are left out.
    inner = tf.keras.optimizers.Adam(0.01)
    model.compile(tf.keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=2.0**30), "mse")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    masking, steps = make(), []

    class Look(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            (engine,) = masking._engines
            for kernel, mask in zip(engine.masks.kernels, engine.masks.numpy(), strict=True):
                assert (kernel.variable.numpy()[mask == 0.0] == 0.0).all()
            steps.append(masking.sparsity()["sparsity"])

    before = model.get_weights()
    history = model.fit(x, x[:, :4], batch_size=4, epochs=2, verbose=0, callbacks=[masking, Look()])
    assert len(steps) == 32
    assert steps[-1] == 96 / 160
    assert np.isfinite(history.history["loss"][-1])
    assert not np.allclose(before[2], model.get_weights()[2])
