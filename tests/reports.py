"""Reports with numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np

from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.gate import judge
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.stage import StageRow
from tfdrlprune.evidence.statistics import summarize
from tfdrlprune.evidence.terms import Terms

COUNT = 200
BOUNDS = (0.0, 500.0)


def episodes(returns) -> Episodes:
    returns = np.asarray(returns, np.float64)
    ends = np.array(["terminated"] * COUNT)
    return Episodes(np.arange(COUNT), returns, returns.astype(int), ends, ("",) * COUNT)


DENSE = episodes(np.full(COUNT, 500.0))


def row(name, table, *, beside=DENSE, **changes) -> StageRow:
    gate = None if table is None or beside is None else judge(table, beside, Terms(bounds=BOUNDS))
    values = {
        "name": name,
        "precision": "float32",
        "parameters": 67_330,
        "nonzero": 6_733,
        "sparsity": 0.9,
        "size_bytes": 271_000,
        "gzip_bytes": 40_100,
        "latency_us": {"median": 7.14, "p99": 9.0},
        "agreement": 0.97,
        "differences": None,
        "returns": None if table is None else summarize(table),
        "paired": None,
        "verdict": None if gate is None else gate.verdict,
        "gate": gate,
        "episodes": table,
        "visited": np.zeros((1, 4)),
    }
    return StageRow(**values | changes)


def report(*, last=None, small=False, env="CartPole-v1", **changes) -> Report:
    last = episodes(np.tile([500.0, 496.0], COUNT // 2)) if last is None else last
    rows = [
        row("dense", DENSE, beside=None, nonzero=67_330, sparsity=0.0, agreement=None),
        row("pruned", last, **changes),
    ]
    if small:
        rows.append(row("small_dense", episodes(np.full(COUNT, 300.0)), nonzero=7_010))
    return Report.of(rows, requested="pruned", env=env, seed=3, command="tfdrlprune compress <x>")
