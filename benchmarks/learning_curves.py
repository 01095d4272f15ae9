"""Fusing steps must cost nothing in learning: curves of fused and single steps over 10 seeds.

    python benchmarks/learning_curves.py [--seeds 10]

DQN on CartPole-v1 with the same settings, once with 256 optimizer steps in a compiled call and once
with one step a call, where the acting policy is always the newest. Each curve has 10 evaluations of
20 greedy episodes, then 100 fresh ones at the end. Means are over seeds, with 95 % bootstrap
intervals (SciPy, BCa); that of the difference is of unpaired seeds.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from harness import spread, work, write

KINDS = {"256 steps a call": 256, "one step a call": 1}
ENV_STEPS = 40_000


def learn(fused_steps: int, seed: int) -> dict[str, Any]:
    """Returns the curve's mean, the last return over 100 episodes, and optimizer steps/s."""
    import time

    import tfdrlprune as tp

    trainer = tp.AgentTrainer(
        tp.agents.dqn("CartPole-v1", seed=seed),
        "CartPole-v1",
        settings=tp.agents.OffPolicySettings(fused_steps=fused_steps),
        seed=seed,
    )
    start = time.perf_counter()
    history = trainer.fit(
        env_steps=ENV_STEPS, callbacks=[tp.EvaluationCallback(seed=1_000 * seed)], verbose=0
    ).history
    seconds = time.perf_counter() - start
    last = tp.EvaluationCallback(episodes=100, seed=1_000_000 + seed)
    last.set_model(trainer)
    logs: dict[str, float] = {}
    last.on_epoch_end(0, logs)
    return {
        "curve": history["return"],
        "last": logs["return"],
        "steps_per_second": trainer.optimizer_step() / seconds,
    }


def interval(statistic: Any, *samples: Any) -> dict[str, float]:
    """Returns a statistic with its 95 % interval, as `spread` would."""
    import numpy as np
    from scipy import stats

    found = stats.bootstrap(
        samples, statistic, vectorized=False, rng=np.random.default_rng(0), n_resamples=5_000
    ).confidence_interval
    value, low, high = (float(f"{x:.3g}") for x in (statistic(*samples), *found))
    return {"median": value, "min": low, "max": high}


def main() -> None:
    """Trains all, kinds in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(learn(*map(int, options.worker))))
        return
    import numpy as np

    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        for kind, fused_steps in KINDS.items():
            found[kind].append(work(__file__, (fused_steps, seed), 1)[0])
            print(f"{kind:18} seed {seed}: {found[kind][-1]['last']:.0f}", flush=True)
    means = {kind: [float(np.mean(run["curve"])) for run in runs] for kind, runs in found.items()}
    lasts = {kind: [run["last"] for run in runs] for kind, runs in found.items()}
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "curve": interval(np.mean, means[kind]),
            "last": interval(np.mean, lasts[kind]),
            "steps_per_second": spread([run["steps_per_second"] for run in runs]),
            "runs": runs,
        }
        for kind, runs in found.items()
    ]

    def difference(one: Any, other: Any) -> float:
        return float(np.mean(one) - np.mean(other))

    rows.append(
        {
            "kind": "difference",
            "curve": interval(difference, *means.values()),
            "last": interval(difference, *lasts.values()),
        }
    )
    columns = {
        "kind": "optimizer steps",
        "curve": "mean return over the curve (95 % interval)",
        "last": "return at the end (95 % interval)",
        "steps_per_second": "steps/s, evaluation included",
    }
    write("learning_curves", columns, rows, seeds=options.seeds, env_steps=ENV_STEPS)


if __name__ == "__main__":
    main()
