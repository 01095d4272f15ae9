r"""Tries other settings for the sparsity sweep, on seeds that no result is of.

    python benchmarks/sparsity_trial.py MountainCar-v0 erk 0.98 --seeds 100 101 \
        --change '{"agent": {"learning_rate": 0.003}}'

Every run is appended to results/sparsity_trials.jsonl with the whole of its settings, and
results/sparsity_trials.json says how these differ from the sweep's. With no seeds it is only that.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from itertools import groupby
from typing import Any

from harness import RESULTS, spread, write
from sparsity_runs import METHODS, TASKS, Cell, Task, run
from sparsity_sweep import append, whole_lines

TRIALS = RESULTS / "sparsity_trials.jsonl"
FIRST_SEED = 100


def changed(task: Task, change: dict[str, Any]) -> Task:
    """Returns a task with other settings; those of agent and trainer are added to what is there."""
    merged = {
        name: getattr(task, name) | value if isinstance(value, dict) else value
        for name, value in change.items()
    }
    return dataclasses.replace(task, **merged)


def rows(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row for the runs of each task, method and settings, in the order of `TASKS`."""

    def kind(trial: dict[str, Any]) -> tuple[Any, ...]:
        order = list(TASKS).index(trial["env"]), list(METHODS).index(trial["method"])
        return (*order, trial["sparsity"], difference(trial["task"], TASKS[trial["env"]]))

    found = []
    for (*_, change), runs in groupby(sorted(trials, key=kind), kind):
        alike = list(runs)
        first = alike[0]
        found.append(
            {name: first[name] for name in ("env", "sparsity")}
            | {"method": METHODS[first["method"]], "change": change or "nothing"}
            | {"seeds": [each["seed"] for each in alike]}
            | {"return": spread([each["return"] for each in alike])}
        )
    return found


def difference(settings: dict[str, Any], task: Task) -> str:
    """Returns in words how settings differ from those of a task."""

    def flat(given: dict[str, Any]) -> dict[str, Any]:
        nested = given["agent"] | given["trainer"]
        return {k: v for k, v in given.items() if k not in ("agent", "trainer")} | nested

    then, now = flat(settings), flat(json.loads(json.dumps(dataclasses.asdict(task))))
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return ", ".join(f"{name} {then.get(name, 'as by default')}" for name in sorted(names))


def main() -> None:
    """Runs the trials one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env", choices=list(TASKS))
    parser.add_argument("method", choices=list(METHODS))
    parser.add_argument("sparsity", type=float)
    parser.add_argument("--seeds", type=int, nargs="*", default=[FIRST_SEED])
    parser.add_argument("--change", type=json.loads, default={}, help="fields of Task, as JSON")
    options = parser.parse_args()
    if min(options.seeds, default=FIRST_SEED) < FIRST_SEED:
        parser.error(f"Seeds below {FIRST_SEED} are for results. Received: {options.seeds}.")
    task = changed(TASKS[options.env], options.change)
    for seed in options.seeds:
        line = run(Cell(options.env, options.method, options.sparsity, seed), task)
        append(TRIALS, line | {"task": dataclasses.asdict(task)})
        print(json.dumps(line), flush=True)
    columns = {
        **{"env": "task", "method": "method", "sparsity": "sparsity"},
        **{"change": "changed from the sweep's settings", "return": "return"},
    }
    found = rows(whole_lines(TRIALS))
    write(TRIALS.stem, columns, found, command="python benchmarks/sparsity_trial.py")


if __name__ == "__main__":
    main()
