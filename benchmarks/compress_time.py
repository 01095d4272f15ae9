"""Wall clock of `compress`, from a trained policy to a judged artifact, stage by stage.

    python benchmarks/compress_time.py [--rounds 3]

CartPole-v1 by DQN and Pendulum-v1 by PPO, trained once; then 90 % pruned, taught, quantized to int8
and judged over 200 episodes beside dense, in a fresh process each time. Two cores, as a user runs
it. Training is reported beside it and is not in the total.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import spread, work, write

TASKS = {"CartPole-v1": ("dqn", 50_000), "Pendulum-v1": ("ppo", 200_000)}


def train(env: str, folder: Path) -> float:
    """Trains the policy and saves it as a Keras file; returns the seconds."""
    import tfdrlprune as tp

    algo, env_steps = TASKS[env]
    start = time.perf_counter()
    trainer = tp.AgentTrainer(getattr(tp.agents, algo)(env, seed=0), env, seed=0)
    trainer.fit(env_steps=env_steps, callbacks=[tp.EvaluationCallback(keep_best=True)], verbose=0)
    seconds = time.perf_counter() - start
    trainer.save_weights(str(folder / env))
    return seconds


def compress(env: str, folder: Path) -> dict[str, Any]:
    """Compresses; returns the seconds of every stage, and the verdict on the artifact."""
    import tfdrlprune as tp

    trainer = tp.AgentTrainer(getattr(tp.agents, TASKS[env][0])(env, seed=0), env, seed=0)
    trainer.load_weights(str(folder / env)).expect_partial()
    policy = trainer.policy()
    stages: dict[str, float] = {}
    last = time.perf_counter()

    def tell(what: str, done: float, total: float) -> None:
        nonlocal last
        now = time.perf_counter()
        stage = what.split(":", maxsplit=1)[0]
        stages[stage] = stages.get(stage, 0.0) + now - last
        last = now

    start = time.perf_counter()
    result = tp.compress(policy, env, tp.Recipe(sparsity=0.9, precision="int8"), progress=tell)
    total = time.perf_counter() - start
    return {"total": total, "stages": stages, "verdict": result.report.verdict}


def main() -> None:
    """Measures all tasks; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        what, env, folder = options.worker
        print(json.dumps((train if what == "train" else compress)(env, Path(folder))))
        return
    rows = []
    for env in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            training, _ = work(__file__, ("train", env, folder), 2)
            found = [work(__file__, ("compress", env, folder), 2)[0] for _ in range(options.rounds)]
        rows.append(
            {
                "task": f"{env}, {TASKS[env][0].upper()}",
                "verdict": ", ".join(sorted({run["verdict"] for run in found})),
                "seconds": spread([run["total"] for run in found]),
                "training_s": round(training, 1),
                "stages_s": {
                    stage: spread([run["stages"].get(stage, 0.0) for run in found])
                    for stage in found[0]["stages"]
                },
            }
        )
        print(rows[-1], flush=True)
    columns = {
        "task": "task",
        "verdict": "verdict",
        "seconds": "compress(), s, median (least to most)",
        "training_s": "training before it, s",
    }
    write("compress_time", columns, rows, cores=2)


if __name__ == "__main__":
    main()
