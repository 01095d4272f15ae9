"""Latency is that of each call alone; on a clock of our own, so nothing depends on the machine."""

import gc

import numpy as np
import pytest

from tfdrlprune.evidence import latency


class Clock:
    """A clock that only the policy and sleep move."""

    def __init__(self):
        self.now = 0

    def perf_counter_ns(self):
        return self.now

    def perf_counter(self):
        return self.now / 1e9

    def sleep(self, seconds):
        self.now += round(seconds * 1e9)


class Slow:
    """Takes as many microseconds as its observation says, and remembers when it was called."""

    def __init__(self, clock):
        self.clock, self.calls = clock, []

    def action(self, observation):
        self.calls.append((self.clock.now, float(observation["x"][0]), gc.isenabled()))
        self.clock.now += round(1000 * float(observation["x"][0]))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


def test_median_and_p99_are_those_of_single_calls_after_the_warm_up(clock):
    observations = {"x": np.arange(1.0, 102.0)[:, None]}
    policy = Slow(clock)
    result = latency.measure(policy, observations, calls=101, warmup=7)
    # All of 1 to 101 us once: the median is 51, the 99th percentile 1 + 0.99 * 100.
    assert result == {"median": 51, "p99": 100}
    assert [x for _, x, _ in policy.calls[:8]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(policy.calls) == 108
    assert [on for *_, on in policy.calls] == [True] * 7 + [False] * 101
    assert gc.isenabled()


def test_paced_calls_keep_the_beat_and_leave_the_pause_out(clock):
    policy = Slow(clock)
    result = latency.paced(policy, {"x": np.full((3, 1), 30.0)}, hz=50, calls=10)
    assert result == {"median": 30, "p99": 30}
    starts = [now for now, *_ in policy.calls]
    # The first call goes before the beat, which then is one every 20 ms, whatever a call takes.
    np.testing.assert_array_equal(np.diff(starts)[1:], 20_000_000)
    assert len(starts) == 11


def test_nothing_to_measure_is_refused(clock):
    with pytest.raises(ValueError, match="Received: 0 observations"):
        latency.measure(Slow(clock), {"x": np.zeros((0, 1))})
    with pytest.raises(ValueError, match="calls=0"):
        latency.measure(Slow(clock), {"x": np.zeros((1, 1))}, calls=0)
    with pytest.raises(ValueError, match="hz=0"):
        latency.paced(Slow(clock), {"x": np.zeros((1, 1))}, hz=0)
