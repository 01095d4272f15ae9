"""The states of recurrent networks inside an agent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401


def check_resets(*networks: Any) -> None:
    """Raises ValueError unless networks forget where an episode begins inside a sequence.

    TF-Agents tells them by the step's type, which its DynamicUnroll heeds and Keras's RNN does not;
    a policy's network heeds it around the layer.
    """
    for network in networks:
        found = [each for each in network.submodules if isinstance(each, tf.keras.layers.RNN)]
        if found and not getattr(network, "forgets_episodes", False):
            raise ValueError(
                f"The recurrent layer {found[0].name!r} ({type(found[0]).__name__}) of "
                f"{type(network).__name__} would carry its state on into the next episode. Use "
                "QRnnNetwork or ActorDistributionRnnNetwork with lstm_size, or TF-Agents' "
                "DynamicUnroll of a cell."
            )


@contextlib.contextmanager
def continued(agent: Any, states: tuple[Any, Any] | None) -> Iterator[None]:
    """Makes a PPO agent begin its sequences with states that were carried over, not with zeros.

    On its own it begins every sequence as if nothing had come before. The actions of a roll-out
    that goes on with running episodes would then be of another policy than the one that it trains.

    Args:
        agent: a PPO agent.
        states: of actor and critic, flat, [batch, ...] each; None changes nothing.
    """
    if states is None:
        yield
        return
    policy = agent.collect_policy
    actor = tf.nest.pack_sequence_as(policy.policy_state_spec, states[0])
    critic = tf.nest.pack_sequence_as(agent._value_net.state_spec, states[1])
    policy.get_initial_state = lambda batch_size: actor
    policy.get_initial_value_state = lambda batch_size: critic
    try:
        yield
    finally:
        del policy.get_initial_state, policy.get_initial_value_state
