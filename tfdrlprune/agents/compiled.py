"""One compiled call for many steps: by XLA where it compiles, else as a graph."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from tfdrlprune._tf import tf

_log = logging.getLogger("tfdrlprune")


class CompiledLoop:
    """Runs ``body`` up to ``count`` times in one call.

    XLA is tried first, by a call with ``count=0``, which compiles everything and runs nothing.
    Where it refuses, for example an operation without a kernel, a plain graph loop runs instead.

    Args:
        body: takes the index (int32 scalar) and the inputs; returns the loss (float32 scalar).
        name: for the log.
    """

    def __init__(self, body: Callable[..., tf.Tensor], name: str):
        self._body, self._name = body, name
        self._function: Callable[..., Any] | None = None

    def __call__(self, count: int, inputs: Any) -> float:
        """Returns the mean loss over ``count`` steps.

        Args:
            count: how many steps to run.
            inputs: nest of arrays, the same shapes on every call.
        """
        if self._function is None:
            self._function = _traced(self._loop, self._name, (tf.constant(0, tf.int32), inputs))
        total = self._function(tf.constant(count, tf.int32), inputs)
        return float(total) / max(count, 1)

    def _loop(self, count: tf.Tensor, inputs: Any) -> tf.Tensor:
        def step(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # A summary inside would outlive the writer of the fit in which it was traced.
            with tf.summary.record_if(False):
                return index + 1, total + self._body(index, inputs)

        _, total = tf.while_loop(
            lambda index, _: index < count, step, (tf.constant(0), tf.constant(0.0))
        )
        return total


def compiled(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Returns ``function`` compiled by XLA where that works, else as a graph.

    ``function`` must have no side effects: it may run once more while XLA is tried.
    """
    chosen: list[Callable[..., Any]] = []

    def call(*inputs: Any) -> Any:
        if not chosen:
            chosen.append(_traced(function, name, inputs))
        return chosen[0](*inputs)

    return call


def as_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns ``function`` as a graph, made without AutoGraph where that works; see `_traced`."""
    chosen: list[Callable[..., Any]] = []

    def call(*inputs: Any) -> Any:
        if chosen:
            return chosen[0](*inputs)
        plain = tf.function(_alone(function), autograph=False)
        try:
            result = plain(*inputs)
        except tf.errors.OperatorNotAllowedInGraphError:  # from tracing, so nothing has run
            chosen.append(tf.function(_alone(function)))
            return chosen[0](*inputs)
        chosen.append(plain)
        return result

    return call


def _traced(function: Callable[..., Any], name: str, probe: tuple[Any, ...]) -> Callable[..., Any]:
    """Returns ``function`` compiled, after a call with ``probe`` that shows whether XLA takes it.

    AutoGraph is left out at first: it turned 0.3 s of tracing an agent's step into 5.6 s. Only
    Python's ``if`` and ``for`` on a tensor, in a network of the user's, need it.
    """
    autograph = False
    while True:
        fast = tf.function(_alone(function), jit_compile=True, autograph=autograph)
        try:
            fast(*probe)
            _log.info("%s runs under XLA", name)
            return fast
        except tf.errors.OperatorNotAllowedInGraphError:
            if autograph:
                raise
            autograph = True
        except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
            _log.info("%s runs as a graph: XLA refused it (%s)", name, _first_line(error))
            return tf.function(_alone(function), autograph=autograph)


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns ``function`` so that TensorFlow counts its tracings by itself.

    It counts them by a function's code, which all learners share, and warns of the fifth although
    each of them is traced once. A partial has no code.
    """
    return functools.partial(function)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
