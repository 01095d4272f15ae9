"""The curves of the frontier as a picture: return against the parameters that are left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TICKS = (300, 1_000, 3_000, 10_000, 30_000)
LABELS = {
    "distil": "distilled",
    "prune": "pruned and repaired",
    "rl": "small, trained by RL",
    "tuned": "distilled, then PPO",
}


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws a panel for each task, a line for each method, 95 % intervals as bars.

    Args:
        rows: of `frontier_curves`, the dense policies among them; panels come in their order.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    whole = {row["env"]: row["return"]["median"] for row in rows if row["method"] == "dense"}
    envs = list(whole)
    style = {"svg.fonttype": "none", "svg.hashsalt": "tfdrlprune", "font.size": 9}
    with matplotlib.rc_context(style):
        figure, panels = pyplot.subplots(
            *(1, len(envs)), figsize=(3.3 * len(envs), 3.4), sharex=True, sharey=True
        )
        for panel, env in zip(panels, envs, strict=True):
            own = [row for row in rows if row["env"] == env]
            (dense,) = (row for row in own if row["method"] == "dense")
            _panel(panel, dense, own)
        top = 105 * max(row["return"]["max"] / whole[row["env"]] for row in rows)
        panels[0].set(
            xscale="log", ylim=(0, top), xticks=TICKS, xticklabels=map("{:,}".format, TICKS)
        )
        panels[0].set_xticks([], minor=True)
        panels[0].set_ylabel("return, % of the dense policy's")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=len(LABELS) + 1, frameon=False)
        figure.tight_layout(rect=(0, 0.08, 1, 1))
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def _panel(panel: Any, dense: dict[str, Any], own: Sequence[dict[str, Any]]) -> None:
    whole = dense["return"]["median"]

    def share(returns: dict[str, Any], key: str) -> float:
        return 100 * float(returns[key]) / whole

    panel.axhspan(*(share(dense["return"], end) for end in ("min", "max")), color="0.9")
    panel.plot(dense["parameters"], 100, "D", color="0.3", label="dense")
    for color, (method, label) in enumerate(LABELS.items()):
        line = sorted((r for r in own if r["method"] == method), key=lambda r: r["parameters"])
        middle = [share(row["return"], "median") for row in line]
        low = [m - share(row["return"], "min") for m, row in zip(middle, line, strict=True)]
        high = [share(row["return"], "max") - m for m, row in zip(middle, line, strict=True)]
        counts = [row["parameters"] for row in line]
        panel.errorbar(
            *(counts, middle, [low, high]), fmt="o-", color=f"C{color}", label=label, capsize=2
        )
    panel.grid(color="0.93")
    panel.set_title(f"{dense['env']}, dense: {whole:,.0f}", fontsize=9)
    panel.set_xlabel("parameters that are not zero")
