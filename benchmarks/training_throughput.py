"""Training speed beside stable-baselines3 and TF-Agents' own loop.

    python benchmarks/training_throughput.py [--rounds 5] [--cores 1] [--only "DQN 64x64"]

Compilation and warm-up come before the clock starts and are reported by themselves. Rates are
optimizer steps/s for DQN and SAC, which make one for each environment step, and environment steps/s
for PPO. Two rows are limits rather than peers: a step's matrix products alone, by OpenBLAS, and the
simulator alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

from harness import spread, work, write


@dataclass(frozen=True)
class Case:
    """What is trained, and for how many steps each contender is timed.

    Attributes:
        algo: "dqn", "ppo" or "sac".
        env: id.
        width: units of both hidden layers.
        steps: contender -> steps that are timed; slow contenders are timed for fewer.
        overlap: whether ours collects beside training.
    """

    algo: str
    env: str
    width: int
    steps: dict[str, int]
    overlap: bool = False


OURS, SB3, TUTORIAL = "tfdrlprune", "stable-baselines3", "TF-Agents tutorial"
PRODUCTS, SIMULATOR = "matrix products alone", "simulator alone"
CARTPOLE, CHEETAH, PENDULUM = "CartPole-v1", "HalfCheetah-v5", "Pendulum-v1"
LANDER = "LunarLander-v3"
CASES = {
    "DQN 64x64": Case(
        *("dqn", CARTPOLE, 64),
        {OURS: 61_440, SB3: 4_096, TUTORIAL: 1_000, PRODUCTS: 10_000},
    ),
    "DQN 64x64, overlapped": Case("dqn", CARTPOLE, 64, {OURS: 61_440}, overlap=True),
    "DQN 256x256": Case("dqn", CARTPOLE, 256, {OURS: 8_192, SB3: 2_048, PRODUCTS: 2_000}),
    "PPO 64x64": Case("ppo", CARTPOLE, 64, {OURS: 204_800, SB3: 20_480}),
    "PPO 64x64, HalfCheetah": Case(
        "ppo", CHEETAH, 64, {OURS: 40_960, SB3: 20_480, SIMULATOR: 20_480}
    ),
    "DQN 64x64, LunarLander": Case("dqn", LANDER, 64, {OURS: 16_384}),
    "DQN 64x64, LunarLander, overlapped": Case("dqn", LANDER, 64, {OURS: 16_384}, overlap=True),
    "SAC 256x256": Case("sac", PENDULUM, 256, {OURS: 2_048, SB3: 1_024, PRODUCTS: 500}),
}


def ours(case: Case, steps: int) -> float:
    """Trains by `AgentTrainer.fit`; 32 environments for DQN, 8 x 128 and minibatch 256 for PPO."""
    import tfdrlprune as tp

    agent = getattr(tp.agents, case.algo)(case.env, hidden=(case.width, case.width))
    settings = tp.agents.OffPolicySettings(overlap=True) if case.overlap else None
    trainer = tp.AgentTrainer(agent, case.env, settings=settings)
    unit = "env_steps" if case.algo == "ppo" else "steps"
    trainer.fit(**{unit: 128 if case.algo == "sac" else 2_048}, verbose=0)
    start = time.perf_counter()
    trainer.fit(**{unit: steps}, verbose=0)
    return steps / (time.perf_counter() - start)


def stable_baselines3(case: Case, steps: int) -> float:
    """Trains by SB3 with the same sizes, and as many gradient steps per environment step."""
    import torch
    from stable_baselines3 import DQN, PPO, SAC
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    common: dict[str, Any] = {
        "policy_kwargs": {"net_arch": [case.width, case.width]},
        "device": "cpu",
    }
    envs = make_vec_env(case.env, n_envs={"dqn": 32, "ppo": 8, "sac": 1}[case.algo])
    model: Any
    if case.algo == "dqn":
        often = {"train_freq": 1, "gradient_steps": -1, "learning_starts": 1_000}
        model, warm_up = DQN("MlpPolicy", envs, batch_size=64, **often, **common), 1_536
    elif case.algo == "ppo":
        sizes = {"n_steps": 128, "batch_size": 256, "n_epochs": 10}
        model, warm_up = PPO("MlpPolicy", envs, **sizes, **common), 1_024
    else:
        often = {"train_freq": 1, "gradient_steps": 1, "learning_starts": 100}
        model, warm_up = SAC("MlpPolicy", envs, batch_size=256, **often, **common), 256
    model.learn(warm_up)
    start = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    return steps / (time.perf_counter() - start)


def tutorial(case: Case, steps: int) -> float:
    """Trains as TF-Agents' DQN tutorial does: driver, replay dataset and train, one step each."""
    from tfdrlprune._tf import tf
    from tfdrlprune._tf_agents import tf_agents as package  # noqa: F401

    from tf_agents.drivers import dynamic_step_driver
    from tf_agents.environments import tf_py_environment
    from tf_agents.replay_buffers import tf_uniform_replay_buffer
    from tf_agents.utils import common

    import tfdrlprune as tp
    from tfdrlprune.agents.environments import GymnasiumEnvironment

    agent = tp.agents.dqn(case.env, hidden=(case.width, case.width), n_step=1)
    environment = tf_py_environment.TFPyEnvironment(GymnasiumEnvironment(case.env))
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


