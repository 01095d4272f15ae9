"""Makes the SavedModels in this folder's archives; runs under an old TF-Agents, not under ours.

    python make_old_saved_models.py OUT

0.5.0 was TensorFlow 2.2.3 on Python 3.7, 0.12.0 was TensorFlow 2.8.4 on Python 3.10. Beside each
SavedModel stands an .npz of observations, x, and of what the policy did in an episode of them, a.
"""

import sys

import numpy as np
import tensorflow as tf
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_clip_agent
from tf_agents.networks import (
    actor_distribution_network,
    q_network,
    q_rnn_network,
    value_network,
)
from tf_agents.policies import greedy_policy, policy_saver
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step

OBSERVATION = tensor_spec.BoundedTensorSpec((4,), tf.float32, -3.0, 3.0)
CHOICE = tensor_spec.BoundedTensorSpec((), tf.int64, 0, 2)
FORCE = tensor_spec.BoundedTensorSpec((2,), tf.float32, [-2.0, -1.0], [2.0, 3.0])


def dqn(network):
    steps = time_step.time_step_spec(OBSERVATION)
    agent = dqn_agent.DqnAgent(steps, CHOICE, network, tf.compat.v1.train.AdamOptimizer())
    agent.initialize()
    return agent.policy


def ppo():
    sizes = {"fc_layer_params": (8,)}
    agent = ppo_clip_agent.PPOClipAgent(
        time_step.time_step_spec(OBSERVATION),
        FORCE,
        tf.compat.v1.train.AdamOptimizer(),
        actor_net=actor_distribution_network.ActorDistributionNetwork(OBSERVATION, FORCE, **sizes),
        value_net=value_network.ValueNetwork(OBSERVATION, **sizes),
        normalize_observations=True,
    )
    agent.initialize()
    return greedy_policy.GreedyPolicy(agent.policy)


def acted(policy, observations):
    state, actions = policy.get_initial_state(1), []
    for row, each in enumerate(observations):
        given = tf.constant(each[None])
        begun = time_step.restart(given, 1)
        result = policy.action(time_step.transition(given, tf.zeros([1])) if row else begun, state)
        state = result.state
        actions.append(result.action.numpy()[0])
    return np.array(actions)


def main(folder):
    tf.random.set_seed(0)
    makers = {
        "dqn": lambda: dqn(q_network.QNetwork(OBSERVATION, CHOICE, fc_layer_params=(8,))),
        "rnn": lambda: dqn(
            q_rnn_network.QRnnNetwork(
                OBSERVATION,
                CHOICE,
                input_fc_layer_params=(6,),
                lstm_size=(5,),
                output_fc_layer_params=(6,),
            )
        ),
        "ppo": ppo,
    }
    observations = 2 * np.random.RandomState(0).normal(size=(40, 4)).astype("float32")
    for name, make in makers.items():
        policy = make()
        for variable in tf.nest.flatten(policy.variables()):
            if variable.shape.rank == 1 and "bias" in variable.name:
                variable.assign(tf.random.normal(variable.shape) * 0.02)
            if name == "rnn" and variable.shape.rank == 2 and "kernel" in variable.name:
                variable.assign(2.0 * variable)
        policy_saver.PolicySaver(policy, batch_size=None).save(f"{folder}/{name}")
        np.savez(f"{folder}/{name}.npz", x=observations, a=acted(policy, observations))


if __name__ == "__main__":
    main(sys.argv[1])
