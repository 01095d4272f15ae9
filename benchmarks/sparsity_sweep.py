"""Sparse training beside dense networks: DQN on four tasks, PPO on HalfCheetah.

    python benchmarks/sparsity_sweep.py [--jobs 2] [--only CartPole-v1] [--methods erk] [--seeds 5]

Dense 256x256 networks, magnitude pruning with ERK and with uniform sparsity, RigL, SET, static
masks, and small dense networks of as many parameters as a sparse one has. Every run's final policy
is judged by 100 greedy episodes that training has not seen.

Finished runs are appended to results/sparsity_sweep.jsonl, and are not made again. The sweep can be
stopped at any time and goes on with what is missing; seed by seed, so that half a sweep is a sweep
of half the seeds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from harness import HERE, RESULTS, write
from sparsity_runs import METHODS, PLANS, TASKS, Cell, key_of, run

RUNS = RESULTS / "sparsity_sweep.jsonl"
PICTURE = HERE.parent / "docs" / "sparsity_sweep.png"
# algorithm -> file of its summary.
SUMMARIES = {"dqn": "sparsity_sweep", "ppo": "sparsity_sweep_ppo"}


def cells(envs: Sequence[str], methods: Sequence[str], seeds: int) -> list[Cell]:
    """Returns the runs of a sweep in their order: of all tasks and methods first seed 0, then 1."""
    found = [
        Cell(env, method, sparsity, seed)
        for env in envs
        for method, (sparsities, count) in PLANS[TASKS[env].algo].items()
        for sparsity in sparsities
        for seed in range(min(count, seeds))
        if method in methods
    ]
    return sorted(found, key=lambda cell: cell.seed)


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """Returns what is on a file's lines; drops a last one that a crash tore."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def finished(path: Path) -> list[dict[str, Any]]:
    """Returns the runs that were finished with today's settings."""
    now = {cell.key for cell in cells(list(TASKS), list(METHODS), max_seeds())}
    return [each for each in whole_lines(path) if key_of(each) in now]


def max_seeds() -> int:
    """Returns the most seeds that any method has."""
    return max(count for plan in PLANS.values() for _, count in plan.values())


def append(path: Path, line: dict[str, Any]) -> None:
    """Adds one line, whole and on the disk when this returns."""
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
        os.fsync(file.fileno())


def train_all(todo: Iterable[Cell], jobs: int) -> Iterator[dict[str, Any]]:
    """Yields runs as they finish, from so many processes, each pinned to a core of its own."""
    context = multiprocessing.get_context("spawn")
    cores: Any = context.Queue()
    available = sorted(os.sched_getaffinity(0))
    for job in range(jobs):
        cores.put(available[job % len(available)])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    pool = ProcessPoolExecutor(jobs, context, initializer=pin, initargs=(cores,))
    try:
        for done in as_completed([pool.submit(run, cell) for cell in todo]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def pin(cores: Any) -> None:
    """Pins this process to the next core, before TensorFlow counts them; Ctrl-C ends it at once."""
    os.sched_setaffinity(0, {cores.get()})
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def summarize(algo: str) -> None:
    """Writes the summary of an algorithm's finished runs."""
    from sparsity_summary import draw
    from sparsity_summary import summarize as rows_of

    envs = [env for env, task in TASKS.items() if task.algo == algo]
    runs = [each for each in finished(RUNS) if each["env"] in envs]
    if not runs:
        return
    rows = rows_of(runs, METHODS)
    planned = len(cells(envs, list(METHODS), max_seeds()))
    columns = {
        "method": "method",
        "sparsity": "sparsity",
        "nonzero": "parameters that are not zero",
        "seeds": "seeds",
        **{env: env for env in envs if any(env in row for row in rows)},
        "of dense": "of dense, all tasks" if len(envs) > 1 else "of dense",
    }
    columns = {key: name for key, name in columns.items() if any(key in row for row in rows)}
    write(
        SUMMARIES[algo],
        columns,
        rows,
        command="python benchmarks/sparsity_sweep.py",
        runs=f"{len(runs)} of {planned}",
        settings={env: vars(TASKS[env]) for env in envs},
    )
    if algo == "dqn":
        draw(rows, envs, PICTURE)


def main() -> None:
    """Makes the runs that are missing, then writes the summaries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, one core each")
    parser.add_argument("--only", choices=list(TASKS), action="append", help="these tasks")
    parser.add_argument("--methods", choices=list(METHODS), nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=max_seeds(), help="at most so many; 0: none")
    options = parser.parse_args()
    done = {key_of(each) for each in finished(RUNS)}
    asked = cells(options.only or list(TASKS), options.methods, options.seeds)
    todo = [cell for cell in asked if cell.key not in done]
    try:
        for number, each in enumerate(train_all(todo, options.jobs), start=1):
            append(RUNS, each)
            print(f"{number}/{len(todo)}", json.dumps(each), flush=True)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.")
    for algo in SUMMARIES:
        summarize(algo)


if __name__ == "__main__":
    main()
