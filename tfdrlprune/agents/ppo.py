"""PPO agents with defaults that learn the classic tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.agents.ppo import ppo_agent
from tf_agents.networks import actor_distribution_network, value_network, value_rnn_network

from tfdrlprune.agents.continued_ppo import begun_actor, begun_critic
from tfdrlprune.agents.environments import action_spec as make_action_spec
from tfdrlprune.agents.environments import spaces_of
from tfdrlprune.agents.environments import time_step_spec as make_time_step_spec
from tfdrlprune.agents.internals import is_bounded
from tfdrlprune.agents.networks import front, initialize_orthogonal
from tfdrlprune.policies.choice_projection import projection
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.tensor_specs import array_spec

# Of a recurrent agent, which runs its own, each on the whole roll-out.
_EPOCHS = 10
# An output for each value of each number: beyond this no layer can have been meant.
_MOST_VALUES = 65_536


def ppo(  # noqa: PLR0913 (hyper-parameters)
    env: Any,
    *,
    hidden: Sequence[int] = (64, 64),
    conv: Sequence[tuple[int, int, int]] | None = None,
    policy: Policy | None = None,
    critic_from: ppo_agent.PPOAgent | None = None,
    seed: int = 0,
    learning_rate: float = 1e-3,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
    clip: float = 0.2,
    entropy: float = 0.0,
    value_coefficient: float = 0.5,
    gradient_clipping: float = 0.5,
    normalize_observations: bool = True,
) -> ppo_agent.PPOAgent:
    """Returns a TF-Agents PPO agent for an environment, ready for `AgentTrainer`.

    PPO-clip (Schulman et al. 2017) with a separate actor and critic of the same size, tanh layers
    and orthogonal initial weights. `AgentTrainer` computes the advantages (GAE, Schulman et al.
    2016) and runs epochs and minibatches, so the agent is built for one minibatch at a time.

    Args:
        env: registered id, factory or ``gymnasium.Env``; its actions are Discrete, MultiDiscrete,
            MultiBinary, a bounded Box of floats, or a Dict or Tuple of these.
        hidden: units of the tanh layers, of actor and critic each.
        conv: for image observations, (filters, kernel size, stride) of each layer before them;
            uint8 images are scaled to [0, 1]. Several observations are flattened and joined.
        policy: to begin with, in place of a new actor. Its normaliser stays as it is, in front of
            a new critic too, and ``normalize_observations`` is not asked. Of a continuous action
            the deviation is that of ``critic_from``, or 0.3 of half the action's range. With a
            recurrent one the agent computes advantages and scales rewards itself, and makes 10
            optimizer steps of each roll-out; a new critic has an LSTM of the last of ``hidden``.
        critic_from: an agent whose critic, with its normaliser, is copied, in place of a new one.
        seed: of the initial weights.
        learning_rate: Adam's at the start; `AgentTrainer` lowers it linearly.
        gamma: discount factor, in [0, 1].
        gae_lambda: lambda of the advantage estimate, in [0, 1].
        clip: the probability ratio is clipped to [1 - clip, 1 + clip].
        entropy: weight of the entropy bonus.
        value_coefficient: weight of the value loss.
        gradient_clipping: largest norm of a gradient, of each variable by itself.
        normalize_observations: divide by the running standard deviation after taking off the
            running mean; the normaliser is part of the policy and of its artifact. TF-Agents
            cannot do so with int64, such as of Discrete observations, which are then left alone.

    Raises:
        ValueError: the environment is unknown, its action space is not supported, or policy or
            critic do not fit.

    Example:
        >>> agent = ppo("Pendulum-v1", hidden=(32, 32), seed=0)
        >>> type(agent).__name__, agent.action_spec.shape
        ('PPOAgent', TensorShape([1]))
    """
    observation_space, action_space = spaces_of(env)
    time_step_spec = make_time_step_spec(observation_space)
    action_spec = make_action_spec(action_space)
    _check_actions(action_spec, action_space)
    if critic_from is not None and policy is None:
        raise ValueError("critic_from goes with a policy to begin with. Received: policy=None.")
    observation = time_step_spec.observation
    arguments = {
        "fc_layer_params": tuple(hidden),
        "activation_fn": tf.keras.activations.tanh,
        **front(observation, conv),
    }
    critic = _critic(observation, arguments, policy)
    if policy is None:
        actor = actor_distribution_network.ActorDistributionNetwork(
            observation, action_spec, discrete_projection_net=projection, **arguments
        )
    else:
        actor = begun_actor(observation, action_spec, policy, critic_from)
        critic = begun_critic(observation, critic, policy, critic_from)
    recurrent = bool(actor.state_spec or critic.state_spec)
    agent = ppo_agent.PPOAgent(
        time_step_spec,
        action_spec,
        optimizer=tf.keras.optimizers.Adam(learning_rate, epsilon=1e-5),
        actor_net=actor,
        value_net=critic,
        importance_ratio_clipping=clip,
        lambda_value=gae_lambda,
        discount_factor=gamma,
        entropy_regularization=entropy,
        value_pred_loss_coef=value_coefficient,
        gradient_clipping=gradient_clipping,
        # The clipped objective alone, without the KL penalties of the paper's other variant.
        kl_cutoff_factor=0.0,
        initial_adaptive_kl_beta=0.0,
        use_gae=True,
        use_td_lambda_return=True,
        # Elsewhere the trainer scales rewards by the deviation of returns.
        normalize_rewards=recurrent,
        # A policy brings its own.
        normalize_observations=normalize_observations
        and policy is None
        and all(leaf.dtype != tf.int64 for leaf in tf.nest.flatten(observation)),
        num_epochs=_EPOCHS if recurrent else 1,
        compute_value_and_advantage_in_train=recurrent,
        update_normalizers_in_train=recurrent,
        train_step_counter=tf.Variable(0, dtype=tf.int64, trainable=False),
    )
    agent.initialize()
    seeds = 2 * seed, 2 * seed + 1
    if policy is None:
        initialize_orthogonal(actor, seeds[0], last_gain=0.01)
    if critic_from is None:
        initialize_orthogonal(critic, seeds[1], last_gain=1.0)
    return agent


def _critic(observation: Any, arguments: dict[str, Any], policy: Policy | None) -> Any:
    """Returns a new value network, which remembers where the policy does."""
    if policy is None or not policy.states:
        return value_network.ValueNetwork(observation, **arguments)
    hidden = arguments.pop("fc_layer_params")
    return value_rnn_network.ValueRnnNetwork(
        observation,
        input_fc_layer_params=hidden,
        lstm_size=hidden[-1:] or (64,),
        output_fc_layer_params=None,
        **arguments,
    )


def _check_actions(action_spec: Any, action_space: Any) -> None:
    if not all(_is_supported(leaf) for leaf in tf.nest.flatten(action_spec)):
        raise ValueError(
            "PPO needs Discrete, MultiDiscrete or MultiBinary actions of at most "
            f"{_MOST_VALUES:,} values, or a vector of floats with bounds. Received: "
            f"{action_space}. Wrap the environment in an ActionWrapper that gives it one of these."
        )


def _is_supported(leaf: Any) -> bool:
    if leaf.dtype.is_integer:
        return array_spec(leaf, "action").choices().total <= _MOST_VALUES
    if leaf.shape.rank > 1:
        return False  # the projection network of TF-Agents gives vectors only
    return is_bounded(leaf)
