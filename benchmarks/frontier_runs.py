"""One run of the frontier, in a process of its own."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Shares of the dense policy's parameters that are left.
KEEPS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
EPISODES = 100


@dataclass(frozen=True)
class Goal:
    """What a task is to be compressed to.

    Attributes:
        sparsity: asked for.
        parameters: at most so many may be left.
        bounds: of returns; None where they are known.
    """

    sparsity: float
    parameters: int
    bounds: tuple[float, float] | None = None


# Bounds of LunarLander: shaping adds up to a few hundred, and a crash or landing to 100; engines
# cost 0.3 a step of at most 1,000. A policy that flies away collects less than -1,000 seldom.
# Bounds of MuJoCo: 1,000 steps at the speed of the best runners that are known and more, and as
# fast backwards where falling does not end the episode.
GOALS = {
    "CartPole-v1": Goal(0.9991, 64),
    "Acrobot-v1": Goal(0.9991, 64),
    "Pendulum-v1": Goal(0.9991, 64),
    "LunarLander-v3": Goal(0.9899, 690, (-1_500.0, 400.0)),
    "HalfCheetah-v5": Goal(0.965, 3_597, (-5_000.0, 15_000.0)),
    "Hopper-v5": Goal(0.96, 3_481, (-500.0, 5_000.0)),
    "Walker2d-v5": Goal(0.96, 3_597, (-500.0, 8_000.0)),
}


@dataclass(frozen=True)
class Point:
    """What a run is of.

    Attributes:
        env: the task.
        method: "compress", "dense", "distil", "prune", "rl" or "tuned".
        keep: share of the parameters that is left.
        seed: of everything but the teacher.
    """

    env: str
    method: str
    keep: float
    seed: int


def run(point: Point, folder: Path) -> dict[str, Any]:
    """Returns what a point comes to."""
    from tfdrlprune._tf import tf

    tf.keras.utils.set_random_seed(point.seed)
    start = time.perf_counter()
    found = _reach(point, folder) if point.method == "compress" else _measure(point, folder)
    return {
        "point": dataclasses.astuple(point),
        "env": point.env,
        "method": point.method,
        **found,
        "process_seconds": round(time.perf_counter() - start, 1),
    }


def _reach(point: Point, folder: Path) -> dict[str, Any]:
    """Compresses to a goal as a user does, without a thought; the floor is random actions."""
    from frontier_teachers import teacher

    import tfdrlprune as tp
    from tfdrlprune.compression.bench import Judging
    from tfdrlprune.evidence.rollouts import random_return
    from tfdrlprune.evidence.terms import Terms
    from tfdrlprune.policies.form import Policy

    goal, policy = GOALS[point.env], Policy.load(teacher(point.env, folder))
    floor = random_return(point.env, seed=point.seed)
    terms = Terms(floor=floor, bounds=goal.bounds)
    judging = Judging(episodes=1_000, terms=terms, until_decided=True, selection_episodes=300)
    start = time.perf_counter()
    result = tp.compress(
        policy, point.env, tp.Recipe(sparsity=goal.sparsity), judging=judging, seed=point.seed
    )
    seconds = time.perf_counter() - start
    report = result.report
    dense, small = report.baseline, report.judged
    return {
        "dense_return": interval(dense.returns),
        "dense_parameters": dense.parameters,
        "return": interval(small.returns),
        "parameters": small.nonzero,
        "route": result.recipe.route,
        "verdict": report.verdict,
        "goal": goal.parameters,
        "floor": floor,
        "episodes": small.returns["episodes"],
        "seconds": round(seconds, 1),
        "bytes_ratio": round(small.size_bytes / dense.size_bytes, 4),
        "latency_ratio": round(small.latency_us["median"] / dense.latency_us["median"], 3),
        "tried": [str(each) for each in report.tried],
    }


def _measure(point: Point, folder: Path) -> dict[str, Any]:
    """Returns the return of one way to so many parameters, over fresh episodes."""
    from frontier_teachers import teacher

    from tfdrlprune.compression.actor import Actor
    from tfdrlprune.compression.narrow import trainable_parameters
    from tfdrlprune.compression.trials import Environments
    from tfdrlprune.evidence.rollouts import seeds_for
    from tfdrlprune.evidence.statistics import summarize
    from tfdrlprune.policies.form import Policy

    dense = Policy.load(teacher(point.env, folder))
    start = time.perf_counter()
    policy, nonzero = make_policy(point, dense)
    seconds = time.perf_counter() - start
    seeds = seeds_for("judging", 0, EPISODES).tolist()
    own = summarize(Environments(point.env).play(Actor(policy), seeds))
    theirs = summarize(Environments(point.env).play(Actor(dense), seeds))
    return {
        "parameters": nonzero,
        "share": round(nonzero / trainable_parameters(dense), 4),
        "return": interval(own),
        "of_dense": round(own["mean"] / theirs["mean"], 3),
        "seconds": round(seconds, 1),
    }


def make_policy(point: Point, dense: Any) -> tuple[Any, int]:
    """Returns a policy made by one method, and how many of its parameters are not zero."""
    from frontier_teachers import TEACHERS, train

    import tfdrlprune as tp
    from tfdrlprune.compression.candidates import make
    from tfdrlprune.compression.classroom import Classroom
    from tfdrlprune.compression.distillation import DistillationSettings
    from tfdrlprune.compression.narrow import narrowed, trainable_parameters

    count = trainable_parameters(dense)
    if point.method == "dense":
        return dense, count
    if point.method == "rl":
        thin = narrowed(dense, int(point.keep * count)).model
        hidden = tuple(layer.units for layer in thin.layers if hasattr(layer, "units"))[:-1]
        policy = train(
            point.env, dataclasses.replace(TEACHERS[point.env], hidden=hidden), point.seed + 100
        )
        return policy, trainable_parameters(policy)
    kind = "element" if point.method == "prune" else "unit"
    route = "prune" if point.method == "prune" else "distil"
    recipe = tp.Recipe(sparsity=1.0 - point.keep, granularity=kind, route=route, until="target")
    settings = DistillationSettings.of(recipe, dense)
    classroom = Classroom(dense, point.env, None, settings, point.seed, lambda *_: None)
    found = (
        _as_compress_does(recipe, classroom, GOALS[point.env].bounds)
        if point.method == "tuned"
        else make(recipe, classroom)
    )
    return found.policy, found.nonzero


def _as_compress_does(recipe: Any, classroom: Any, bounds: tuple[float, float] | None) -> Any:
    """Returns what is taught, or, where that does not hold on selection seeds, the better one."""
    from tfdrlprune.compression.bench import Judging
    from tfdrlprune.compression.routes import Routes
    from tfdrlprune.compression.store import Store
    from tfdrlprune.compression.trials import Trials
    from tfdrlprune.evidence.rollouts import random_return
    from tfdrlprune.evidence.terms import Terms

    terms = Terms(floor=random_return(classroom.env, seed=classroom.seed), bounds=bounds)
    episodes = Judging().selection_episodes
    with Trials(classroom.env, classroom.teacher, terms, episodes, classroom.seed) as trials:
        found = Routes(recipe, classroom, trials, Store(None), None).search()
    for each in found.attempts:
        print(each.row(each is found.best), flush=True)
    return found.best.candidate


def interval(returns: Any) -> dict[str, Any]:
    """Returns a mean with its interval, as tables show it."""
    return {
        "median": float(f"{returns['mean']:.4g}"),
        "min": float(f"{returns['ci_low'] or returns['mean']:.4g}"),
        "max": float(f"{returns['ci_high'] or returns['mean']:.4g}"),
        "runs": returns["episodes"],
    }
