"""One action of a small policy beside one of the 256x256 policy that it was made of.

    python benchmarks/small_latency.py [--teachers FOLDER] [--rounds 31]

Small networks have the shapes that `frontier.py` came to; weights don't matter to the speed, and
are drawn. Each pair takes turns in a process of its own, pinned to one core; a turn is thousands of
calls of `policy.action`, from the TFLite file and from generated C. A call alone is the floor: a
network of one unit a layer shows it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from frontier_teachers import FOLDER
from harness import RESULTS, spread, work, write

CALLS = 2_000
SMALLEST = "one unit a layer"


def prepare(folder: Path, source: Path, parameters: int) -> None:
    """Exports the dense policy, the small one and the smallest, as TFLite and as C."""
    from tfdrlprune._tf import tf  # noqa: F401

    from tfdrlprune.compression.narrow import least_parameters, narrowed
    from tfdrlprune.deployment.exporter import export
    from tfdrlprune.policies.form import Policy

    dense = Policy.load(source)
    policies = {
        "dense": dense,
        "small": narrowed(dense, parameters),
        SMALLEST: narrowed(dense, least_parameters(dense)),
    }
    for name, policy in policies.items():
        export(policy, folder / name, formats=("tflite", "c"))


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Returns microseconds an action, a number for each round, by backend and policy."""
    import numpy as np

    from tfdrlprune import runtime

    loaded: dict[str, Any] = {}
    for name in ("dense", "small", SMALLEST):
        loaded[f"tflite {name}"] = runtime.load(folder / name)
        loaded[f"c {name}"] = runtime.load(folder / name, backend="c")
    width = loaded["tflite dense"].manifest.observation.shape[0]
    observations = list(np.random.default_rng(0).uniform(-1, 1, (64, width)).astype(np.float32))
    taken: dict[str, list[float]] = {name: [] for name in loaded}
    for turn in range(rounds + 1):
        for name, policy in loaded.items():
            act = policy.action
            start = time.perf_counter()
            for index in range(CALLS):
                act(observations[index & 63])
            seconds = time.perf_counter() - start
            if turn:  # the first warms up
                taken[name].append(seconds / CALLS * 1e6)
    return taken


def rows_of(env: str, parameters: int, taken: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Returns a row for each backend."""
    found = []
    for backend in ("tflite", "c"):
        dense, small, least = (taken[f"{backend} {n}"] for n in ("dense", "small", SMALLEST))
        ratios = [a / b for a, b in zip(small, dense, strict=True)]
        found.append(
            {
                "env": env,
                "backend": {"tflite": "TFLite", "c": "generated C"}[backend],
                "dense_us": spread(dense),
                "parameters": parameters,
                "small_us": spread(small),
                "ratio": spread(ratios),
                "floor_us": spread(least),
            }
        )
    return found


COLUMNS = {
    "env": "task",
    "backend": "runs as",
    "dense_us": "256x256, us",
    "parameters": "parameters of the small one",
    "small_us": "small, us",
    "ratio": "small of 256x256, within a round",
    "floor_us": "one unit a layer, us",
}


def main() -> None:
    """Times all pairs, then writes the table; or does a worker's part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--worker", nargs="+")
    options = parser.parse_args()
    if options.worker:
        what, folder, *rest = options.worker
        if what == "prepare":
            prepare(Path(folder), Path(rest[0]), int(rest[1]))
            print("{}")
        else:
            print(json.dumps(measure(Path(folder), int(rest[0]))))
        return
    goals = json.loads((RESULTS / "frontier_goals.json").read_text(encoding="utf-8"))["rows"]
    rows = []
    for goal in goals:
        with tempfile.TemporaryDirectory() as folder:
            source = options.teachers / goal["env"]
            work(__file__, ["prepare", folder, source, goal["parameters"]], 1)
            taken, _ = work(__file__, ["measure", folder, options.rounds], 1)
        rows += rows_of(goal["env"], goal["parameters"], taken)
    write("small_latency", COLUMNS, rows)


if __name__ == "__main__":
    main()
