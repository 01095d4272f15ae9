"""Trainers of small agents, and how much of their networks is zero."""

from tfdrlprune._tf import tfmot
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import tfdrlprune as tp
from tfdrlprune.pruning.kernels import find_kernels

FAST = tp.agents.OffPolicySettings(warm_up=200, fused_steps=32, batch_size=16)
SHORT = tp.agents.OnPolicySettings(rollout_length=16, epochs=2, minibatch_size=32)


def dqn_trainer(**arguments):
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 16), n_step=3)
    return tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=FAST, **arguments)


def ppo_trainer(env="CartPole-v1"):
    agent = tp.agents.ppo(env, hidden=(16, 16))
    return tp.AgentTrainer(agent, env, num_envs=4, settings=SHORT)


def polynomial(begin, end):
    return tfmot().sparsity.keras.PolynomialDecay(0.0, 0.8, begin, end, frequency=8)


def zero_share(network):
    kernels = [kernel.variable.numpy() for kernel in find_kernels(network)]
    return sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels)
