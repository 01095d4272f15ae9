"""All that is known here of TF-Agents and Gymnasium: environments, agents, the fit loop."""

from tfdrlprune.agents.dqn import dqn
from tfdrlprune.agents.off_policy import OffPolicySettings
from tfdrlprune.agents.on_policy import OnPolicySettings
from tfdrlprune.agents.ppo import ppo

__all__ = ["OffPolicySettings", "OnPolicySettings", "dqn", "ppo"]
