"""Rehearsals: an agent's own training steps that change nothing, for the gradients of its loss."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfdrlprune._tf import read, tf, write
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

from tf_agents.agents.ppo import ppo_agent
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.compiled import CompiledLoop
from tfdrlprune.pruning.gradients import Record, instead_of_steps

Body = Callable[[tf.Tensor, Any], tf.Tensor]
Loop = Callable[[Body], Callable[[int, Any], Any]]


class Rehearsals:
    """Training steps whose gradients are recorded instead of applied, compiled once a record.

    What the steps change otherwise, counters and targets, is put back.

    Args:
        agent: the TF-Agents agent.
        optimizers: that it applies gradients with.
        body: one training step, of an index and inputs.
        loop: makes of a body what runs it so many times on inputs, such as `CompiledLoop`.
    """

    def __init__(self, agent: Any, optimizers: Sequence[Any], body: Body, loop: Loop):
        self._agent, self._optimizers = agent, list(optimizers)
        self._body, self._loop = body, loop
        self._runs: dict[Record, Callable[[int, Any], Any]] = {}

    def __call__(self, record: Record, count: int, inputs: Any) -> None:
        """Runs ``count`` steps and hands their gradients to ``record``."""
        if record not in self._runs:
            self._runs[record] = self._loop(self._recorded(record))
        variables = list(self._agent.variables)
        before = [read(variable) for variable in variables]
        try:
            self._runs[record](count, inputs)
        finally:
            for variable, value in zip(variables, before, strict=True):
                write(variable, value)

    def _recorded(self, record: Record) -> Body:
        def body(index: tf.Tensor, inputs: Any) -> tf.Tensor:
            with instead_of_steps(self._optimizers, record), _unclipped(self._agent):
                return self._body(index, inputs)

        return body


def compiled_loop(body: Body) -> CompiledLoop:
    """Returns what runs a body so many times in one compiled call."""
    return CompiledLoop(body, "gradients")


@contextlib.contextmanager
def _unclipped(agent: Any) -> Iterator[None]:
    """Makes an agent leave its gradients as they are; private in tf-agents 0.19.0."""
    own = agent._gradient_clipping
    agent._gradient_clipping = 0.0 if isinstance(agent, ppo_agent.PPOAgent) else None
    try:
        yield
    finally:
        agent._gradient_clipping = own


def takes(network: Any, observation_spec: Any) -> bool:
    """Tells whether a network's input is an observation, and not an action beside it."""
    own = network.input_tensor_spec
    if own is None:
        return True
    shapes = [
        [tuple(leaf.shape) for leaf in tf.nest.flatten(spec)] for spec in (own, observation_spec)
    ]
    return shapes[0] == shapes[1]


def call(network: Any, observation: Any) -> None:
    """Calls a network on a batch of observations amid episodes, outside a graph."""
    count = len(tf.nest.flatten(observation)[0])
    network(
        tf.nest.map_structure(tf.constant, observation),
        step_type=tf.fill((count,), ts.StepType.MID),
        network_state=network.get_initial_state(count) if network.state_spec else (),
    )
