"""The error for a layer that cannot be part of a policy."""

from __future__ import annotations

from typing import Any


def refusal(layer: Any, why: str) -> ValueError:
    """Returns the error that names a layer or network and says why it cannot be rebuilt."""
    return ValueError(
        f"The layer {getattr(layer, 'name', '?')!r} ({type(layer).__name__}) cannot be rebuilt as "
        f"part of a policy: {why}. Known are QNetwork, Sequential, EncodingNetwork, "
        "ActorNetwork and ActorDistributionNetwork of Keras layers that can be made from their "
        "config."
    )
