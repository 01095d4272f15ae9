"""Random observations for a policy, for when none were recorded."""

from __future__ import annotations

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import Array, Nest, flatten


def draw(
    nest: Nest, normalizers: list[ObservationNormalizer] | None, count: int, seed: int
) -> list[Array]:
    """Returns ``count`` random observations as leaves [count, *shape], in the order of the specs.

    Drawn from the specs; with normalisers the second half comes from the distribution that they
    have seen (two standard deviations wide), as it may be far from the middle of the specs, where
    everything would be clipped.
    """
    leaves = _observations.sample(nest, count, seed)
    generator = np.random.default_rng([seed, 1])
    for spec, leaf, layer in zip(flatten(nest), leaves, normalizers or (), strict=False):
        mean, variance = layer.statistics()
        rest = leaf[count // 2 :]
        deviation = 2.0 * np.sqrt(np.maximum(variance, 0.0))
        seen = mean + deviation * generator.normal(size=rest.shape)
        low, high = (bound.reshape(spec.shape) for bound in _observations.bounds(spec))
        rest[...] = np.clip(seen, low, high)
    return leaves
