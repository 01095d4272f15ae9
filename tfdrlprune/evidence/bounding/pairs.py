"""Two artifacts that may be compared: they take the same observations and give the same actions."""

from __future__ import annotations

from tfdrlprune.deployment.artifact import Manifest
from tfdrlprune.specs import flatten


def check_pair(candidate: Manifest, baseline: Manifest) -> None:
    """Raises ValueError unless the two take and give the same; says what each does."""
    ours, theirs = (_interface(each) for each in (candidate, baseline))
    if ours != theirs:
        raise ValueError(
            "Two artifacts are compared on the same observations and actions. "
            f"Received: {ours} and {theirs}."
        )


def _interface(manifest: Manifest) -> str:
    parts = [
        f"{leaf.name} {leaf.dtype}{list(leaf.shape)}" for leaf in flatten(manifest.observation)
    ]
    kind = "a choice" if manifest.head.kind == "argmax" else "a continuous action"
    bounds = f"from {manifest.action.low} to {manifest.action.high}"
    return f"{', '.join(parts)} to {kind} of the shape {list(manifest.action.shape)} {bounds}"
