"""All that is known here of TF-Agents and Gymnasium: environments, agents, the fit loop."""

from tfdrlprune.agents.c51 import c51
from tfdrlprune.agents.dqn import dqn
from tfdrlprune.agents.ppo import ppo
from tfdrlprune.agents.q_learner import OffPolicySettings
from tfdrlprune.agents.sac import sac
from tfdrlprune.agents.soft_actor_critic import SacSettings
from tfdrlprune.agents.td3 import td3
from tfdrlprune.agents.twin_delayed import Td3Settings
from tfdrlprune.agents.updates import OnPolicySettings

__all__ = [
    "OffPolicySettings",
    "OnPolicySettings",
    "SacSettings",
    "Td3Settings",
    "c51",
    "dqn",
    "ppo",
    "sac",
    "td3",
]
