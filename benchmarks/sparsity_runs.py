"""One run of the sparsity sweep: tasks, methods, and what a finished run is."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

EPISODES = 100


@dataclass(frozen=True)
class Task:
    """How every method trains in one environment.

    Chosen on dense runs of seeds 100 and above, which no result is of; MountainCar's learning rate
    on such runs of ERK at 0.98 too, which needs a higher one than the dense network does.

    Attributes:
        algo: "dqn" or "ppo".
        hidden: units of the dense network's layers.
        env_steps: of a run.
        num_envs: stepped at once.
        agent: arguments of ``tp.agents.dqn`` or ``tp.agents.ppo``.
        trainer: of `OffPolicySettings` or `OnPolicySettings`.
        begin: share of the run after which magnitude pruning begins.
        end: share after which its sparsity is reached.
    """

    algo: str
    hidden: tuple[int, ...]
    env_steps: int
    num_envs: int
    agent: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    begin: float = 0.2
    end: float = 0.65


_SOFT = {"target_update_tau": 0.01, "target_update_period": 1}
_WIDE = (256, 256)
TASKS: dict[str, Task] = {
    "CartPole-v1": Task(
        *("dqn", _WIDE, 80_000, 32),
        agent={"learning_rate": 1e-3, "n_step": 10, "reward_scale": 0.05, **_SOFT},
        trainer={"env_steps_per_step": 4, "fused_steps": 64, "capacity": 100_000},
    ),
    "Acrobot-v1": Task(
        *("dqn", _WIDE, 80_000, 32),
        agent={"learning_rate": 1e-3, "n_step": 5, "reward_scale": 0.1, **_SOFT},
        trainer={"env_steps_per_step": 4, "fused_steps": 64},
    ),
    "MountainCar-v0": Task(
        *("dqn", _WIDE, 160_000, 32),
        agent={"learning_rate": 3e-3, "n_step": 10, **_SOFT},
        trainer={"env_steps_per_step": 8, "fused_steps": 64, "batch_size": 32},
    ),
    "LunarLander-v3": Task(
        *("dqn", _WIDE, 240_000, 16),
        agent={"learning_rate": 1e-3, "n_step": 5, **_SOFT, "target_update_tau": 0.005},
        trainer={
            **{"env_steps_per_step": 6, "fused_steps": 64, "batch_size": 32},
            "capacity": 200_000,
        },
    ),
    "HalfCheetah-v5": Task(
        *("ppo", (64, 64), 500_000, 8),
        agent={"learning_rate": 3e-4},
        trainer={"rollout_length": 256, "minibatch_size": 64},
    ),
}
# method -> (sparsities, seeds), by algorithm.
PLANS: dict[str, dict[str, tuple[tuple[float, ...], int]]] = {
    "dqn": {
        "random": ((0.0,), 1),
        "dense": ((0.0,), 5),
        "erk": ((0.95, 0.98), 5),
        "small": ((0.95, 0.98), 5),
        "uniform": ((0.95, 0.98), 5),
        "rigl": ((0.95, 0.98), 5),
        "set": ((0.95,), 3),
        "static": ((0.95,), 3),
    },
    "ppo": {
        "random": ((0.0,), 1),
        "dense": ((0.0,), 3),
        "erk": ((0.9,), 3),
        "small": ((0.9,), 3),
    },
}
MAGNITUDE = ("erk", "uniform")  # methods that follow a schedule, named by their distribution
METHODS = {
    "random": "random actions",
    "dense": "dense",
    "erk": "magnitude, ERK",
    "uniform": "magnitude, uniform",
    "rigl": "RigL, ERK",
    "set": "SET, ERK",
    "static": "static, ERK",
    "small": "dense of as many parameters",
}


@dataclass(frozen=True)
class Cell:
    """One run that the sweep is made of.

    Attributes:
        env: a key of `TASKS`.
        method: a key of `METHODS`.
        sparsity: asked for; of "small", that of the network whose size it has.
        seed: of weights, exploration, sampling and episodes.
    """

    env: str
    method: str
    sparsity: float
    seed: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells a finished run from others, the task's settings included."""
        return (*dataclasses.astuple(self), digest(TASKS[self.env], self.method))


def key_of(run: dict[str, Any]) -> tuple[Any, ...]:
    """Returns the `Cell.key` of a finished run."""
    return tuple(run[name] for name in ("env", "method", "sparsity", "seed", "settings"))


def digest(task: Task, method: str) -> str:
    """Returns what changes with the settings of a run, so that old runs are not taken for new."""
    settings = dataclasses.asdict(task)
    if method not in MAGNITUDE:
        del settings["begin"], settings["end"]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def run(cell: Cell, task: Task | None = None) -> dict[str, Any]:
    """Trains, evaluates the final policy and returns the finished run, as JSON takes it.

    Args:
        cell: what is run.
        task: other settings than those of `TASKS`.
    """
    task = task or TASKS[cell.env]
    begin = time.perf_counter()
    found = random_return(cell) if cell.method == "random" else train(cell, task)
    seconds = round(time.perf_counter() - begin, 1)
    settings = digest(task, cell.method)
    return dataclasses.asdict(cell) | {"settings": settings} | found | {"seconds": seconds}


