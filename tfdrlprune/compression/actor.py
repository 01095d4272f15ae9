"""The actor: the greedy policy of a vector of environments, in NumPy where that gives the same.

Students are small, and one call of a compiled function takes ten times as long as their sums do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.dense_chain import DenseChain, probes, proved_chain
from tfdrlprune.observations import as_batch
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.policies.running import arrays, rows
from tfdrlprune.specs import Array, flatten


class Actor:
    """A policy with its weights as they are at the last `refresh`, in several environments at once.

    With a recurrent state, each row of a batch is one environment and remembers its own episode.

    Args:
        policy: whose model may be trained meanwhile.
    """

    def __init__(self, policy: Policy):
        self.policy = policy
        self._front = _front(policy)
        self._chain: DenseChain | None = None
        self._asked = False
        self._rows: Any = None
        self._memory: list[Array] = []

    @property
    def remembers(self) -> bool:
        """Whether the policy has a recurrent state."""
        return bool(self.policy.states)

    def refresh(self) -> None:
        """Takes over the model's weights."""
        if self._chain is not None:
            self._chain.refresh()

    def reset(self) -> None:
        """Forgets all episodes."""
        self._memory = []

    def leaves(self, observation: Any) -> list[Array]:
        """Returns a batch of observations as leaves, checked."""
        return as_batch(self.policy.observation_spec, observation)[0]

    def action(self, observation: Any) -> Any:
        """Returns the actions for one observation, or for one of each environment."""
        leaves, batched = as_batch(self.policy.observation_spec, observation)
        actions = self.act(leaves)
        return actions if batched else actions[0]

    def act(self, leaves: list[Array], first: Array | None = None) -> Any:
        """Returns the actions for leaves that are checked and batched already.

        Args:
            leaves: [count, *shape].
            first: bool [count], whether an episode begins there; None where none does.
        """
        return self.policy.head.action(self.outputs(leaves, first), self.policy.action_spec)

    def outputs(self, leaves: list[Array], first: Array | None = None) -> Array:
        """Returns the scores or means that the actions are of; as `act`."""
        if self.remembers:
            return self._remembering(leaves, first)
        if not self._asked:
            self._find_chain(leaves)
        if self._chain is None:
            return self.policy.batch_outputs(leaves)
        return self._chain([self._front(leaves[0])])

    def _remembering(self, leaves: list[Array], first: Array | None) -> Array:
        specs = self.policy.states
        if self._rows is None:
            self._rows = rows(self.policy.model, [*flatten(self.policy.observation_spec), *specs])
        count = len(leaves[0])
        if not self._memory:
            self._memory = [np.zeros((count, *spec.shape), spec.dtype) for spec in specs]
        if first is not None:
            for each in self._memory:
                each[first] = 0
        outputs, *following = arrays(self._rows(*map(tf.constant, [*leaves, *self._memory])))
        self._memory = [np.array(each) for each in following]
        return outputs

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
