"""Training speed beside stable-baselines3 and TF-Agents' own loop; writes results/*.json.

    python benchmarks/training_throughput.py [--rounds 5] [--cores 1] [--only dqn-64]

Every measurement is a fresh process, pinned to the same cores; contenders take turns within a
round, so that a disturbance of the machine hits all alike. Compilation and warm-up come before the
clock starts and are reported by themselves. Peers live in `.venv-peers`, which this script makes
(torch from PyPI is large). Units: optimizer steps/s for DQN, environment steps/s for PPO.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers"
PACKAGES = ("stable-baselines3==2.9.2", "torch==2.13.0")
# case -> contender -> steps that are timed; slow contenders are timed for fewer.
CASES: dict[str, dict[str, int]] = {
    "dqn-64": {"tfdrlprune": 40_960, "stable-baselines3": 4_096, "tf-agents": 1_000},
    "dqn-256": {"tfdrlprune": 8_192, "stable-baselines3": 2_048},
    "dqn-256 pruned": {"tfdrlprune": 8_192},
    "ppo-64": {"tfdrlprune": 204_800, "stable-baselines3": 20_480},
}
ENV = "CartPole-v1"


def hidden(case: str) -> tuple[int, int]:
    """Returns the layers' widths that a case is named after."""
    width = int(case.split("-")[1].split(maxsplit=1)[0])
    return width, width


def ours(case: str, steps: int) -> float:
    """Trains by `AgentTrainer.fit`; 32 environments for DQN, 8 x 128 and minibatch 256 for PPO."""
    import tfdrlprune as tp

    agent = getattr(tp.agents, case.split("-", maxsplit=1)[0])(ENV, hidden=hidden(case))
    trainer = tp.AgentTrainer(agent, ENV)
    # Masks change every 100 steps for as long as the clock runs.
    grow = tp.PruningCallback(lambda step: min(0.9, step / 10_000), frequency=100)
    callbacks = [grow] if case.endswith("pruned") else []
    unit = "steps" if case.startswith("dqn") else "env_steps"
    trainer.fit(**{unit: 2_048}, callbacks=callbacks, verbose=0)
    start = time.perf_counter()
    trainer.fit(**{unit: steps}, callbacks=callbacks, verbose=0)
    return steps / (time.perf_counter() - start)


def stable_baselines3(case: str, steps: int) -> float:
    """Trains by SB3 with the same sizes: as many gradient steps as environment steps for DQN."""
    import torch
    from stable_baselines3 import DQN, PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = {"net_arch": list(hidden(case))}
    if case.startswith("dqn"):
        envs = make_vec_env(ENV, n_envs=32)
        model: Any = DQN(
            *("MlpPolicy", envs),
            batch_size=64,
            learning_starts=1_000,
            train_freq=1,
            gradient_steps=-1,
            policy_kwargs=network,
            device="cpu",
        )
        warm_up = 1_536
    else:
        envs = make_vec_env(ENV, n_envs=8)
        model = PPO(
            *("MlpPolicy", envs),
            n_steps=128,
            batch_size=256,
            n_epochs=10,
            policy_kwargs=network,
            device="cpu",
        )
        warm_up = 1_024
    model.learn(warm_up)
    start = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    return steps / (time.perf_counter() - start)


