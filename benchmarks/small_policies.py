"""What the frontier's single tasks share: compress as a user does, and tell what came out."""

from __future__ import annotations

import time
from typing import Any

from frontier_runs import interval

COLUMNS = {
    "env": "task",
    "dense_return": "dense: return (95 % interval)",
    "dense_parameters": "parameters",
    "return": "small: return (95 % interval)",
    "parameters": "parameters ",
    "removed": "removed",
    "verdict": "verdict at 5 %",
    "seconds": "seconds",
    "bytes_ratio": "bytes of dense",
    "latency_ratio": "latency of dense",
}


def compressed(
    policy: Any, name: str, env: Any, recipe: Any, terms: Any, *, episodes: int = 1_000
) -> tuple[dict[str, Any], Any]:
    """Returns a row of the table, and the result it is of.

    Args:
        policy: the trained one.
        name: of the task, for people.
        env: what `compress` takes.
        recipe: what to remove.
        terms: of the gate.
        episodes: at most, until the gate has decided.
    """
    import tfdrlprune as tp
    from tfdrlprune.compression.bench import Judging

    judging = Judging(episodes=episodes, terms=terms, until_decided=True, selection_episodes=300)
    start = time.perf_counter()
    result = tp.compress(policy, env, recipe, judging=judging, seed=0)
    seconds = time.perf_counter() - start
    report = result.report
    dense, small = report.baseline, report.judged
    row = {
        "env": name,
        "dense_return": interval(dense.returns),
        "dense_parameters": dense.parameters,
        "return": interval(small.returns),
        "parameters": small.nonzero,
        "removed": round(1 - small.nonzero / dense.parameters, 4),
        "route": result.recipe.route,
        "verdict": report.verdict,
        "seconds": round(seconds, 1),
        "bytes_ratio": round(small.size_bytes / dense.size_bytes, 4),
        "latency_ratio": round(small.latency_us["median"] / dense.latency_us["median"], 3),
        "tried": [str(each) for each in report.tried],
    }
    return row, result
