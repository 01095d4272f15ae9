"""What SAC and TD3 agents have in common: one bounded action, two critics with their targets."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import read, tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tfdrlprune.agents.box_action import is_one_bounded_vector
from tfdrlprune.agents.critic_copies import copy_of
from tfdrlprune.agents.environments import action_spec as make_action_spec
from tfdrlprune.agents.environments import spaces_of
from tfdrlprune.agents.environments import time_step_spec as make_time_step_spec
from tfdrlprune.agents.networks import initialize_orthogonal

# Two critics, then their targets; always in this order.
NAMES = ("Critic1", "Critic2", "TargetCritic1", "TargetCritic2")
_ARGUMENTS = (
    *("critic_network", "critic_network_2"),
    *("target_critic_network", "target_critic_network_2"),
)


def specs_of(env: Any, algorithm: str) -> tuple[Any, Any]:
    """Returns an environment's time step spec and action spec, as an agent is built with.

    Args:
        env: registered id, factory or ``gymnasium.Env``.
        algorithm: "SAC" or "TD3", for the error.

    Raises:
        ValueError: the environment is unknown, or its actions are not one bounded vector.
    """
    observation_space, action_space = spaces_of(env)
    action_spec = make_action_spec(action_space)
    if not is_one_bounded_vector(action_spec):
        raise ValueError(
            f"{algorithm} needs one Box of floats with finite bounds and shape [n]. Received: "
            f"{action_space}. Use DQN (one Discrete) or PPO, or wrap the environment in an "
            "ActionWrapper that gives it one."
        )
    return make_time_step_spec(observation_space), action_spec


def critics_of(parts: Any, spec: Any) -> list[Any]:
    """Returns copies of an agent's two critics and of their targets, in the order of `NAMES`.

    Args:
        parts: of a SAC or TD3 agent; None if it is none.
        spec: of (observation, action) that the critics are to take.

    Raises:
        ValueError: it is no such agent, or its critics take something else.
    """
    if parts is None:
        raise ValueError(
            "critic_from is an agent of the same algorithm. Received: one of another. Leave it out "
            "for new critics."
        )
    pairs = [critic for critic, _ in parts.critics], [target for _, target in parts.critics]
    critics = [copy_of(each) for several in pairs for each in several]
    own, wanted = (
        [tuple(s.shape) for s in tf.nest.flatten(each)]
        for each in (critics[0].input_tensor_spec, spec)
    )
    if own != wanted:
        raise ValueError(
            f"The critics take observations and actions of shapes {own}, and the environment has "
            f"{wanted}. Take them from an agent of this environment."
        )
    return critics


def as_arguments(critics: list[Any]) -> dict[str, Any]:
    """Returns critics and their targets as TF-Agents' agents take them."""
    return dict(zip(_ARGUMENTS, critics, strict=True))


def initialize(
    agent: Any, new_actor: Any | None, critics: list[Any], seed: int, *, new_critics: bool
) -> None:
    """Gives new networks their weights, and targets those of the networks that they follow.

    Args:
        agent: not initialized yet.
        new_actor: None where the actor brings its weights.
        critics: with their targets, in the order of `NAMES`.
        seed: of the weights.
        new_critics: whether these are new; else they keep their weights, and so do their targets.
    """
    seeds = range(3 * seed, 3 * seed + 3)
    if new_actor is not None:
        # Small last weights make the first policy the same in all states.
        initialize_orthogonal(new_actor, seeds[0], last_gain=0.01)
    if new_critics:
        for network, own in zip(critics[:2], seeds[1:], strict=True):
            initialize_orthogonal(network, own, last_gain=1.0)
    variables = [variable for each in critics[2:] for variable in each.variables]
    values = [read(variable) for variable in variables]
    agent.initialize()  # copies the weights into the targets
    if not new_critics:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
