"""The one form of a policy, and the ways into it."""

from tfdrlprune.policies.checkpoint import from_checkpoint
from tfdrlprune.policies.conversion import from_agent, from_network
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.loader import load, load_exportable
from tfdrlprune.specs import ArraySpec, Head

__all__ = [
    "ArraySpec",
    "Head",
    "Policy",
    "from_agent",
    "from_checkpoint",
    "from_network",
    "load",
    "load_exportable",
]
