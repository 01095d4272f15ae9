r"""Tries other settings for the sparsity sweep, on seeds that no result is of.

    python benchmarks/sparsity_trial.py MountainCar-v0 erk 0.98 --seeds 100 101 \
        --change '{"agent": {"learning_rate": 0.003}}'

Every run is appended to results/sparsity_trials.jsonl with the whole of its settings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from harness import RESULTS
from sparsity_runs import METHODS, TASKS, Cell, Task, run
from sparsity_sweep import append

TRIALS = RESULTS / "sparsity_trials.jsonl"
FIRST_SEED = 100


def changed(task: Task, change: dict[str, object]) -> Task:
    """Returns a task with other settings; those of agent and trainer are added to what is there."""
    merged = {
        name: getattr(task, name) | value if isinstance(value, dict) else value
        for name, value in change.items()
    }
    return dataclasses.replace(task, **merged)


def main() -> None:
    """Runs the trials one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env", choices=list(TASKS))
    parser.add_argument("method", choices=list(METHODS))
    parser.add_argument("sparsity", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[FIRST_SEED])
    parser.add_argument("--change", type=json.loads, default={}, help="fields of Task, as JSON")
    options = parser.parse_args()
    if min(options.seeds) < FIRST_SEED:
        parser.error(f"Seeds below {FIRST_SEED} are for results. Received: {options.seeds}.")
    task = changed(TASKS[options.env], options.change)
    for seed in options.seeds:
        line = run(Cell(options.env, options.method, options.sparsity, seed), task)
        append(TRIALS, line | {"task": dataclasses.asdict(task)})
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
