"""Teachers of the frontier: 256x256 policies, trained once and kept outside of the repository.

    python benchmarks/frontier_teachers.py [--only Hopper-v5] [--teachers FOLDER]

A finished teacher is a saved policy in the folder, with its training's seconds; it is not trained
again. Others are trained one after the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path.home() / ".cache" / "tfdrlprune" / "teachers"
WIDE = (256, 256)
_SOFT = {"target_update_period": 1}


@dataclass(frozen=True)
class Training:
    """How a teacher is trained.

    Attributes:
        algo: "dqn" or "ppo".
        env_steps: of the run.
        num_envs: stepped at once.
        agent: arguments of ``tp.agents.dqn`` or ``tp.agents.ppo``.
        settings: of `OffPolicySettings` or `OnPolicySettings`.
        hidden: units of the dense layers.
    """

    algo: str
    env_steps: int
    num_envs: int
    agent: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = WIDE


_PPO: dict[str, Any] = {
    "agent": {"learning_rate": 3e-4},
    "settings": {"rollout_length": 256, "minibatch_size": 64},
}
TEACHERS: dict[str, Training] = {
    "CartPole-v1": Training(
        *("dqn", 80_000, 32),
        agent={"n_step": 10, "reward_scale": 0.05, "target_update_tau": 0.01, **_SOFT},
        settings={"env_steps_per_step": 4, "fused_steps": 64, "capacity": 100_000},
    ),
    "Acrobot-v1": Training(
        *("dqn", 80_000, 32),
        agent={"n_step": 5, "reward_scale": 0.1, "target_update_tau": 0.01, **_SOFT},
        settings={"env_steps_per_step": 4, "fused_steps": 64},
    ),
    "Pendulum-v1": Training("ppo", 300_000, 8),
    "LunarLander-v3": Training(
        *("dqn", 240_000, 16),
        agent={"n_step": 5, "target_update_tau": 0.005, **_SOFT},
        settings={
            **{"env_steps_per_step": 6, "fused_steps": 64, "batch_size": 32},
            "capacity": 200_000,
        },
    ),
    "HalfCheetah-v5": Training("ppo", 1_000_000, 8, **_PPO),
    "Hopper-v5": Training("ppo", 2_000_000, 8, **_PPO),
    "Walker2d-v5": Training("ppo", 2_000_000, 8, **_PPO),
}


def train(env: str, training: Training, seed: int = 0) -> Any:
    """Returns the best policy by the evaluations while it was trained."""
    from tfdrlprune._tf import tf

    import tfdrlprune as tp

    tf.keras.utils.set_random_seed(seed)
    kinds = {"dqn": tp.agents.OffPolicySettings, "ppo": tp.agents.OnPolicySettings}
    agent = getattr(tp.agents, training.algo)(
        env, hidden=training.hidden, seed=seed, **training.agent
    )
    trainer = tp.AgentTrainer(
        agent,
        env,
        num_envs=training.num_envs,
        settings=kinds[training.algo](**training.settings),
        seed=seed,
    )
    trainer.fit(
        env_steps=training.env_steps,
        epochs=40,
        callbacks=[tp.EvaluationCallback(episodes=20, keep_best=True)],
        verbose=2,
    )
    source = f"{training.algo} on {env}, {training.env_steps} env steps, seed {seed}"
    return trainer.policy().replace(source=source)


def kept(path: Path, train: Callable[[], Any]) -> Path:
    """Returns the folder of a policy, which is trained now if it is not there.

    Args:
        path: of the folder; the seconds that the training took are beside it.
        train: returns the policy.
    """
    if not path.exists():
        start = time.perf_counter()
        policy = train()
        seconds = time.perf_counter() - start
        path.parent.mkdir(parents=True, exist_ok=True)
        policy.save(path)
        path.with_suffix(".json").write_text(json.dumps({"seconds": round(seconds, 1)}) + "\n")
    return path


def teacher(env: str, folder: Path) -> Path:
    """Returns the folder of a teacher's policy, trained now if it is not there."""
    return kept(folder / env.replace("/", "-"), lambda: train(env, TEACHERS[env]))


def main() -> None:
    """Trains the teachers that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(TEACHERS), action="append", help="these tasks")
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    options = parser.parse_args()
    for env in options.only or TEACHERS:
        print(teacher(env, options.teachers), flush=True)


if __name__ == "__main__":
    main()
