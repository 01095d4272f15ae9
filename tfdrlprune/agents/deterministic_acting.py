"""Actions of a TD3 actor, which gives one action for each state."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np

from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.agents.compiled import compiled
from tfdrlprune.agents.dense_chain import Chained, probes, proved_chain
from tfdrlprune.specs import Array


class Deterministic(Chained):
    """The actor's actions, in NumPy where that is possible.

    That is where Dense layers in a row end in numbers that are stretched from [-1, 1] to the
    action's bounds, as ActorNetwork does. Anything else acts compiled.

    Args:
        agent: a TD3 agent.
        actor: its actor.
    """

    def __init__(self, agent: Any, actor: Any):
        self._agent, self._actor = agent, actor
        self._box = BoxAction(agent.action_spec)
        self._chosen = False
        self._act = compiled(self._actions, "acting")

    def __call__(self, leaves: list[Array]) -> Array:
        """Returns actions without noise, [count, ...]."""
        if not self._chosen:
            self._chosen = True
            self._chain = proved_chain(
                self._actor, None, self._flat_actions, probes(leaves), self._stretched
            )
        if self._chain is None:
            return np.asarray(self._act(leaves))
        return self._box.stretch(self._chain(leaves))

    def _stretched(self, outputs: Array) -> Array:
        """Returns actions, [count, n]."""
        if outputs.shape[-1] != self._box.half.size:
            return outputs  # of another shape, which proves it wrong
        return self._box.stretch(outputs).reshape((len(outputs), -1))

    def _flat_actions(self, leaves: list[tf.Tensor]) -> tf.Tensor:
        return tf.reshape(self._actions(leaves), (len(leaves[0]), -1))

    def _actions(self, leaves: list[tf.Tensor]) -> tf.Tensor:
        step = time_step(self._agent, leaves)
        actions, _ = self._actor(step.observation, step_type=step.step_type)
        return tf.nest.flatten(actions)[0]
