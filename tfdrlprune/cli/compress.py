"""``tfdrlprune compress``: makes a trained policy small, quantizes, exports, judges."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfdrlprune.cli import exits, gate_options, options, output, recipe_options, sources
from tfdrlprune.cli import formats as formats_option
from tfdrlprune.nearest import check_policy_there

if TYPE_CHECKING:
    from tfdrlprune.compression.pipeline import Result
    from tfdrlprune.evidence.terms import Terms


@click.command(
    "compress",
    short_help="Make a trained policy small, and judge it.",
    epilog=options.example("tfdrlprune compress runs/cartpole --precision int8 --out small/"),
)
@click.argument("source", type=options.ANY)
@click.option("--env", help="Where it is taught and judged; a run knows its own.")
@click.option("--observations", type=options.FILE, help="Recorded ones, as an .npz.")
@click.option(
    "--recipe", "recipe_file", type=options.FILE, help="TOML; flags go before what it says."
)
@recipe_options.recipe
@gate_options.gate
@gate_options.sweeps
@click.option(
    "--fallback/--no-fallback",
    default=True,
    show_default=True,
    help="Ship the last stage that passes where the one asked for does not.",
)
@click.option(
    *("--selection-episodes",),
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="To choose among candidates on, at most; never judged on.",
)
@click.option(
    "--work",
    type=options.FOLDER,
    help="Keep what is made on the way here, for this run and others; by default OUT.work, which "
    "a run that was killed goes on from, and which is removed when OUT is there.",
)
@formats_option.formats
@options.tensorboard
@options.out
@options.seed
@options.json_file
def command(
    source: Path,
    env: str | None,
    observations: Path | None,
    recipe_file: Path | None,
    episodes: int,
    until_decided: bool,
    workers: int,
    sweep_texts: Sequence[str],
    sweep_episodes: int,
    fallback: bool,
    selection_episodes: int,
    work: Path | None,
    formats: tuple[str, ...],
    logs: Path | None,
    out: Path,
    force: bool,
    seed: int,
    json_file: Path | None,
    **flags: Any,
) -> int:
    """Makes the policy at SOURCE small, and writes the artifact with its report.

    SOURCE is a run folder, a PolicySaver SavedModel or a Keras file. Exit codes: 0 PASS, 3 FAIL,
    4 INCONCLUSIVE, of the stage that was written; with --observations alone nothing is judged.
    """
    output.check_json(json_file)
    output.check_logs(logs)
    recipe = recipe_options.build_recipe(recipe_file, flags)
    if observations is None:
        env = sources.environment_of(source, env)
    check_policy_there(source)
    if env is None and observations is None:
        sources.check_policy(source)
        raise click.UsageError(f"Give --env or --observations: {source} does not name its own.")
    terms = gate_options.build_terms(flags, env, seed)
    if sweep_texts and env is None:
        raise click.UsageError("--sweep plays in the environment: give --env.")
    sweeps = gate_options.build_sweeps(sweep_texts, env or "", seed)
    with output.loading():
        from tfdrlprune.compression.bench import Judging
        from tfdrlprune.compression.pipeline import compress
        from tfdrlprune.compression.store import check_store
    from tfdrlprune.deployment import artifact
    from tfdrlprune.folders import check_free

    check_free(out, force=force, replaces=artifact.is_artifact)
    kept = work or out.absolute().with_name(f"{out.absolute().name}.work")
    check_store(kept)
    policy = sources.load_policy(source, env)
    if "c" in formats:
        from tfdrlprune.deployment.c_export import check_c

        check_c(policy)
    batch = None
    if observations is not None:
        batch = sources.load_observations(observations, policy.observation_spec)
    _warn_of_no_bounds(env, terms)
    with _resumable(kept), output.progress() as progress:
        result = compress(
            policy,
            env,
            recipe,
            observations=batch,
            judging=Judging(
                *(episodes, terms, until_decided, fallback, workers),
                *(selection_episodes, sweeps, sweep_episodes),
            ),
            seed=seed,
            progress=progress,
            command=shlex.join(["tfdrlprune", *sys.argv[1:]]),
            work=kept,
        )
    result.export(out, formats=formats, force=force)
    if work is None:
        shutil.rmtree(kept, ignore_errors=True)
    output.write_json(json_file, result.report.to_dict())
    if logs is not None:
        _log(logs, out, source, env, result)
    undecided = "" if until_decided else gate_options.how_to_decide(result.report.judged.gate)
    output.show(result.report, *filter(None, [undecided]), f"Wrote {out}.")
    return exits.of_verdicts([result.report.verdict])


def _warn_of_no_bounds(env: str | None, terms: Terms) -> None:
    """Says before the work what would otherwise be read after it: that nothing can be decided."""
    from tfdrlprune.evidence.bounds import declare
    from tfdrlprune.evidence.ledger import known_bounds

    if env is not None and known_bounds(env, terms.bounds) is None:
        click.echo(
            f"Note: no bounds on returns are known for {env}, so the verdict will be INCONCLUSIVE. "
            f"{declare(env)}",
            err=True,
        )


@contextlib.contextmanager
def _resumable(kept: Path) -> Iterator[None]:
    """Says on Ctrl-C what the same command goes on from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not kept.exists():
            raise
        raise type(stop)(
            f"{os.path.relpath(kept)} keeps what was done: the same command goes on from there."
        ) from None


def _log(logs: Path, out: Path, source: Path, env: str | None, result: Result) -> None:
    """Writes the recipe and what came of it for TensorBoard."""
    from tfdrlprune.cli import hparams
    from tfdrlprune.evidence import markdown

    report = result.report
    chosen = {"source": str(source), "env": env, "seed": report.seed, "stage": report.final}
    hparams.write(
        logs,
        out.absolute().name,
        chosen | result.recipe.to_dict(),
        hparams.of_report(report),
        markdown.render(report),
    )