def forward(sizes: tuple[int, ...], batch: int) -> list[tuple[int, int, int]]:
    """Returns (m, k, n) of the products of one forward pass."""
    return [(batch, left, right) for left, right in itertools.pairwise(sizes)]


def backward(
    sizes: tuple[int, ...], batch: int, *, kernels: bool = True, inputs: bool = False
) -> list[tuple[int, int, int]]:
    """Returns those of a backward pass.

    Args:
        sizes: units of all layers, inputs first.
        batch: rows.
        kernels: whether gradients of kernels are taken.
        inputs: whether the gradient goes on into the network's input.
    """
    pairs = list(itertools.pairwise(sizes))
    found = [(left, batch, right) for left, right in pairs] if kernels else []
    return found + [(batch, right, left) for left, right in pairs[0 if inputs else 1 :]]


def products_of_step(case: Case) -> list[tuple[int, int, int]]:
    """Returns (m, k, n) of every matrix product in one optimizer step."""
    middle = (case.width, case.width)
    if case.algo == "dqn":
        sizes = (4, *middle, 2)
        # Online and target network on the next observation, online on this one.
        return 3 * forward(sizes, 64) + backward(sizes, 64)
    actor, critic = (3, *middle, 2), (4, *middle, 1)
    critics = forward(actor, 256) + 2 * (2 * forward(critic, 256) + backward(critic, 256))
    through = forward(critic, 256) + backward(critic, 256, kernels=False, inputs=True)
    temperature = forward(actor, 256)
    return critics + forward(actor, 256) + backward(actor, 256) + 2 * through + temperature


def products(case: Case, steps: int) -> float:
    """Multiplies what one optimizer step multiplies, by NumPy's OpenBLAS, and nothing else."""
    import numpy as np

    generator = np.random.default_rng(0)
    pairs = [
        (generator.random((m, k), np.float32), generator.random((k, n), np.float32))
        for m, k, n in products_of_step(case)
    ]
    outs = [left @ right for left, right in pairs]
    start = time.perf_counter()
    for _ in range(steps):
        for (left, right), out in zip(pairs, outs, strict=True):
            np.matmul(left, right, out=out)
    return steps / (time.perf_counter() - start)


def simulator(case: Case, steps: int) -> float:
    """Steps the environments as PPO does, by one action all the time, and learns nothing."""
    import numpy as np

    from tfdrlprune.agents.vector import Vector

    vector = Vector(case.env, 8)
    vector.restart(0)
    action = np.zeros((8, *vector.action_space.shape), np.float32)
    start = time.perf_counter()
    for _ in range(steps // 8):
        vector.step(action)
    return steps / (time.perf_counter() - start)


CONTENDERS = {
    OURS: ours,
    SB3: stable_baselines3,
    TUTORIAL: tutorial,
    PRODUCTS: products,
    SIMULATOR: simulator,
}


def rows(found: dict[str, dict[str, list[tuple[float, float]]]]) -> list[dict[str, Any]]:
    """Returns a row for each case and contender, ours compared with each."""
    result = []
    for name, contenders in found.items():
        base = statistics.median(rate for rate, _ in contenders[OURS])
        for contender, runs in contenders.items():
            rates = [rate for rate, _ in runs]
            result.append(
                {
                    "case": name,
                    "contender": contender,
                    "steps_per_second": spread(rates),
                    "ours_is_faster_by": round(base / statistics.median(rates), 2),
                    "start_up_s": spread([before for _, before in runs], digits=2),
                }
            )
    return result


def main() -> None:
    """Measures all cases in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--only", choices=list(CASES), action="append")
    parser.add_argument("--out", help="name of the result; by default of all cases")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        contender, case, steps = options.worker
        print(json.dumps(CONTENDERS[contender](CASES[case], int(steps))))
        return
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _ in range(options.rounds):
        for name in options.only or CASES:
            for contender, steps in CASES[name].steps.items():
                arguments = (contender, name, steps)
                rate, lived = work(__file__, arguments, options.cores, peers=contender == SB3)
                measured = found.setdefault(name, {}).setdefault(contender, [])
                measured.append((rate, lived - steps / rate))
                print(f"{name:24} {contender:22} {rate:10,.0f} steps/s", flush=True)
    columns = {
        "case": "work",
        "contender": "by",
        "steps_per_second": "steps/s, median (least to most)",
        "ours_is_faster_by": "ours is faster by",
        "start_up_s": "before the clock, s",
    }
    name = options.out or f"training_throughput_{options.cores}core"
    write(name, columns, rows(found), cores=options.cores)


if __name__ == "__main__":
    main()
