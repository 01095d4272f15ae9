"""What a sweep's finished runs say: interquartile means with stratified bootstrap intervals.

As Agarwal et al. (2021, "Deep RL at the edge of the statistical precipice") have it: a score is
normalised by its task, (return - random) / (dense - random), where ``dense`` is the mean of the
dense runs; scores are resampled within their task.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdrlprune.evidence.statistics import stratified_interquartile_mean

Runs = Sequence[dict[str, Any]]


def estimate(tasks: Sequence[Sequence[float]], digits: int = 3) -> dict[str, Any] | float:
    """Returns the interquartile mean with its 95 % interval, as `harness.spread` would.

    Args:
        tasks: the values of each task's runs; resampled task by task. Where a task has one run
            only, there is no interval, and the value comes alone.
        digits: significant digits.
    """
    found = stratified_interquartile_mean(tasks)
    if found.low is None or found.high is None:
        return float(f"{found.value:.{digits}g}")
    # The names are those of `spread`, by which `text` knows an interval.
    named = {"median": found.value, "min": found.low, "max": found.high}
    rounded = {name: float(f"{each:.{digits}g}") for name, each in named.items()}
    return rounded | {"runs": sum(map(len, tasks))}


def normalizers(runs: Runs) -> dict[str, tuple[float, float]]:
    """Returns env -> (return of random actions, mean return of the dense network)."""
    found = {}
    for env in dict.fromkeys(run["env"] for run in runs):
        own = [run for run in runs if run["env"] == env]
        random, dense = (
            [run["return"] for run in own if run["method"] == method]
            for method in ("random", "dense")
        )
        if random and dense:
            found[env] = float(np.mean(random)), float(np.mean(dense))
    return found


def summarize(runs: Runs, names: dict[str, str]) -> list[dict[str, Any]]:
    """Returns a row for each method and sparsity.

    A row holds, for every env, the interquartile mean return under the env's name and the
    normalised one under "ENV, of dense"; "of dense" is over all envs, and only there if the method
    has as many runs in each of them as it has in any.

    Args:
        runs: finished ones of the tasks that are summarised together.
        names: method -> what it is called, in the order of the rows.
    """
    scale = normalizers(runs)
    rows = []
    for method, name in names.items():
        for sparsity in sorted({run["sparsity"] for run in runs if run["method"] == method}):
            own = [r for r in runs if (r["method"], r["sparsity"]) == (method, sparsity)]
            rows.append({"method": name, "sparsity": sparsity} | _row(own, scale))
    return rows


def _row(runs: Runs, scale: dict[str, tuple[float, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    nonzero = [run["nonzero"] for run in runs if "nonzero" in run]
    if nonzero:
        row["nonzero"] = {
            "median": int(np.median(nonzero)),
            "min": min(nonzero),
            "max": max(nonzero),
        }
    scores = {}
    for env in dict.fromkeys(run["env"] for run in runs):
        returns = [run["return"] for run in runs if run["env"] == env]
        row[env] = estimate([returns])
        if env in scale:
            random, dense = scale[env]
            scores[env] = [(each - random) / (dense - random) for each in returns]
            row[f"{env}, of dense"] = estimate([scores[env]])
    counts = [len(each) for each in scores.values()]
    row["seeds"] = str(min(counts)) if counts else "1"
    if counts and min(counts) != max(counts):
        row["seeds"] += f" to {max(counts)}"
    if counts and set(scores) == set(scale):
        row["of dense"] = estimate(list(scores.values()))
    return row


def draw(rows: Sequence[dict[str, Any]], envs: Sequence[str], path: Path) -> None:
    """Draws normalised scores with their intervals, one panel for each env and one for all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    keys = {env: f"{env}, of dense" for env in envs} | {"all": "of dense"}
    figure, panels = pyplot.subplots(1, len(keys), figsize=(2.4 * len(keys), 3.4), sharey=True)
    shown = [row for row in rows if "of dense" in row and row["sparsity"] > 0]
    labels = [f"{row['method']}, {row['sparsity']:.2f}" for row in shown]
    for panel, (title, key) in zip(panels, keys.items(), strict=True):
        for height, row in enumerate(shown):
            score = row.get(key)
            if not isinstance(score, dict):  # too few runs for an interval
                continue
            color = f"C{[r['method'] for r in shown].index(row['method']) % 10}"
            panel.plot([score["min"], score["max"]], [height] * 2, color=color, linewidth=3)
            panel.plot(score["median"], height, "o", color=color)
        panel.axvline(1.0, color="0.6", linewidth=1, zorder=0)
        panel.set_title(title, fontsize=9)
        panel.set_yticks(range(len(shown)), labels, fontsize=8)
        panel.tick_params(axis="x", labelsize=8)
    panels[0].invert_yaxis()
    figure.supxlabel("score as a share of the dense network's", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)
