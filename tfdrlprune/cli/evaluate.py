"""``tfdrlprune evaluate``: runs artifacts in their environment; with a baseline, the gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tfdrlprune.cli import exits, gate_options, options, output, sources


@click.command(
    "evaluate",
    short_help="Run artifacts in their environment; the gate.",
    epilog=options.example("tfdrlprune evaluate small/ --env CartPole-v1 --baseline dense/"),
)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=options.FOLDER)
@click.option("--env", required=True, help="Registered id.")
@click.option("--baseline", type=options.FOLDER, help="Artifact to be held against.")
@gate_options.gate
@gate_options.sweeps
@options.seed
@options.json_file
def command(
    folders: Sequence[Path],
    env: str,
    baseline: Path | None,
    episodes: int,
    until_decided: bool,
    workers: int,
    sweep_texts: Sequence[str],
    sweep_episodes: int,
    seed: int,
    json_file: Path | None,
    **flags: Any,
) -> int:
    """Plays episodes with each artifact, all on the same seeds, and prints what they return.

    With --baseline the gate says for each whether it is not worse by more than the margin. Exit
    codes then: 0 all PASS, 3 one FAILs, 4 one is INCONCLUSIVE. To choose among several, name them
    from the safest to the smallest: those up to the first that does not pass are accepted.
    """
    output.check_json(json_file)
    from tfdrlprune import runtime
    from tfdrlprune.evidence.bounds import return_bounds
    from tfdrlprune.evidence.evaluation import check_fits
    from tfdrlprune.evidence.ledger import Ledger
    from tfdrlprune.evidence.rollouts import seeds_for
    from tfdrlprune.evidence.sweeping import curves, robustness
    from tfdrlprune.evidence.table import Table
    from tfdrlprune.evidence.verdict import accepted_in_order

    asked = [*gate_options.given(gate_options.TERMS), *(["--until-decided"] * until_decided)]
    asked += ["--sweep"] * bool(sweep_texts)
    if asked and baseline is None:
        raise click.UsageError(f"{asked[0]} takes something to be held against: give --baseline.")
    sources.check_environment(env)
    terms = gate_options.build_terms(flags, env, seed)
    sweeps = gate_options.build_sweeps(sweep_texts, env, seed)
    every = [*([baseline] if baseline else []), *folders]
    names = [*([str(baseline)] if baseline else []), *_names(folders)]
    for folder in every:
        check_fits(folder, env)
    if baseline is not None:
        return_bounds(env, terms.bounds)
    seeds = seeds_for("judging", seed, episodes).tolist()
    with (
        output.progress() as progress,
        Ledger(
            *(env, seeds, terms),
            until_decided=until_decided,
            workers=workers,
            progress=lambda name, done, total: progress(f"playing {name}", done, total),
        ) as ledger,
    ):
        for name, folder in zip(names, every, strict=True):
            ledger.add(name, folder, judged=baseline is not None)
        swept = None
        if baseline is not None and sweeps:
            total = robustness.planned_episodes(sweeps, len(folders), sweep_episodes)
            swept = robustness.sweep(
                {name: runtime.load(each) for name, each in zip(names[1:], folders, strict=True)},
                runtime.load(baseline),
                env,
                sweeps,
                episodes=sweep_episodes,
                seed=seed,
                worst=terms.bounds and terms.bounds[0],
                progress=lambda done: progress("sweeping", done, total),
            )
    rows = ledger.rows()
    output.show(Table(rows))
    verdicts = {row.name: row.gate for row in rows if row.gate}
    for name, verdict in verdicts.items():
        output.show(f"{name}: {verdict.message}")
        if not until_decided and (undecided := gate_options.how_to_decide(verdict)):
            output.show(undecided)
    accepted = accepted_in_order({name: each.verdict for name, each in verdicts.items()})
    if len(verdicts) > 1:
        output.show(f"Accepted, in the order given: {', '.join(accepted) or 'none'}.")
    if swept is not None:
        output.show("", curves.text(swept))
    artifacts = [row.to_json() for row in rows]
    output.write_json(
        json_file,
        {
            "artifacts": artifacts,
            "baseline": artifacts[0] if baseline else None,
            "gates": {name: each.to_json() for name, each in verdicts.items()},
            "accepted": accepted if baseline else None,
            "robustness": None if swept is None else swept.to_json(),
            "environment": env,
            "seeds": {"seed": seed, "episodes": seeds},
        },
    )
    return exits.of_verdicts(row.verdict for row in rows)


def _names(folders: Sequence[Path]) -> list[str]:
    """Returns the folders as the table names them; one that is named twice gets a number."""
    names = [str(folder) for folder in folders]
    return [
        name if name not in names[:index] else f"{name} ({index + 1})"
        for index, name in enumerate(names)
    ]
