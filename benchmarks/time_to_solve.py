"""Seconds from the start of a process to a solved task, beside stable-baselines3.

    python benchmarks/time_to_solve.py [--seeds 10] [--only "CartPole-v1, PPO"] [--by tfdrlprune]

Solved means a mean return of 475 (CartPole-v1) or 200 (LunarLander-v3) over 100 greedy episodes.
Every contender looks after equal shares of its planned run: at 20 episodes first, and at 100 others
when those are good enough. Imports, compilation and evaluation are in the time. stable-baselines3
has the hyper-parameters that RL Baselines3 Zoo publishes (hyperparams/ppo.yml and dqn.yml), ours
those below. One core.

Every finished run is appended to results/time_to_solve.jsonl; what is in it is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from typing import Any

from harness import RESULTS, spread, work, write

OURS, SB3 = "tfdrlprune", "stable-baselines3"
GOALS = {"CartPole-v1": 475.0, "LunarLander-v3": 200.0}
LOOKS = 20
RUNS = RESULTS / "time_to_solve.jsonl"
# task -> contender -> algorithm's, trainer's and run's settings, where they are not the defaults.
TASKS: dict[str, dict[str, dict[str, Any]]] = {
    "CartPole-v1, PPO": {
        OURS: {"env_steps": 100_000},
        SB3: {
            "env_steps": 100_000,
            "n_envs": 8,
            "algorithm": {
                **{"n_steps": 32, "batch_size": 256, "n_epochs": 20},
                **{"gae_lambda": 0.8, "gamma": 0.98, "ent_coef": 0.0},
                **{"learning_rate": "linear 0.001", "clip_range": "linear 0.2"},
            },
        },
    },
    "CartPole-v1, DQN": {
        OURS: {"env_steps": 60_000},
        SB3: {
            "env_steps": 50_000,
            "n_envs": 1,
            "algorithm": {
                **{"learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000},
                **{"learning_starts": 1_000, "gamma": 0.99, "target_update_interval": 10},
                **{"train_freq": 256, "gradient_steps": 128},
                **{"exploration_fraction": 0.16, "exploration_final_eps": 0.04},
                "policy_kwargs": {"net_arch": [256, 256]},
            },
        },
    },
    "LunarLander-v3, PPO": {
        OURS: {
            "env_steps": 300_000,
            "num_envs": 16,
            "algorithm": {"gamma": 0.999, "gae_lambda": 0.98, "entropy": 0.01},
            "trainer": {"rollout_length": 256, "epochs": 8},
        },
        SB3: {
            "env_steps": 1_000_000,
            "n_envs": 16,
            "algorithm": {
                **{"n_steps": 1_024, "batch_size": 64, "n_epochs": 4},
                **{"gae_lambda": 0.98, "gamma": 0.999, "ent_coef": 0.01},
            },
        },
    },
}


def ours(env: str, algo: str, seed: int, settings: dict[str, Any]) -> tuple[float, int]:
    """Trains by `AgentTrainer.fit` until solved; returns the last return and environment steps."""
    import tfdrlprune as tp

    class Confirmation(tp.EvaluationCallback):
        """Looks at other episodes where the first were good enough."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Evaluates, or not."""
            if logs["return"] >= GOALS[env]:
                super().on_epoch_end(epoch, logs)

    agent = getattr(tp.agents, algo)(env, seed=seed, **settings.get("algorithm", {}))
    kind = tp.agents.OnPolicySettings if algo == "ppo" else tp.agents.OffPolicySettings
    trainer = tp.AgentTrainer(
        agent,
        env,
        num_envs=settings.get("num_envs"),
        settings=kind(**settings.get("trainer", {})),
        seed=seed,
    )
    looks = [
        tp.EvaluationCallback(episodes=20, seed=1_000 + seed),
        Confirmation(episodes=100, seed=1_000_000 + seed, stop_at=GOALS[env]),
    ]
    history = trainer.fit(
        env_steps=settings["env_steps"], epochs=LOOKS, callbacks=looks, verbose=0
    ).history
    return history["return"][-1], trainer.env_step


