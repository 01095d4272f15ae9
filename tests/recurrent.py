"""Trainers of recurrent agents, and their networks run alone."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from builders import Recall, recurrent_dqn, recurrent_ppo
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune.agents.internals import continued

SEQUENCES = tp.agents.OffPolicySettings(
    warm_up=200, fused_steps=16, batch_size=8, sequence_length=6, capacity=2_000
)
SHORT = tp.agents.OnPolicySettings(rollout_length=7)


def dqn_trainer(env=Recall, seed=0, settings=SEQUENCES, **arguments):
    return tp.AgentTrainer(
        recurrent_dqn(env, **arguments), env, num_envs=4, settings=settings, seed=seed
    )


def ppo_trainer(env=Recall, seed=0, **arguments):
    agent = recurrent_ppo(env, **arguments)
    return tp.AgentTrainer(agent, env, num_envs=4, settings=SHORT, seed=seed)


def run_alone(network, observations, first):
    """Returns a network's outputs step by step, from an empty state wherever an episode begins.

    Args:
        network: recurrent.
        observations: [time, ...], of one environment.
        first: bool, [time].
    """
    outputs, state = [], network.get_initial_state(1)
    for observation, begins in zip(observations, first, strict=True):
        if begins:
            state = network.get_initial_state(1)
        step_type = tf.constant([ts.StepType.MID])
        output, state = network(observation[None], step_type=step_type, network_state=state)
        outputs.append(output)
    return outputs


def logits_amid_episodes(trainer):
    """Returns the logits of a roll-out that begins amid episodes, each [envs, time, actions].

    As they were collected, as PPO trains on them, and as it would from empty states.

    Args:
        trainer: of PPO, with discrete actions.
    """
    agent, learner = trainer.agent, trainer._learner
    learner._collector.collect(7)
    rollout = learner._collector.collect(7)
    assert not rollout.first[0].any()
    experience = learner._update._experience(rollout)
    steps = ts.TimeStep(
        experience.step_type, experience.reward, experience.discount, experience.observation
    )
    policy = agent.collect_policy

    def logits():
        step = policy._distribution(steps, policy.get_initial_state(learner.vector.num_envs))
        return step.action.logits_parameter().numpy()

    with continued(agent, rollout.states):
        trained = logits()
    return np.swapaxes(rollout.parameters["logits"], 0, 1), trained, logits()