def tf_agents(case: str, steps: int) -> float:
    """Trains as TF-Agents' DQN tutorial does: driver, replay dataset and train, one step each."""
    from tfdrlprune._tf import tf
    from tfdrlprune._tf_agents import tf_agents as package  # noqa: F401

    from tf_agents.drivers import dynamic_step_driver
    from tf_agents.environments import tf_py_environment
    from tf_agents.replay_buffers import tf_uniform_replay_buffer
    from tf_agents.utils import common

    import tfdrlprune as tp
    from tfdrlprune.agents.environments import GymnasiumEnvironment

    agent = tp.agents.dqn(ENV, hidden=hidden(case), n_step=1)
    environment = tf_py_environment.TFPyEnvironment(GymnasiumEnvironment(ENV))
    replay = tf_uniform_replay_buffer.TFUniformReplayBuffer(
        agent.collect_data_spec, batch_size=1, max_length=50_000
    )
    driver = dynamic_step_driver.DynamicStepDriver(
        environment, agent.collect_policy, observers=[replay.add_batch], num_steps=1
    )
    driver.run = common.function(driver.run)
    train = common.function(agent.train)
    for _ in range(200):
        driver.run()
    batches = iter(replay.as_dataset(sample_batch_size=64, num_steps=2).prefetch(3))

    def run(count: int) -> None:
        for _ in range(count):
            driver.run()
            train(next(batches)[0])

    with tf.summary.record_if(False):
        run(50)
        start = time.perf_counter()
        run(steps)
    return steps / (time.perf_counter() - start)


CONTENDERS = {
    "tfdrlprune": ours,
    "stable-baselines3": stable_baselines3,
    "tf-agents": tf_agents,
}


def make_peers() -> Path:
    """Returns the Python of the peers' environment, made if it is not there."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def measure(case: str, contender: str, steps: int, cores: int) -> tuple[float, float]:
    """Returns steps/s and the seconds that everything before the clock took."""
    python = make_peers() if contender == "stable-baselines3" else Path(sys.executable)
    command = [str(python), str(HERE / Path(__file__).name), "--worker", case, contender]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, str(steps)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": str(cores)},
        preexec_fn=lambda: os.sched_setaffinity(0, range(cores)),
    )
    if done.returncode:
        raise SystemExit(f"{contender} failed on {case}:\n{done.stderr[-2_000:]}")
    rate = float(done.stdout.split()[-1])
    return rate, time.perf_counter() - start - steps / rate


def main() -> None:
    """Measures all cases in turns and writes the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--only", choices=list(CASES), action="append")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        case, contender, steps = options.worker
        print(CONTENDERS[contender](case, int(steps)))
        return
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _ in range(options.rounds):
        for case in options.only or CASES:
            for contender, steps in CASES[case].items():
                result = measure(case, contender, steps, options.cores)
                found.setdefault(case, {}).setdefault(contender, []).append(result)
                print(f"{case:16} {contender:18} {result[0]:10,.0f} steps/s", flush=True)
    write(found, options.cores, options.rounds)


def write(found: dict[str, Any], cores: int, rounds: int) -> None:
    """Writes results/training_throughput_<cores>core.json and prints the medians."""
    rows = []
    for case, contenders in found.items():
        base = statistics.median(rate for rate, _ in contenders["tfdrlprune"])
        for contender, runs in contenders.items():
            rates = sorted(rate for rate, _ in runs)
            rows.append(
                {
                    "case": case,
                    "contender": contender,
                    "steps_per_second": {
                        "median": statistics.median(rates),
                        "min": rates[0],
                        "max": rates[-1],
                    },
                    "ours_is_faster_by": base / statistics.median(rates),
                    "start_up_s": statistics.median(before for _, before in runs),
                }
            )
    packages = ("tfdrlprune", "tensorflow", "tf-agents", "gymnasium", "numpy")
    result = {
        "command": f"python benchmarks/training_throughput.py --rounds {rounds} --cores {cores}",
        "rows": rows,
        "cores": cores,
        "machine": {"processor": processor(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in packages}
        | dict(package.split("==") for package in PACKAGES),
    }
    path = HERE / "results" / f"training_throughput_{cores}core.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for row in rows:
        rate = row["steps_per_second"]
        print(
            f"{row['case']:16} {row['contender']:18} {rate['median']:10,.0f} steps/s "
            f"({rate['min']:,.0f} to {rate['max']:,.0f}), start-up {row['start_up_s']:.1f} s, "
            f"ours x {row['ours_is_faster_by']:.1f}"
        )
    print(f"Wrote {path.relative_to(HERE.parent)}")


def processor() -> str:
    """Returns the processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
