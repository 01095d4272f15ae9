"""The one form of a policy, and the ways into it."""

from tfdrlprune.policies.conversion import from_agent, from_network
from tfdrlprune.policies.form import Policy

__all__ = ["Policy", "from_agent", "from_network"]
