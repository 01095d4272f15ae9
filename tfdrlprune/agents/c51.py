"""C51 agents with defaults that learn the classic tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.networks import categorical_q_network

from tfdrlprune.agents.dqn import check_discrete
from tfdrlprune.agents.environments import action_spec as make_action_spec
from tfdrlprune.agents.environments import spaces_of
from tfdrlprune.agents.environments import time_step_spec as make_time_step_spec
from tfdrlprune.agents.networks import front, initialize_he
from tfdrlprune.agents.policy_networks import DistributionalQ, check_choices
from tfdrlprune.policies.form import Policy

_NAMES = ("CategoricalQNetwork", "TargetCategoricalQNetwork")


def c51(  # noqa: PLR0913 (hyper-parameters)
    env: Any,
    *,
    hidden: Sequence[int] = (64, 64),
    conv: Sequence[tuple[int, int, int]] | None = None,
    atoms: int = 51,
    min_value: float = -200.0,
    max_value: float = 200.0,
    policy: Policy | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    n_step: int = 10,
    gamma: float = 0.99,
    epsilon: float = 0.05,
    target_update_period: int = 200,
    target_update_tau: float = 1.0,
    gradient_clipping: float | None = 10.0,
) -> categorical_dqn_agent.CategoricalDqnAgent:
    """Returns a TF-Agents categorical DQN agent for an environment, ready for `AgentTrainer`.

    C51 (Bellemare et al. 2017, "A Distributional Perspective on Reinforcement Learning"): a
    distribution over returns for each action, with n-step targets as in Rainbow (Hessel et al.
    2018). It acts by the means.

    Args:
        env: registered id, factory or ``gymnasium.Env``; its actions must be one Discrete.
        hidden: units of the ReLU layers.
        conv: for image observations, (filters, kernel size, stride) of each layer before them;
            uint8 images are scaled to [0, 1]. Several observations are flattened and joined.
        atoms: returns that a distribution has probabilities for, 2 or more.
        min_value: lowest of them. Discounted returns beyond it are taken for it.
        max_value: highest of them, likewise.
        policy: to begin with, of a C51 agent, in place of a new network; its atoms are taken, and
            the target is a copy of it.
        seed: of the initial weights.
        learning_rate: Adam's at the start; `AgentTrainer` lowers it linearly.
        n_step: rewards in a target, in [1, ...).
        gamma: discount factor, in [0, 1].
        epsilon: final probability of a random action; `AgentTrainer` starts it at 1.
        target_update_period: steps between updates of the target network.
        target_update_tau: share of the online network in an update, in (0, 1].
        gradient_clipping: largest norm of a gradient, of each variable by itself; None for any.

    Raises:
        ValueError: the environment is unknown, its actions are not one Discrete, or there are no
            two atoms between two values, or the policy does not fit.

    Example:
        >>> agent = c51("CartPole-v1", hidden=(32, 32), seed=0)
        >>> type(agent).__name__
        'CategoricalDqnAgent'
    """
    if not (atoms >= 2 and min_value < max_value):
        raise ValueError(
            "C51 needs two atoms or more, from min_value up to max_value. Received: "
            f"atoms={atoms}, min_value={min_value}, max_value={max_value}."
        )
    observation_space, action_space = spaces_of(env)
    time_step_spec = make_time_step_spec(observation_space)
    action_spec = make_action_spec(action_space)
    check_discrete(env, "C51", action_spec, action_space)
    observation = time_step_spec.observation
    networks: list[Any]
    if policy is None:
        networks = _networks(observation, action_spec, hidden, conv, atoms)
    else:
        check_choices(policy, action_spec)
        networks = [DistributionalQ(observation, policy, name) for name in _NAMES]
        min_value, max_value = networks[0].support[0], networks[0].support[-1]
    agent = categorical_dqn_agent.CategoricalDqnAgent(
        time_step_spec,
        action_spec,
        categorical_q_network=networks[0],
        target_categorical_q_network=networks[1],
        optimizer=tf.keras.optimizers.Adam(learning_rate),
        min_q_value=min_value,
        max_q_value=max_value,
        n_step_update=n_step,
        epsilon_greedy=epsilon,
        gamma=gamma,
        target_update_period=target_update_period,
        target_update_tau=target_update_tau,
        gradient_clipping=gradient_clipping,
        # The default counter is one for the whole process.
        train_step_counter=tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    if policy is None:
        initialize_he(networks[0], seed)
    agent.initialize()  # copies the weights into the target
    return agent


def _networks(
    observation: Any,
    action: Any,
    hidden: Sequence[int],
    conv: Sequence[tuple[int, int, int]] | None,
    atoms: int,
) -> list[Any]:
    """Returns a network of distributions and its target."""
    arguments = {"fc_layer_params": tuple(hidden), **front(observation, conv)}
    kind = categorical_q_network.CategoricalQNetwork
    return [kind(observation, action, num_atoms=atoms, name=name, **arguments) for name in _NAMES]
