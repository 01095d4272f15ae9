"""Generated C beside LiteRT, both called from C: nanoseconds an action.

    python benchmarks/c_inference.py [--rounds 15]

Three networks of the sizes that policies have, dense and with nine tenths of their weights removed
in blocks of one input by sixteen outputs; weights are random, as speed does not depend on them. All
are exported, so that what is timed was compared with the policy. One process, pinned to one core,
times all forms of a network in turns: `c_inference.c`, which says how LiteRT is called.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import spread, work, write

NETWORKS = ((4, 64, 64, 2), (17, 256, 256, 6), (376, 1024, 1024, 17))
SPARSITIES = (0.0, 0.9)
PRECISIONS = ("float32", "int8", "dynamic")
BLOCK = 16
COUNT = 256
TURN_NS = 2e7
BASE = "LiteRT float32, dense"


def prepare(folder: Path, sizes: tuple[int, ...]) -> None:
    """Exports a network in all its forms; compiles the C."""
    from tfdrlprune._tf import tf  # noqa: F401

    import numpy as np

    from tfdrlprune.deployment import c_compiler
    from tfdrlprune.deployment.exporter import export

    observations = np.random.default_rng(0).normal(size=(COUNT, sizes[0])).astype(np.float32)
    observations.tofile(folder / "observations.bin")
    for sparsity in SPARSITIES:
        policy = make_policy(sizes, sparsity)
        for precision in PRECISIONS:
            out = folder / f"{sparsity}-{precision}"
            export(
                policy,
                out,
                precision=precision,
                formats=("tflite", "c"),
                observations=observations,
            )
            files = {name: (out / name).read_bytes() for name in ("policy.c", "policy.h")}
            (out / "policy.so").write_bytes(c_compiler.library(files).read_bytes())


def make_policy(sizes: tuple[int, ...], sparsity: float) -> Any:
    """Returns a policy of Dense layers with relu, and a head of scores or of squashed means."""
    from tfdrlprune._tf import tf

    import numpy as np

    from tfdrlprune.policies import Policy
    from tfdrlprune.specs import ArraySpec, Head

    generator = np.random.default_rng(1)
    given = tensor = tf.keras.Input((sizes[0],), name="observation")
    for index, size in enumerate(sizes[1:]):
        last = index == len(sizes) - 2
        name, activation = ("outputs", None) if last else (f"hidden_{index}", "relu")
        layer = tf.keras.layers.Dense(size, activation, name=name)
        tensor = layer(tensor)
        kernel = generator.normal(size=layer.kernel.shape) / np.sqrt(layer.kernel.shape[0])
        tiles = -(-size // BLOCK)
        kept = np.zeros(kernel.shape[0] * tiles, bool)
        kept[generator.permutation(kept.size)[: round((1 - sparsity) * kept.size)]] = True
        mask = np.repeat(kept.reshape(-1, tiles), BLOCK, axis=1)[:, :size]
        layer.set_weights([kernel * mask, generator.normal(size=size)])
    argmax = sizes[-1] == NETWORKS[0][-1]
    action = (
        ArraySpec("action", (), "int64", 0, sizes[-1] - 1)
        if argmax
        else ArraySpec("action", (sizes[-1],), "float32", -1.0, 1.0)
    )
    observation = ArraySpec("observation", (sizes[0],), "float32")
    head = Head("argmax" if argmax else "tanh")
    return Policy(tf.keras.Model(given, tensor), head, observation, action, "random weights")


def measure(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    """Returns nanoseconds an action by form and round, and the first numbers of the actions."""
    program = folder / "c_inference"
    source = Path(__file__).with_suffix(".c")
    strict = ("-std=c99", "-O2", "-Wall", "-Wextra")
    subprocess.run(["cc", *strict, source, "-o", program, "-ldl"], check=True)
    spec = find_spec("ai_edge_litert")
    assert spec is not None
    litert = Path(str(spec.origin)).with_name("libLiteRt.so")
    forms = {}
    for sparsity in SPARSITIES:
        what = "dense" if sparsity == 0 else f"{sparsity:.0%} in blocks"
        for precision in PRECISIONS:
            held = folder / f"{sparsity}-{precision}"
            forms[f"LiteRT {precision}, {what}"] = held / "policy.tflite"
            forms[f"C {precision}, {what}"] = held / "policy.so"
    arguments = [folder / "observations.bin", size, rounds, TURN_NS, litert, *forms.values()]
    done = subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{program} failed:\n{done.stderr[-2_000:]}")
    lines = [line.split() for line in done.stdout.splitlines()]
    names = {str(path): name for name, path in forms.items()}
    actions = {names[path]: list(map(float, rest)) for path, *rest in lines[: len(forms)]}
    times: dict[str, list[float]] = {}
    for path, ns in lines[len(forms) :]:
        times.setdefault(names[path], []).append(float(ns))
    return {"ns": times, "actions": actions}


def main() -> None:
    """Measures all networks; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        what, folder, sizes, rounds = options.worker
        shape = tuple(map(int, sizes.split("-")))
        if what == "prepare":
            prepare(Path(folder), shape)
            print("null")
        else:
            print(json.dumps(measure(Path(folder), shape[0], int(rounds))))
        return
    rows = []
    for sizes in NETWORKS:
        text = "-".join(map(str, sizes))
        with tempfile.TemporaryDirectory() as folder:
            work(__file__, ("prepare", folder, text, options.rounds), 1)
            found, _ = work(__file__, ("measure", folder, text, options.rounds), 1)
        rows += rows_of(text, found)
    columns = {
        "network": "network",
        "form": "form",
        "ns_per_action": "ns an action, median (least to most)",
        "faster_than_float32": "times as fast as LiteRT float32",
        "faster_than_best": "times as fast as LiteRT's fastest",
        "same_actions_percent": "same actions as LiteRT float32, %",
    }
    write("c_inference", columns, rows, cores=1, threads=1, observations=COUNT, block=[1, BLOCK])


def rows_of(network: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a row for each form. LiteRT's fastest is taken from its dense and sparse files."""
    medians = {form: statistics.median(times) for form, times in found["ns"].items()}
    best = min(ns for form, ns in medians.items() if form.startswith("LiteRT"))
    rows = []
    for form, times in found["ns"].items():
        reference = found["actions"][f"LiteRT float32, {form.split(', ')[1]}"]
        # The first number of an action; of a continuous one to within a hundredth of its range.
        same = [abs(a - b) <= 0.02 for a, b in zip(found["actions"][form], reference, strict=True)]
        rows.append(
            {
                "network": network,
                "form": form,
                "ns_per_action": spread(times),
                "faster_than_float32": round(medians[BASE] / medians[form], 2),
                "faster_than_best": round(best / medians[form], 2),
                "same_actions_percent": round(100 * sum(same) / len(same), 1),
            }
        )
    return rows


if __name__ == "__main__":
    main()