def stable_baselines3(
    env: str, algo: str, seed: int, settings: dict[str, Any]
) -> tuple[float, int]:
    """Trains by SB3 until solved; returns the last return and environment steps."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    steps = settings["env_steps"]

    class Look(BaseCallback):
        """Evaluates after equal shares of the run; ends it when the task is solved."""

        found, due = float("-inf"), steps // LOOKS
        few = make_vec_env(env, n_envs=20, seed=1_000 + seed)
        many = make_vec_env(env, n_envs=100, seed=1_000_000 + seed)

        def _on_step(self) -> bool:
            if self.num_timesteps < self.due:
                return True
            self.due += steps // LOOKS
            self.found = evaluate_policy(self.model, self.few, 20, warn=False)[0]
            if self.found < GOALS[env]:
                return True
            self.found = evaluate_policy(self.model, self.many, 100, warn=False)[0]
            return bool(self.found < GOALS[env])

    def linear(value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("linear "):
            return value
        start = float(value.split()[1])
        return lambda left: left * start

    arguments = {key: linear(value) for key, value in settings["algorithm"].items()}
    model = getattr(stable_baselines3, algo.upper())(
        "MlpPolicy",
        make_vec_env(env, n_envs=settings["n_envs"], seed=seed),
        seed=seed,
        device="cpu",
        **arguments,
    )
    look = Look()
    model.learn(steps, callback=look)
    return float(look.found), int(model.num_timesteps)


def seeds_of(task: str, seeds: int) -> int:
    """Returns how many seeds a task has; LunarLander takes stable-baselines3 minutes."""
    return seeds if task.startswith("CartPole") else -(-seeds // 2)


def finished() -> dict[tuple[str, str, int], dict[str, Any]]:
    """Returns (task, contender, seed) -> run, of all that were finished so far."""
    if not RUNS.exists():
        return {}
    lines = [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]
    return {(run["task"], run["contender"], run["seed"]): run for run in lines}


def main() -> None:
    """Measures all tasks, contenders in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=list(TASKS), action="append")
    parser.add_argument("--by", choices=[OURS, SB3], action="append", help="Both, if not given.")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        contender, task, seed = options.worker
        run = ours if contender == OURS else stable_baselines3
        env, algo = task.split(", ")
        print(json.dumps(run(env, algo.lower(), int(seed), TASKS[task][contender])))
        return
    for task in options.only or TASKS:
        for seed in range(seeds_of(task, options.seeds)):
            for contender in options.by or (OURS, SB3):
                if (task, contender, seed) in finished():
                    continue
                arguments = (contender, task, seed)
                (value, steps), seconds = work(__file__, arguments, 1, peers=contender == SB3)
                run = {"return": value, "env_steps": steps, "seconds": seconds}
                line = {"task": task, "contender": contender, "seed": seed} | run
                with RUNS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(line, flush=True)
    rows = []
    for task in dict.fromkeys(task for task, _, _ in finished()):
        seconds = {}
        for contender in (OURS, SB3):
            if not any(key[:2] == (task, contender) for key in finished()):
                seconds[contender] = []
                continue
            runs = [run for key, run in finished().items() if key[:2] == (task, contender)]
            seconds[contender] = [run["seconds"] for run in runs]
            solved = sum(run["return"] >= GOALS[task.split(",")[0]] for run in runs)
            rows.append(
                {
                    "task": task,
                    "contender": contender,
                    "solved": f"{solved} of {len(runs)} seeds",
                    "seconds": spread(seconds[contender]),
                    "env_steps": spread([run["env_steps"] for run in runs]),
                    "settings": TASKS[task][contender],
                }
            )
        if all(seconds.values()):
            ratio = statistics.median(seconds[SB3]) / statistics.median(seconds[OURS])
            rows[-1]["ours_is_faster_by"] = round(ratio, 2)
    columns = {
        "task": "task",
        "contender": "by",
        "solved": "solved",
        "seconds": "seconds, all included, median (least to most)",
        "env_steps": "env steps",
        "ours_is_faster_by": "ours is faster by",
    }
    write("time_to_solve", columns, rows, goals=GOALS, cores=1)


if __name__ == "__main__":
    main()
