"""Where a training step's time goes, by clocks around the parts of the loop.

    python benchmarks/where_time_goes.py [--rounds 5]

The clocks cost a few per cent, so rates are in training_throughput. One core. "compiled" is the
XLA call with its optimizer steps, "environments" the simulator with what decodes actions and
observations, "look back" PPO's values and probabilities of a whole roll-out.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from harness import spread, work, write

CASES = {"DQN 64x64": ("dqn", 25_600), "PPO 64x64": ("ppo", 102_400)}


def clocked(owner: Any, name: str, part: str, spent: dict[str, float]) -> None:
    """Puts a clock around a method."""
    method = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = method(*arguments)
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - start
        return result

    setattr(owner, name, timed)


def measure(case: str) -> dict[str, float]:
    """Returns microseconds for each environment step, by part."""
    import tfdrlprune as tp

    algo, steps = CASES[case]
    trainer = tp.AgentTrainer(getattr(tp.agents, algo)("CartPole-v1"), "CartPole-v1")
    trainer.fit(env_steps=4_096, verbose=0)
    learner: Any = trainer._learner
    learner.forget_compiled = lambda: None  # the clocks stay
    spent: dict[str, float] = {}
    clocked(learner.vector, "step", "environments", spent)
    if algo == "dqn":
        clocked(learner, "_train", "compiled", spent)
        clocked(learner._method, "action_for", "acting", spent)
        clocked(learner._replay, "add", "replay", spent)
        clocked(learner._replay, "sample", "replay", spent)
    else:
        clocked(learner._update, "_train", "compiled", spent)
        clocked(learner._update, "_normalize", "normalizer", spent)
        clocked(learner._collector, "_look_back", "look back", spent)
    start = time.perf_counter()
    trainer.fit(env_steps=steps, verbose=0)
    spent["in all"] = time.perf_counter() - start
    spent["rest"] = 2 * spent["in all"] - sum(spent.values())
    return {part: 1e6 * seconds / steps for part, seconds in spent.items()}


def main() -> None:
    """Measures both cases in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*options.worker)))
        return
    found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    for _ in range(options.rounds):
        for case, runs in found.items():
            runs.append(work(__file__, (case,), 1)[0])
    rows = [
        {"case": case, "part": part, "us": spread([run[part] for run in runs])}
        for case, runs in found.items()
        for part in runs[0]
    ]
    columns = {"case": "work", "part": "part", "us": "us an env step, median (least to most)"}
    write("where_time_goes", columns, rows, cores=1)


if __name__ == "__main__":
    main()
