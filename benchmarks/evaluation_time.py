"""Wall clock of `tfdrlprune evaluate` for two CartPole policies that never fall, beside SB3's.

    python benchmarks/evaluation_time.py [--rounds 3] [--episodes 200]

200 episodes of 500 env_steps for each of two 256x256 policies, gate and table included, from
the start of the process; with one worker on one core, and with two on two. stable-baselines3 plays
as many by `evaluate_policy`, with the same weights and without a verdict.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import spread, work, write

ENV = "CartPole-v1"
WIDTH = 256
OURS, SB3 = "tfdrlprune", "stable-baselines3"


def weights() -> list[np.ndarray[Any, Any]]:
    """Returns kernels and biases of a network that balances the pole by two of its units."""
    lean = np.array([0.1, 0.2, 1.0, 1.0])
    first = np.zeros((4, WIDTH))
    first[:, 0], first[:, 1] = lean, -lean
    second = np.zeros((WIDTH, WIDTH))
    second[:2, :2] = [[1, -1], [-1, 1]]
    last = np.zeros((WIDTH, 2))
    last[:2] = [[-1, 1], [1, -1]]
    # Units that nobody reads, so that nothing is saved by zeros.
    rng = np.random.default_rng(0)
    first[:, 2:] = 0.1 * rng.standard_normal((4, WIDTH - 2))
    second[:, 2:] = 0.1 * rng.standard_normal((WIDTH, WIDTH - 2))
    found = []
    for kernel in (first, second, last):
        found += [kernel.astype(np.float32), np.zeros(kernel.shape[1], np.float32)]
    return found


def make(folder: Path) -> None:
    """Exports the policy in float32 and in int8."""
    from tfdrlprune._tf import tf

    from tfdrlprune.deployment.exporter import export
    from tfdrlprune.evidence.rollouts import record_observations
    from tfdrlprune.policies.form import Policy
    from tfdrlprune.specs import ArraySpec, Head

    given = tf.keras.Input((4,), name="observation")
    values = given
    for name in ("first", "second"):
        values = tf.keras.layers.Dense(WIDTH, activation="relu", name=name)(values)
    model = tf.keras.Model(given, tf.keras.layers.Dense(2, name="outputs")(values))
    model.set_weights(weights())
    policy = Policy(
        *(model, Head("argmax"), ArraySpec("observation", (4,), "float32")),
        *(ArraySpec("action", (), "int64", 0, 1), "by hand"),
    )
    seen = record_observations(policy, ENV, episodes=5, max_count=500, seed=0)
    for name, precision in (("dense", "float32"), ("small", "int8")):
        export(policy, folder / name, precision=precision, observations=seen)


def ours(folder: Path, workers: int, episodes: int) -> dict[str, Any]:
    """Runs the command; returns what it found."""
    from tfdrlprune.cli.app import run

    out = folder / "result.json"
    with contextlib.redirect_stdout(sys.stderr):
        code = run(
            [
                *("evaluate", str(folder / "small"), "--baseline", str(folder / "dense")),
                *("--env", ENV, "--episodes", str(episodes), "--workers", str(workers)),
                *("--json", str(out)),
            ]
        )
    artifacts = json.loads(out.read_text(encoding="utf-8"))["artifacts"]
    return {"code": code, "returns": [each["return"]["mean"] for each in artifacts]}


def stable_baselines3(episodes: int) -> dict[str, Any]:
    """Plays two policies of the same weights."""
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)
    envs = make_vec_env(ENV, n_envs=1)
    model = DQN("MlpPolicy", envs, policy_kwargs={"net_arch": [WIDTH, WIDTH]}, device="cpu")
    layers = [layer for layer in model.q_net.q_net if isinstance(layer, torch.nn.Linear)]
    arrays = weights()
    with torch.no_grad():
        for index, layer in enumerate(layers):
            layer.weight.copy_(torch.from_numpy(arrays[2 * index].T.copy()))
            layer.bias.copy_(torch.from_numpy(arrays[2 * index + 1]))
    returns = [evaluate_policy(model, envs, n_eval_episodes=episodes)[0] for _ in range(2)]
    return {"code": 0, "returns": [float(each) for each in returns]}


def main() -> None:
    """Measures all contenders in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        what, folder, workers, episodes = options.worker
        if what == "make":
            make(Path(folder))
            print("{}")
            return
        found = (
            ours(Path(folder), int(workers), int(episodes))
            if what == OURS
            else stable_baselines3(int(episodes))
        )
        print(json.dumps(found))
        return
    contenders = [(OURS, 1), (OURS, 2), (SB3, 1)]
    seconds: dict[tuple[str, int], list[float]] = {each: [] for each in contenders}
    returns: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work(__file__, ("make", folder, 1, options.episodes), 2)
        for _ in range(options.rounds):
            for name, cores in contenders:
                arguments = (name, folder, cores, options.episodes)
                found, spent = work(__file__, arguments, cores, peers=name == SB3)
                seconds[name, cores].append(spent)
                returns[name, cores] = found["returns"]
                print(name, cores, round(spent, 2), found, flush=True)
    rows = [
        {
            "by": name,
            "cores": cores,
            "seconds": spread(seconds[name, cores]),
            "returns": " and ".join(f"{each:.0f}" for each in returns[name, cores]),
        }
        for name, cores in contenders
    ]
    columns = {
        "by": "by",
        "cores": "cores and workers",
        "seconds": "seconds, start of the process included, median (least to most)",
        "returns": "mean returns",
    }
    write("evaluation_time", columns, rows, episodes=options.episodes)


if __name__ == "__main__":
    main()