def random_return(cell: Cell) -> dict[str, Any]:
    """Returns the mean return of random actions."""
    import numpy as np

    from tfdrlprune.agents.evaluation import greedy_returns
    from tfdrlprune.simulation import make

    envs = [make(cell.env) for _ in range(EPISODES)]
    space = envs[0].action_space
    space.seed(cell.seed)
    returns = greedy_returns(
        lambda _: np.stack([space.sample() for _ in envs]), envs, evaluation_seeds(cell.seed)
    )
    return {"return": round(float(returns.mean()), 2)}


def evaluation_seeds(seed: int) -> range:
    """Returns the seeds of a run's last episodes, which no training run has seen."""
    return range(1_000_000 + 1_000 * seed, 1_000_000 + 1_000 * seed + EPISODES)


def train(cell: Cell, task: Task) -> dict[str, Any]:
    """Returns parameters, steps and return of one training run."""
    from tfdrlprune._tf import tf

    import tfdrlprune as tp

    tf.keras.backend.clear_session()
    hidden = task.hidden
    if cell.method == "small":
        hidden = narrow(cell.env, task, cell.sparsity)
    agent = getattr(tp.agents, task.algo)(cell.env, hidden=hidden, seed=cell.seed, **task.agent)
    kind = tp.agents.OnPolicySettings if task.algo == "ppo" else tp.agents.OffPolicySettings
    trainer = tp.AgentTrainer(
        agent, cell.env, num_envs=task.num_envs, settings=kind(**task.trainer), seed=cell.seed
    )
    steps = trainer.planned_steps(env_steps=task.env_steps)
    trainer.fit(steps, callbacks=callbacks(cell, task, steps), epochs=1, verbose=0)
    last = tp.EvaluationCallback(episodes=EPISODES, seed=evaluation_seeds(cell.seed).start)
    last.set_model(trainer)
    logs: dict[str, float] = {}
    last.on_epoch_end(0, logs)
    return count(trainer) | {
        "steps": trainer.optimizer_step(),
        "env_steps": trainer.env_step,
        "return": round(logs["return"], 2),
    }


def callbacks(cell: Cell, task: Task, steps: int) -> list[Any]:
    """Returns what makes a run of ``steps`` optimizer steps sparse."""
    import tfdrlprune as tp

    if cell.method in ("dense", "small"):
        return []
    if cell.method in ("rigl", "set", "static"):
        return [
            tp.SparseTrainingCallback(
                sparsity=cell.sparsity,
                method=cell.method,
                distribution="erk",
                drop_fraction=0.3,
                begin_step=0,
                end_step=int(0.75 * steps),
                frequency=100,
                seed=cell.seed,
            )
        ]
    schedule = tp.schedules.cubic(cell.sparsity, int(task.begin * steps), int(task.end * steps))
    return [tp.PruningCallback(schedule, distribution=cell.method)]


def count(trainer: Any) -> dict[str, Any]:
    """Returns sparsity of the actor's kernels, and its parameters, biases included."""
    import numpy as np

    from tfdrlprune.pruning.kernels import find_kernels

    ((actor, _),) = trainer.prunable_networks()["actor"]
    kernels = [kernel.variable.numpy() for kernel in find_kernels(actor)]
    size = sum(kernel.size for kernel in kernels)
    zeros = size - sum(int(np.count_nonzero(kernel)) for kernel in kernels)
    total = sum(int(np.prod(weight.shape)) for weight in actor.trainable_weights)
    return {"achieved": round(zeros / size, 5), "nonzero": total - zeros, "parameters": total}


def narrow(env: str, task: Task, sparsity: float) -> tuple[int, ...]:
    """Returns widths of the largest dense network with no more parameters than a sparse one.

    All hidden layers are equally wide, as those of the sparse network are.
    """
    inputs, outputs, extra = sizes(env)

    def parameters(hidden: tuple[int, ...], kept: float = 1.0) -> int:
        widths = (inputs, *hidden, outputs)
        kernels = sum(a * b for a, b in itertools.pairwise(widths))
        return kernels - round((1.0 - kept) * kernels) + sum(widths[1:]) + extra

    budget = parameters(task.hidden, 1.0 - sparsity)
    fitting = (n for n in range(max(task.hidden), 0, -1))
    width = next(n for n in fitting if parameters((n,) * len(task.hidden)) <= budget)
    return (width,) * len(task.hidden)


def sizes(env: str) -> tuple[int, int, int]:
    """Returns numbers of an observation and of outputs, and parameters beside the layers."""
    import numpy as np

    from tfdrlprune.simulation import make

    made = make(env)
    inputs = int(np.prod(made.observation_space.shape))
    actions = made.action_space
    if hasattr(actions, "n"):
        return inputs, int(actions.n), 0
    # A normal policy has a standard deviation for each action, whatever the observation.
    return inputs, int(np.prod(actions.shape)), int(np.prod(actions.shape))
