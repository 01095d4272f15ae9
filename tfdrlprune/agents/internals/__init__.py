"""What TF-Agents keeps private and a training loop needs, each name once.

All names were seen in tf-agents 0.19.0; the tests of each agent fail when one moves.
"""

from tfdrlprune.agents.internals.continuous import (
    SoftActorCritic,
    TwinDelayed,
    is_bounded,
    soft_actor_critic,
    squashed_deviation,
    twin_delayed,
)
from tfdrlprune.agents.internals.randomness import seeded, smoothed
from tfdrlprune.agents.internals.states import check_resets, continued
from tfdrlprune.agents.internals.value_based import QLearning, q_learning
from tfdrlprune.agents.internals.with_advantages import ActorCritic, actor_critic

__all__ = [
    "ActorCritic",
    "QLearning",
    "SoftActorCritic",
    "TwinDelayed",
    "actor_critic",
    "check_resets",
    "continued",
    "is_bounded",
    "q_learning",
    "seeded",
    "smoothed",
    "soft_actor_critic",
    "squashed_deviation",
    "twin_delayed",
]
