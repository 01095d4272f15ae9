"""Test vectors: observations, and what a file made of them, to test a target with."""

from __future__ import annotations

import io

import numpy as np

from tfdrlprune.deployment.comparison import Comparison
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import Array, flatten

_TEST_VECTORS = 64


def spread(count: int, wanted: int) -> Array:
    """Returns the indices of ``wanted`` rows, or all, evenly over ``count``."""
    return np.linspace(0, count - 1, min(count, wanted)).astype(int)


def test_vectors(policy: Policy, leaves: list[Array], comparison: Comparison) -> bytes:
    """Returns an .npz of observations and what the file made of them, for tests on the target."""
    rows = spread(comparison.count, _TEST_VECTORS)
    if policy.states:  # an episode has no gaps
        rows = np.arange(len(rows))
    arrays = {"outputs": comparison.outputs[rows], "actions": comparison.actions[rows]}
    for spec, leaf in zip(flatten(policy.observation_spec), leaves, strict=True):
        arrays[f"observation/{spec.name}"] = leaf[rows]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
