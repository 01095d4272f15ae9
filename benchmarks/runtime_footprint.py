"""Memory and start-up of a process that runs an artifact.

    python benchmarks/runtime_footprint.py

Each number is the median over fresh processes, the kinds taken in turn, so that a disturbance hits
all alike. Start-up counts from before the process is made to after its first action. Goals: at most
60 MB resident and 0.2 s for the runtime with a small policy. What the networks compute does not
matter here, so their weights are random.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import spread, write

GOALS = {"rss_mb": 60.0, "startup_ms": 200.0, "--help, ms": 300.0}
NETWORKS = {
    "run 4-64-64-2 float32": ((4, 64, 64), 2, "float32"),
    "run 17-256-256-6 int8": ((17, 256, 256), 6, "int8"),
    "run 376-1024-1024-17 float32": ((376, 1024, 1024), 17, "float32"),
}
HELP = """
import contextlib, io
from tfdrlprune.cli import app
with contextlib.redirect_stdout(io.StringIO()):
    app.run(["--help"])
"""
BASELINES = {
    "python": "",
    "import numpy": "import numpy",
    "import ai_edge_litert": "import ai_edge_litert.interpreter",
    "import tfdrlprune": "import tfdrlprune",
    "import tfdrlprune.runtime": "import tfdrlprune.runtime",
    "tfdrlprune --help": HELP,
}
RUN = """
import sys
from tfdrlprune import runtime
policy = runtime.load(sys.argv[1])
policy.action([0.0] * policy.observation_spec.shape[0])
"""
# VmHWM is the largest resident set so far; ru_maxrss would still know the parent's after fork.
REPORT = """
import time
end = time.monotonic()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
import sys
assert "tensorflow" not in sys.modules
print(end, status["VmRSS"].split()[0], status["VmHWM"].split()[0])
"""


def export_networks(folder: Path) -> None:
    """Writes an artifact for each network. Runs in a process of its own: it needs TensorFlow."""
    from tfdrlprune._tf import tf

    import numpy as np

    from tfdrlprune.deployment.exporter import export
    from tfdrlprune.policies import Policy
    from tfdrlprune.specs import ArraySpec, Head

    tf.keras.utils.set_random_seed(0)
    for name, (sizes, actions, precision) in NETWORKS.items():
        inputs = tf.keras.Input((sizes[0],), name="observation")
        tensor = inputs
        for size in sizes[1:]:
            tensor = tf.keras.layers.Dense(size, activation="relu")(tensor)
        model = tf.keras.Model(inputs, tf.keras.layers.Dense(actions, name="outputs")(tensor))
        policy = Policy(
            model,
            Head("argmax"),
            ArraySpec("observation", (sizes[0],), "float32"),
            ArraySpec("action", (), "int64", 0, actions - 1),
            "random weights",
        )
        observations = np.random.default_rng(0).normal(size=(200, sizes[0]))
        export(policy, folder / name, precision=precision, observations=observations)


def measure(code: str, argument: str) -> tuple[float, float, float]:
    """Returns milliseconds to the end of ``code`` in a new process, and its RSS and peak in MB."""
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", code + REPORT, argument],
        capture_output=True,
        text=True,
        check=True,
    )
    end, resident, peak = map(float, result.stdout.split())
    return (end - start) * 1e3, resident / 1024, peak / 1024


def run(repeats: int) -> list[dict[str, Any]]:
    """Returns start-up, resident set and peak of every kind, each with its spread."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--export", folder], check=True)
        kinds = {name: (code, "") for name, code in BASELINES.items()}
        kinds |= {name: (RUN, os.path.join(folder, name)) for name in NETWORKS}
        for code, argument in kinds.values():
            measure(code, argument)  # the first of each reads its files from the disk
        samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
        for _ in range(repeats):
            for name, (code, argument) in kinds.items():
                samples[name].append(measure(code, argument))
    return [
        {"process": name}
        | {
            key: spread([sample[index] for sample in found])
            for index, key in enumerate(("startup_ms", "rss_mb", "peak_rss_mb"))
        }
        for name, found in samples.items()
    ]


def main() -> None:
    """Measures all kinds in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30, help="fresh processes of each kind")
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.export is not None:
        export_networks(arguments.export)
        return
    columns = {
        "process": "process",
        "startup_ms": "to the first action, ms (least to most)",
        "rss_mb": "resident, MB (least to most)",
    }
    write("runtime_footprint", columns, run(arguments.repeats), goals=GOALS)


if __name__ == "__main__":
    main()
