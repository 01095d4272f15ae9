"""``tfdrlprune evaluate``: runs artifacts in their environment; with a baseline, the gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tfdrlprune.cli import exits, options, output, sources


@click.command(
    "evaluate",
    short_help="Run artifacts in their environment; the gate.",
    epilog=options.example("tfdrlprune evaluate small/ --env CartPole-v1 --baseline dense/"),
)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=options.FOLDER)
@click.option("--env", required=True, help="Registered id.")
@click.option("--baseline", type=options.FOLDER, help="Artifact to be held against.")
@options.gate
@options.seed
@options.json_file
def command(
    folders: Sequence[Path],
    env: str,
    baseline: Path | None,
    episodes: int,
    margin: float,
    confidence: float,
    bounds: tuple[float, float] | None,
    seed: int,
    json_file: Path | None,
) -> int:
    """Plays episodes with each artifact, all on the same seeds, and prints what they return.

    With --baseline the gate says for each whether it is not worse by more than the margin. Exit
    codes then: 0 all PASS, 3 one FAILs, 4 one is INCONCLUSIVE.
    """
    output.check_json(json_file)
    from tfdrlprune.evidence.bounds import return_bounds
    from tfdrlprune.evidence.ledger import measure_stage
    from tfdrlprune.evidence.rollouts import seeds_for
    from tfdrlprune.evidence.table import Ledger

    sources.check_environment(env)
    every = [*([baseline] if baseline else []), *folders]
    for folder in every:
        sources.check_artifact_fits(folder, env)
    if baseline is not None:
        bounds = return_bounds(env, bounds)
    seeds = seeds_for("judging", seed, episodes)
    rows: list[Any] = []
    with output.progress() as progress:
        for folder in every:
            name = str(folder)
            rows.append(
                measure_stage(
                    name,
                    folder,
                    env,
                    seeds,
                    baseline=rows[0] if baseline and rows else None,
                    bounds=bounds,
                    margin=margin,
                    confidence=confidence,
                    progress=output.counting(progress, f"playing {name}", episodes),
                )
            )
    output.show(Ledger(rows))
    verdicts = {row.name: row.gate.to_json() for row in rows if row.gate}
    for name, verdict in verdicts.items():
        output.show(f"{name}: {verdict['message']}")
    artifacts = [row.to_json() for row in rows]
    output.write_json(
        json_file,
        {
            "artifacts": artifacts,
            "baseline": artifacts[0] if baseline else None,
            "gates": verdicts,
            "environment": env,
            "seeds": {"seed": seed, "episodes": seeds.tolist()},
        },
    )
    return exits.of_verdicts(row.verdict for row in rows)
