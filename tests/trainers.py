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


def trained_and_resumed(make, steps, path):
    """Returns a trainer after twice so many steps, and one that took over at half of them.

    Args:
        make: makes a trainer, with a seed or without.
        steps: of each half.
        path: of the checkpoint.
    """
    trainer = make()
    trainer.fit(steps=steps, verbose=0)
    trainer.save_weights(str(path))
    other = make(seed=5)
    other.load_weights(str(path))
    for each in (trainer, other):
        each.fit(steps=steps, verbose=0)
    return trainer, other
