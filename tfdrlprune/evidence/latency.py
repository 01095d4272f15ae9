"""How long a policy takes for one action: called back to back, and at a control loop's pace."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfdrlprune.evidence import nested
from tfdrlprune.evidence.rollouts import Policy


def measure(
    policy: Policy, observations: Any, *, calls: int = 2000, warmup: int = 200
) -> dict[str, float]:
    """Returns the latency of single actions called back to back, with hot caches.

    Args:
        policy: called with one observation at a time.
        observations: recorded ones, each leaf [n, ...]; used in turn, as data matters to some
            kernels.
        calls: how many are timed, each by itself.
        warmup: how many go before them, untimed.

    Returns:
        ``median`` and ``p99`` in microseconds; reading the clock is in them.

    Raises:
        ValueError: no observations, or no calls.
    """
    stream = _stream(observations, calls)
    for observation in itertools.islice(stream, warmup):
        policy.action(observation)
    with _no_garbage_collection():
        return _quantiles([_timed(policy, next(stream)) for _ in range(calls)])


def paced(
    policy: Policy, observations: Any, *, hz: float = 50.0, calls: int = 100
) -> dict[str, float]:
    """Returns the latency of actions at the pace of a control loop, with what the pause costs.

    Between two calls the core falls asleep and its caches go to others; a policy of 3 us called hot
    may take 100 us at 50 Hz. This is what a robot sees.

    Args:
        policy: called with one observation at a time.
        observations: recorded ones, each leaf [n, ...].
        hz: calls a second.
        calls: how many are timed; the first, which loads everything, is not among them.

    Returns:
        ``median`` and ``p99`` in microseconds.

    Raises:
        ValueError: no observations, no calls, or ``hz`` not above zero.
    """
    if not hz > 0:
        raise ValueError(f"hz is the number of calls a second, above 0. Received: hz={hz}.")
    stream = _stream(observations, calls)
    policy.action(next(stream))
    times = []
    due = time.perf_counter()
    for observation in itertools.islice(stream, calls):
        due += 1 / hz
        time.sleep(max(0.0, due - time.perf_counter()))
        times.append(_timed(policy, observation))
    return _quantiles(times)


def _stream(observations: Any, calls: int) -> Iterator[Any]:
    """Returns single observations, over and over; they are taken apart before any timing."""
    singles = nested.rows(observations)
    if not singles or calls < 1:
        raise ValueError(
            "Latency is measured on at least one observation and one call. "
            f"Received: {len(singles)} observations, calls={calls}."
        )
    return itertools.cycle(singles)


def _timed(policy: Policy, observation: Any) -> int:
    """Returns the nanoseconds of one action."""
    start = time.perf_counter_ns()
    policy.action(observation)
    return time.perf_counter_ns() - start


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _quantiles(nanoseconds: list[int]) -> dict[str, float]:
    median, p99 = np.percentile(np.array(nanoseconds) / 1000, [50, 99])
    return {"median": float(median), "p99": float(p99)}
