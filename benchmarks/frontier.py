"""How small a policy can be: easy tasks to a goal, and return against parameters on harder ones.

    python benchmarks/frontier.py [--only Hopper-v5] [--jobs 2] [--teachers FOLDER]

Teachers are 256x256 (`frontier_teachers.py`), kept outside of the repository. Every finished run is
appended to results/frontier.jsonl and not made again: stop it at any time, the same command goes
on. Goals: `compress` to a number of parameters, judged as it judges, with the seconds from the
trained policy to the verdict. Curves: pruned and repaired, distilled from scratch, distilled
and fine-tuned where that does not hold, and trained by RL from scratch, at the same numbers of
parameters, 100 greedy episodes each on seeds of which nothing was chosen.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from frontier_plot import draw
from frontier_runs import GOALS, KEEPS, Point, run
from frontier_teachers import FOLDER, teacher
from harness import HERE, RESULTS, write
from sparsity_sweep import append, pin, whole_lines

RUNS = RESULTS / "frontier.jsonl"
PICTURE = HERE.parent / "docs" / "images" / "frontier.svg"
CURVES = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5")
METHODS = ("distil", "prune", "rl", "tuned")


def points(envs: list[str]) -> list[Point]:
    """Returns the runs in their order: goals, then curves from the small end."""
    goals = [Point(env, "compress", 1.0 - goal.sparsity, 0) for env, goal in GOALS.items()]
    curves = [Point(env, method, keep, 0) for env in CURVES for keep in KEEPS for method in METHODS]
    dense = [Point(env, "dense", 1.0, 0) for env in CURVES]
    return [each for each in [*goals, *dense, *curves] if each.env in envs]


def finished() -> dict[tuple[Any, ...], dict[str, Any]]:
    """Returns the runs that were finished, by what they are of."""
    return {tuple(each["point"]): each for each in whole_lines(RUNS)}


def made(todo: list[Point], folder: Path, jobs: int) -> Iterator[dict[str, Any]]:
    """Yields runs as they finish, each in a process of its own on a core of its own."""
    import os

    context = multiprocessing.get_context("spawn")
    cores: Any = context.Queue()
    available = sorted(os.sched_getaffinity(0))
    for job in range(jobs):
        cores.put(available[job % len(available)])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = "1"
    pool = ProcessPoolExecutor(jobs, context, initializer=pin, initargs=(cores,))
    try:
        for done in as_completed([pool.submit(run, each, folder) for each in todo]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def summarize() -> None:
    """Writes the tables, and the picture, of what is finished."""
    runs = finished()
    goals = [each for each in runs.values() if each["point"][1] == "compress"]
    curves = [each for each in runs.values() if each["point"][1] != "compress"]
    if goals:
        goals.sort(key=lambda row: list(GOALS).index(row["env"]))
        write("frontier_goals", _GOALS_COLUMNS, goals, command="python benchmarks/frontier.py")
    if curves:
        order = {env: index for index, env in enumerate(CURVES)}
        rows = sorted(curves, key=lambda r: (order[r["env"]], -r["parameters"], r["method"]))
        write("frontier_curves", _CURVE_COLUMNS, rows, command="python benchmarks/frontier.py")
        draw(rows, PICTURE)


_GOALS_COLUMNS = {
    "env": "task",
    "dense_return": "dense: return (95 % interval)",
    "dense_parameters": "parameters",
    "return": "small: return (95 % interval)",
    "parameters": "parameters ",
    "route": "route",
    "verdict": "verdict at 5 %",
    "goal": "goal, parameters",
    "seconds": "seconds",
    "bytes_ratio": "bytes of dense",
}
_CURVE_COLUMNS = {
    "env": "task",
    "method": "method",
    "parameters": "parameters that are not zero",
    "share": "of dense",
    "return": "return (95 % interval)",
    "of_dense": "return of dense",
}


def main() -> None:
    """Makes the runs that are missing, then writes the tables."""
    everything = sorted({*GOALS, *CURVES})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes, one core each")
    parser.add_argument("--only", choices=everything, action="append", help="these tasks")
    parser.add_argument("--methods", nargs="+", default=["compress", "dense", *METHODS])
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    parser.add_argument("--keeps", type=float, nargs="+", default=list(KEEPS))
    options = parser.parse_args()
    done = finished()
    todo = [
        each
        for each in points(options.only or everything)
        if dataclasses.astuple(each) not in done
        and each.method in options.methods
        and (each.method in ("compress", "dense") or each.keep in options.keeps)
    ]
    for env in dict.fromkeys(each.env for each in todo):
        teacher(env, options.teachers)
    try:
        for number, each in enumerate(made(todo, options.teachers, options.jobs), start=1):
            append(RUNS, each)
            print(f"{number}/{len(todo)}", json.dumps(each), flush=True)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.")
    summarize()


if __name__ == "__main__":
    main()
