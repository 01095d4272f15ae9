"""What each precision costs an undistilled 256x256 policy: bytes, actions, and the gate's verdict.

    python benchmarks/quantization.py [--only CartPole-v1] [--teachers FOLDER] [--episodes 1000]

Teachers are those of `frontier_teachers.py`. Each is exported in float32 and in every other form,
calibrated on the same 2,000 recorded observations, and `tfdrlprune evaluate` plays both on the same
fresh seeds until the gate has decided at a margin of 5 % (counted from random actions' return where
that is what zero means: CartPole has its own zero). Every finished row is appended to
results/quantization.jsonl, and not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from frontier_runs import GOALS
from frontier_teachers import FOLDER, teacher
from harness import RESULTS, write

RUNS = RESULTS / "quantization.jsonl"
# task -> (where losses are counted from, shown in the table)
TASKS = {
    "CartPole-v1": None,
    "Acrobot-v1": "random",
    "Pendulum-v1": "random",
    "LunarLander-v3": "random",
    "HalfCheetah-v5": None,
}
FORMS: dict[str, tuple[str, ...]] = {
    "float16": ("--precision", "float16"),
    "dynamic": ("--precision", "dynamic"),
    "int8": ("--precision", "int8"),
    "int8, 95 % of actions": ("--precision", "int8", "--agreement", "0.95"),
    "int16x8": ("--precision", "int16x8"),
}
COLUMNS = {
    "env": "task",
    "form": "form",
    "size_bytes": "bytes",
    "float_layers": "layers in float32",
    "agreement": "equal actions",
    "return": "return",
    "dense": "of float32, same seeds",
    "episodes": "episodes",
    "verdict": "verdict at 5 %",
}


def command(*arguments: str) -> int:
    """Runs one of our commands; returns its exit code."""
    from tfdrlprune.cli.app import run

    return run(arguments)


def read(path: Path) -> dict[str, Any]:
    """Returns what a command has written."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measure(env: str, form: str, folder: Path, policy: Path, episodes: int) -> dict[str, Any]:
    """Returns one row of the table."""
    dense, made = folder / "float32", folder / form
    common = ("--env", env, "--calibration-episodes", "20")
    for path, arguments in ((dense, ("--precision", "float32")), (made, FORMS[form])):
        if not path.exists():
            out = ("--out", str(path), "--json", str(path.with_suffix(".json")))
            code = command("export", str(policy), *common, *arguments, *out)
            if code:
                return {"env": env, "form": form, "verdict": f"refused ({code})"}
    told = read(made.with_suffix(".json"))
    floor, bounds = TASKS[env], GOALS[env].bounds
    code = command(
        *("evaluate", str(made), "--baseline", str(dense), "--env", env, "--until-decided"),
        *("--episodes", str(episodes), "--margin", "0.05", "--seed", "3"),
        *(() if floor is None else ("--floor", floor)),
        *(() if bounds is None else ("--return-bounds", *map(str, bounds))),
        *("--json", str(folder / "judged.json")),
    )
    if code not in (0, 3, 4):
        raise RuntimeError(f"evaluate ended with {code}")
    judged = read(folder / "judged.json")
    baseline, candidate = judged["artifacts"]
    return {
        "env": env,
        "form": form,
        "size_bytes": told["files"]["policy.tflite"]["size_bytes"],
        "float_layers": ", ".join(told["float_layers"]) or None,
        "agreement": round(told["comparison"]["agreement"], 4),
        "return": round(candidate["return"]["mean"], 2),
        "dense": round(baseline["return"]["mean"], 2),
        "episodes": candidate["return"]["episodes"],
        "verdict": candidate["verdict"],
    }


def main() -> None:
    """Makes the rows that are missing, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(TASKS), action="append", help="these tasks")
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    parser.add_argument("--episodes", type=int, default=1_000, help="at most")
    options = parser.parse_args()
    lines = RUNS.read_text(encoding="utf-8").splitlines() if RUNS.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["env"], row["form"]) for row in rows}
    for env in options.only or TASKS:
        with tempfile.TemporaryDirectory() as scratch:
            for form in FORMS:
                if (env, form) in done:
                    continue
                policy = teacher(env, options.teachers)
                row = measure(env, form, Path(scratch), policy, options.episodes)
                rows.append(row)
                with RUNS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
    order = list(TASKS)
    rows.sort(key=lambda row: (order.index(row["env"]), list(FORMS).index(row["form"])))
    write("quantization", COLUMNS, rows)


if __name__ == "__main__":
    main()
