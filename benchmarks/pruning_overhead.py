"""What pruning adds to training time, beside tfmot's wrapper; masks are updated every 100 steps.

    python benchmarks/pruning_overhead.py [--rounds 5]

Dense and pruned take turns within one process, so that a disturbance hits both alike; the ratio is
that of their medians. The fit loop around an agent fuses 256 (DQN) or 40 (PPO) steps in a batch and
updates masks between batches, so at most once in so many steps. tfmot's wrapper is compared in
plain Keras `fit`, which is where it works as it is. One core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from harness import spread, work, write

FREQUENCY = 100
LOOPS = {
    "DQN 64x64, fit loop": ("dqn", 64, 51_200),
    "DQN 256x256, fit loop": ("dqn", 256, 15_360),
    "PPO 64x64, fit loop": ("ppo", 64, 8_000),
}
FITS = {"Keras fit, 64x64": (64, 2_000), "Keras fit, 256x256": (256, 1_000)}
Trial = Callable[[], None]


def growing(step: int) -> float:
    """Returns a sparsity that is still growing when the clock stops."""
    return min(0.9, step / 200_000)


def loop_trials(algo: str, width: int, steps: int) -> dict[str, Trial]:
    """Returns one fit of an agent, dense and pruned."""
    import tfdrlprune as tp

    def trial(callbacks: list[Any]) -> Trial:
        agent = getattr(tp.agents, algo)("CartPole-v1", hidden=(width, width))
        trainer = tp.AgentTrainer(agent, "CartPole-v1")
        return lambda: trainer.fit(steps=steps, callbacks=callbacks, verbose=0)

    return {
        "dense": trial([]),
        "tfdrlprune": trial([tp.PruningCallback(growing, frequency=FREQUENCY)]),
    }


def fit_trials(width: int, steps: int) -> dict[str, Trial]:
    """Returns one Keras fit of a regression: dense, pruned by us, pruned by tfmot."""
    from tfdrlprune._tf import tf, tfmot

    import numpy as np

    import tfdrlprune as tp

    x = np.random.default_rng(0).normal(size=(steps * 64, 8)).astype(np.float32)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread holds every fit back by up to a second
    data = tf.data.Dataset.from_tensor_slices((x, x[:, :2])).batch(64).with_options(options)
    sparsity = tfmot().sparsity.keras

    def trial(wrap: Callable[[Any], Any], callbacks: list[Any]) -> Trial:
        layers = [tf.keras.layers.Dense(width, activation="relu") for _ in range(2)]
        model = tf.keras.Sequential([tf.keras.Input((8,)), *layers, tf.keras.layers.Dense(2)])
        model = wrap(model)
        model.compile("adam", "mse")
        return lambda: model.fit(data, callbacks=callbacks, verbose=0)

    def schedule() -> Any:
        return sparsity.PolynomialDecay(0.0, 0.9, 0, 200_000, frequency=FREQUENCY)

    return {
        "dense": trial(lambda model: model, []),
        "tfdrlprune": trial(lambda model: model, [tp.PruningCallback(schedule())]),
        "tfmot wrapper": trial(
            lambda model: sparsity.prune_low_magnitude(model, pruning_schedule=schedule()),
            [sparsity.UpdatePruningStep()],
        ),
    }


def seconds_of(trials: dict[str, Trial], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of every round of every trial; the first, which compiles, is left out."""
    for trial in trials.values():
        trial()
    found: dict[str, list[float]] = {name: [] for name in trials}
    for _ in range(rounds):
        for name, trial in trials.items():
            start = time.perf_counter()
            trial()
            found[name].append(time.perf_counter() - start)
    return found


def main() -> None:
    """Measures all kinds, each in a process of its own; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, rounds = options.worker
        trials = loop_trials(*LOOPS[name]) if name in LOOPS else fit_trials(*FITS[name])
        print(json.dumps(seconds_of(trials, int(rounds))))
        return
    rows = []
    for name in (*LOOPS, *FITS):
        steps = LOOPS[name][2] if name in LOOPS else FITS[name][1]
        found, _ = work(__file__, (name, options.rounds), 1)
        dense = statistics.median(found["dense"])
        for contender, seconds in found.items():
            rows.append(
                {
                    "work": name,
                    "contender": contender,
                    "us_per_step": spread([1e6 * each / steps for each in seconds]),
                    "over_dense_percent": round(100 * (statistics.median(seconds) / dense - 1), 1),
                }
            )
            print(rows[-1], flush=True)
    columns = {
        "work": "work",
        "contender": "by",
        "us_per_step": "us a step, median (least to most)",
        "over_dense_percent": "over dense, %",
    }
    write("pruning_overhead", columns, rows, cores=1)


if __name__ == "__main__":
    main()
