"""Memory and speed of replay.

    python benchmarks/replay_memory.py

Each kind is filled in a fresh process; memory is what the resident set grew by from before the
replay was made until it was full and had been drawn from. Adding is timed for each vector step of
32 environments, drawing for each transition. Goals: at most 100 MB for a million transitions of
CartPole, and 800 MB for 100,000 stacks of four 84 x 84 images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import spread, work, write

NUM_ENVS, N_STEP, EPISODE = 32, 10, 200
# name -> steps kept, observation, dtype, frames in a stack that are stored once, draws in a batch
KINDS: dict[str, tuple[int, tuple[int, ...], str, int, tuple[int, ...]]] = {
    "CartPole, 1,000,000 steps": (1_000_000, (4,), "float32", 1, (256, 64)),
    "CartPole, 50,000 steps": (50_000, (4,), "float32", 1, (256, 64)),
    "84x84x4 as frames, 100,000 steps": (100_000, (84, 84, 4), "uint8", 4, (8, 64)),
    "4x84x84 as frames, 100,000 steps": (100_000, (4, 84, 84), "uint8", 4, (8, 64)),
    "84x84x4 whole, 10,000 steps": (10_000, (84, 84, 4), "uint8", 1, (8, 64)),
}
GOALS_MB = {"CartPole, 1,000,000 steps": 100.0, "84x84x4 as frames, 100,000 steps": 800.0}


def resident_mb() -> float:
    """Returns the resident set of this process, in units of 10**6 bytes."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024 / 1e6


def observations(shape: tuple[int, ...], dtype: str) -> Iterator[Any]:
    """Yields observations of all environments: numbers, or stacks of four random images.

    Every episode is ``EPISODE`` steps and its final observation long.
    """
    generator = np.random.default_rng(0)
    if dtype == "float32":
        while True:
            yield generator.normal(size=(NUM_ENVS, *shape)).astype(dtype)
    axis = 0 if shape[0] == 4 else -1
    images = generator.integers(256, size=(61, NUM_ENVS, 84, 84), dtype=np.uint8)
    step = 0
    while True:
        age = step % (EPISODE + 1)
        frames = [images[(step - min(back, age)) % len(images)] for back in (3, 2, 1, 0)]
        yield np.stack(frames, axis=1 if axis == 0 else -1)
        step += 1


def fill(replay: Any, stream: Iterator[Any], rows: int) -> list[float]:
    """Adds vector steps, drawing now and then as training does; returns microseconds for each."""
    generator = np.random.default_rng(1)
    no, reward = np.zeros(NUM_ENVS, bool), np.ones(NUM_ENVS, np.float32)
    times = []
    for row in range(rows):
        age = row % (EPISODE + 1)
        observation, action = next(stream), generator.integers(2, size=NUM_ENVS)
        start = time.perf_counter()
        replay.add(
            [observation], action, reward, no | (age == EPISODE - 1), no, no | (age == EPISODE)
        )
        times.append((time.perf_counter() - start) * 1e6)
        if row % 100 == 99:
            replay.sample((64,), generator)
    return times


def measure(name: str) -> dict[str, float]:
    """Returns memory and times of one kind."""
    from tfdrlprune.agents.replay import Replay

    capacity, shape, dtype, frames, batch = KINDS[name]
    stream = observations(shape, dtype)
    stream = itertools.chain([next(stream)], stream)  # its images are made before memory is read
    before = resident_mb()
    replay = Replay(
        capacity, NUM_ENVS, [(shape, dtype)], ((), np.int64), N_STEP, stacked_frames=frames
    )
    add_us = fill(replay, stream, capacity // NUM_ENVS + 2 * N_STEP)
    grown = resident_mb() - before
    generator, sample_us = np.random.default_rng(2), []
    for _ in range(50):
        start = time.perf_counter()
        replay.sample(batch, generator)
        sample_us.append((time.perf_counter() - start) * 1e6 / np.prod(batch))
    return {
        "rss_mb": grown,
        "nbytes_mb": replay.nbytes / 1e6,
        "add_us": statistics.median(add_us),
        "sample_us": statistics.median(sample_us),
    }


def main() -> None:
    """Measures all kinds in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=1, choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*options.worker)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in KINDS}
    for _ in range(options.rounds):
        for name, runs in found.items():
            runs.append(work(__file__, (name,), 1)[0])
            print(name, runs[-1], flush=True)
    rows = [
        {"kind": name, "goal_mb": GOALS_MB.get(name)}
        | {key: spread([run[key] for run in runs]) for key in runs[0]}
        for name, runs in found.items()
    ]
    columns = {
        "kind": "replay",
        "rss_mb": "resident, MB (least to most)",
        "goal_mb": "goal, MB",
        "add_us": "adding a vector step of 32, us",
        "sample_us": "drawing a transition, us",
    }
    write("replay_memory", columns, rows, cores=1)


if __name__ == "__main__":
    main()
