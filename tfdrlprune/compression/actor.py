"""The actor: the greedy policy of a vector of environments, in NumPy where that gives the same.

Students are small, and one call of a compiled function takes ten times as long as their sums do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfdrlprune.agents.dense_chain import DenseChain, probes, proved_chain
from tfdrlprune.observations import as_batch
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer

Array = NDArray[Any]


class Actor:
    """A policy with its weights as they are at the last `refresh`.

    Args:
        policy: whose model may be trained meanwhile.
    """

    def __init__(self, policy: Policy):
        self.policy = policy
        self._front = _front(policy)
        self._chain: DenseChain | None = None
        self._asked = False

    def refresh(self) -> None:
        """Takes over the model's weights."""
        if self._chain is not None:
            self._chain.refresh()

    def leaves(self, observation: Any) -> list[Array]:
        """Returns a batch of observations as leaves, checked."""
        return as_batch(self.policy.observation_spec, observation)[0]

    def action(self, observation: Any) -> Any:
        """Returns what `Policy.action` returns, for one observation or a batch."""
        leaves, batched = as_batch(self.policy.observation_spec, observation)
        actions = self.act(leaves)
        return actions if batched else actions[0]

    def act(self, leaves: list[Array]) -> Any:
        """Returns the actions for leaves that are checked and batched already."""
        if not self._asked:
            self._find_chain(leaves)
        if self._chain is None:
            outputs = self.policy.batch_outputs(leaves)
        else:
            outputs = self._chain([self._front(leaves[0])])
        return self.policy.head.action(outputs, self.policy.action_spec)

    def _find_chain(self, leaves: list[Array]) -> None:
        """Finds out, on the first observations, whether a chain gives what the model does."""
        self._asked = True
        if len(leaves) != 1 or leaves[0].dtype != np.float32:
            return
        (seen,) = probes(leaves)
        self._chain = proved_chain(
            self.policy.model,
            None,
            lambda _: self.policy.batch_outputs([seen]),
            [self._front(seen)],
        )


def _front(policy: Policy) -> Callable[[Array], Array]:
    """Returns the observation's normaliser in NumPy; what it is not shows in the proof."""
    found = [each for each in policy.model.layers if isinstance(each, ObservationNormalizer)]
    if len(found) != 1:
        return lambda x: x
    layer = found[0]
    mean, variance = (each.astype(np.float32) for each in layer.statistics())
    factor = (1.0 / np.sqrt(variance + np.float32(layer.epsilon))).astype(np.float32)
    clip = np.float32(layer.clip)

    def normalized(x: Array) -> Array:
        scaled = (x - mean) * factor
        if clip > 0:
            scaled = np.minimum(np.maximum(scaled, -clip, out=scaled), clip, out=scaled)
        return scaled

    return normalized
