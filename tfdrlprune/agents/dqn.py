"""DQN agents with defaults that learn the classic tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import q_network
from tf_agents.utils import common

from tfdrlprune.agents.environments import action_spec as make_action_spec
from tfdrlprune.agents.environments import spaces_of
from tfdrlprune.agents.environments import time_step_spec as make_time_step_spec
from tfdrlprune.agents.networks import front, initialize_he
from tfdrlprune.agents.policy_networks import check_choices
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.model_network import ModelNetwork


def dqn(  # noqa: PLR0913 (hyper-parameters)
    env: Any,
    *,
    hidden: Sequence[int] = (64, 64),
    conv: Sequence[tuple[int, int, int]] | None = None,
    double: bool = True,
    dueling: bool = False,
    policy: Policy | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    n_step: int | None = None,
    gamma: float = 0.99,
    epsilon: float = 0.05,
    reward_scale: float = 0.02,
    target_update_period: int = 200,
    target_update_tau: float = 1.0,
    gradient_clipping: float = 10.0,
) -> dqn_agent.DqnAgent:
    """Returns a TF-Agents DQN agent for an environment, ready for `AgentTrainer`.

    The defaults solve CartPole-v1 in 30,000 to 50,000 steps: double DQN (van Hasselt et al. 2016),
    Huber loss, n-step returns (Sutton 1988; as in Rainbow, Hessel et al. 2018), rewards scaled so
    that returns stay near 1, and a hard target update (Mnih et al. 2015).

    Args:
        env: registered id, factory or ``gymnasium.Env``; its actions must be one Discrete.
        hidden: units of the ReLU layers; with ``dueling`` the last is there twice.
        conv: for image observations, (filters, kernel size, stride) of each layer before them;
            uint8 images are scaled to [0, 1]. Several observations are flattened and joined.
        double: choose the next action by the online network, not by the target.
        dueling: estimate the state's value and the actions' advantages by streams of their own
            (Wang et al. 2016).
        policy: to begin with, its scores taken for Q-values, in place of a new network of
            ``hidden``, ``conv`` and ``dueling``; the target is a copy of it. A recurrent one is
            trained on sequences, `OffPolicySettings` says how long, each from an empty state.
        seed: of the initial weights.
        learning_rate: Adam's at the start; `AgentTrainer` lowers it linearly.
        n_step: rewards in a target, in [1, ...). None is 10, and 1 with a recurrent policy, for
            which TF-Agents has no others.
        gamma: discount factor, in [0, 1].
        epsilon: final probability of a random action; `AgentTrainer` starts it at 1.
        reward_scale: factor on the reward inside the loss.
        target_update_period: steps between updates of the target network.
        target_update_tau: share of the online network in an update, in (0, 1].
        gradient_clipping: largest norm of a gradient, of each variable by itself.

    Raises:
        ValueError: the environment is unknown, its actions are not one Discrete, the policy does
            not fit them or the observations, or is recurrent where ``n_step`` is not 1.

    Example:
        >>> agent = dqn("CartPole-v1", hidden=(32, 32), seed=0)
        >>> type(agent).__name__
        'DdqnAgent'
    """
    observation_space, action_space = spaces_of(env)
    time_step_spec = make_time_step_spec(observation_space)
    action_spec = make_action_spec(action_space)
    check_discrete(env, "DQN", action_spec, action_space)
    n_step = _steps_of_target(n_step, policy)
    networks = (
        _networks(time_step_spec.observation, action_spec, hidden, conv, dueling)
        if policy is None
        else _begun(time_step_spec.observation, action_spec, policy)
    )
    agent = (dqn_agent.DdqnAgent if double else dqn_agent.DqnAgent)(
        time_step_spec,
        action_spec,
        q_network=networks[0],
        target_q_network=networks[1],
        optimizer=tf.keras.optimizers.Adam(learning_rate),
        n_step_update=n_step,
        epsilon_greedy=epsilon,
        gamma=gamma,
        reward_scale_factor=reward_scale,
        target_update_period=target_update_period,
        target_update_tau=target_update_tau,
        gradient_clipping=gradient_clipping,
        td_errors_loss_fn=common.element_wise_huber_loss,
        # The default counter is one for the whole process.
        train_step_counter=tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    if policy is None:
        initialize_he(networks[0], seed)
    agent.initialize()  # copies the weights into the target
    return agent


_NAMES = ("QNetwork", "TargetQNetwork")


def _networks(
    observation: Any,
    action: Any,
    hidden: Sequence[int],
    conv: Sequence[tuple[int, int, int]] | None,
    dueling: bool,
) -> list[Any]:
    """Returns a Q-network and its target."""
    arguments = {"fc_layer_params": tuple(hidden), **front(observation, conv)}
    kind = DuelingQNetwork if dueling else q_network.QNetwork
    return [kind(observation, action, name=name, **arguments) for name in _NAMES]


def _begun(observation: Any, action: Any, policy: Policy) -> list[Any]:
    """Returns a Q-network that begins as a policy, and its target."""
    check_choices(policy, action)
    return [ModelNetwork(observation, policy, name) for name in _NAMES]


def _steps_of_target(n_step: int | None, policy: Policy | None) -> int:
    recurrent = policy is not None and bool(policy.states)
    if recurrent and n_step not in (None, 1):
        raise ValueError(
            "TF-Agents trains recurrent Q-networks on one-step targets. Received: a recurrent "
            f"policy and n_step={n_step}. Leave n_step out."
        )
    return n_step or (1 if recurrent else 10)


def check_discrete(env: Any, name: str, action_spec: Any, action_space: Any) -> None:
    """Raises ValueError unless an environment's actions are one Discrete.

    Args:
        env: the environment, for the message.
        name: of the algorithm, likewise.
        action_spec: what TF-Agents sees.
        action_space: what it stands for.
    """
    one = isinstance(action_spec, tf.TypeSpec) and action_spec.shape.rank == 0
    if not one or not action_spec.dtype.is_integer:
        where = env if isinstance(env, str) else type(env).__name__
        raise ValueError(
            f"{name} needs one Discrete action. Received from {where}: {action_space}. "
            "Use PPO: tp.agents.ppo(env), or --algo ppo."
        )
