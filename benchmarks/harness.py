"""What the benchmarks share: contenders in fresh, pinned processes, and results as JSON.

Every measurement is a process of its own, pinned to the same cores; contenders take turns within a
round, so that a disturbance of the machine hits all alike. Peers live in `.venv-peers`, made on
first use: they would not go into the environment of TensorFlow 2.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PEERS = HERE.parent / ".venv-peers"
PEER_PACKAGES = (
    "stable-baselines3==2.9.2",
    "torch==2.13.0",
    "gymnasium[box2d,mujoco]==1.4.0",
    "onnx==1.23.2",
    "onnxruntime==1.32.0",
)
PACKAGES = (
    *("tfdrlprune", "tensorflow", "tf-agents", "tensorflow-model-optimization"),
    *("ai-edge-litert", "gymnasium", "numpy"),
)


def peers_python() -> Path:
    """Returns the Python of the peers' environment, made if it is not there."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
    return python


def work(
    script: str, arguments: Sequence[Any], cores: int, *, peers: bool = False
) -> tuple[Any, float]:
    """Runs ``script --worker ARGUMENTS`` in a fresh process.

    Args:
        script: the benchmark's ``__file__``.
        arguments: given as text.
        cores: the process is pinned to so many, as are its threads' pools.
        peers: whether it runs in the peers' environment.

    Returns:
        What the worker printed last, read as JSON, and the seconds the process lived.

    Raises:
        SystemExit: the worker failed; shows its last words.
    """
    python = peers_python() if peers else Path(sys.executable)
    command = [str(python), str(Path(script).resolve()), "--worker", *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": str(cores), "OPENBLAS_NUM_THREADS": str(cores)},
        preexec_fn=lambda: os.sched_setaffinity(0, range(cores)),
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{done.stderr[-2_000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]), seconds


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Returns median, least, largest and number of runs, to some significant digits."""
    plain = [float(f"{value:.{digits}g}") for value in values]
    return {
        "median": float(f"{statistics.median(plain):.{digits}g}"),
        "min": min(plain),
        "max": max(plain),
        "runs": len(plain),
    }


def write(name: str, columns: dict[str, str], rows: list[dict[str, Any]], **more: Any) -> None:
    """Writes results/NAME.json and prints the rows.

    Args:
        name: of the file.
        columns: key in a row -> heading in docs/benchmarks.md.
        rows: what was measured; values are text, numbers or `spread`.
        **more: further entries of the file.
    """
    result = {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "columns": columns,
        "rows": rows,
        **more,
        "machine": machine(),
        "versions": versions(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for row in rows:
        print(*(f"{key}: {text(row.get(key))}" for key in columns), sep="  ")
    print(f"Wrote {path.relative_to(HERE.parent)}")


def text(value: Any) -> str:
    """Returns a row's value as people read it."""
    if isinstance(value, dict):
        return f"{text(value['median'])} ({text(value['min'])} to {text(value['max'])})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def versions() -> dict[str, str]:
    """Returns the versions of what is measured, peers included."""
    peers = {p.split("==")[0].split("[")[0]: p.split("==")[1] for p in PEER_PACKAGES}
    return {"python": sys.version.split()[0]} | peers | {n: metadata.version(n) for n in PACKAGES}


def machine() -> dict[str, Any]:
    """Returns processor, cores and load."""
    from tfdrlprune.evidence.machine import description

    return description() | {"load_average": round(os.getloadavg()[0], 1)}
