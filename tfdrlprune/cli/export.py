"""``tfdrlprune export``: converts a policy, verifies the file, writes the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfdrlprune.cli import formats as formats_option
from tfdrlprune.cli import options, output, sources
from tfdrlprune.recipe import PRECISIONS, Recipe

if TYPE_CHECKING:
    from tfdrlprune.deployment.exporter import Exported


@click.command(
    "export",
    short_help="Convert a policy as it is.",
    epilog=options.example("tfdrlprune export runs/cartpole --precision int8 --out cartpole/"),
)
@click.argument("source", type=options.ANY)
@formats_option.formats
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="int8 and int16x8 are calibrated on observations.",
)
@click.option(
    "--keep-float", multiple=True, metavar="LAYER", help="Keeps float32 in int8; may be repeated."
)
@click.option(
    "--agreement",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of equal actions in int8, for which as few layers as needed keep float32.",
)
@click.option(
    "--target",
    type=click.Choice(["micro"]),
    help="micro runs the file in tflite-micro, and writes it as a C array, too.",
)
@click.option("--env", help="Where observations are recorded; a run knows its own.")
@click.option("--observations", type=options.FILE, help="Recorded ones, as an .npz, instead.")
@click.option(
    "--calibration-episodes",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="To record observations from.",
)
@options.out
@options.seed
@options.json_file
def command(
    source: Path,
    formats: tuple[str, ...],
    precision: str,
    keep_float: tuple[str, ...],
    agreement: float | None,
    target: str | None,
    env: str | None,
    observations: Path | None,
    calibration_episodes: int,
    out: Path,
    force: bool,
    seed: int,
    json_file: Path | None,
) -> None:
    """Converts the policy at SOURCE as it is, runs the bytes, compares, and writes the artifact.

    SOURCE is a run folder, a PolicySaver SavedModel or a Keras file. Nothing is pruned.
    """
    output.check_json(json_file)
    run = sources.read_run(source)
    env = sources.environment_of(source, env)
    with output.loading():
        from tfdrlprune.deployment import artifact, exporter
        from tfdrlprune.evidence.rollouts import record_observations
        from tfdrlprune.policies.frozen import CANNOT, FrozenPolicy
    from tfdrlprune.folders import check_free

    check_free(out, force=force, replaces=artifact.is_artifact)
    policy = sources.load_exportable(source, env)
    if isinstance(policy, FrozenPolicy):
        click.echo(f"Warning: {policy.reason} {CANNOT}", err=True)
    batch = None
    if observations is not None:
        batch = sources.load_observations(observations, policy.observation_spec)
    elif env is not None:
        batch = record_observations(
            policy, env, episodes=calibration_episodes, max_count=2_000, seed=seed
        )
    exported = exporter.export(
        policy,
        out,
        precision=precision,
        float_layers=keep_float,
        agreement=agreement,
        target=target,
        formats=formats,
        observations=batch,
        force=force,
        **_pruned(run),
    )
    manifest = exported.manifest.to_json()
    comparison = exported.comparison
    same = {
        "agreement": comparison.agreement,
        "observations": comparison.count,
        "recorded": comparison.recorded,
        "output_deviation": comparison.output_deviation,
    }
    c = exported.c
    written: dict[str, Any] = {} if c is None else {"c": formats_option.to_json(c)}
    written["rebuilt"] = not isinstance(policy, FrozenPolicy)
    output.write_json(json_file, manifest | {"comparison": same} | written)
    origin = "recorded" if comparison.recorded else "drawn"
    size = manifest["files"][artifact.MODEL_FILE]["size_bytes"]
    output.show(
        f"Wrote {out}: {size:,} bytes, {precision}, "
        f"sparsity {exported.manifest.sparsity.achieved:.1%}. It acts as the policy does on "
        f"{comparison.agreement:.1%} of {comparison.count} {origin} observations."
        f"{_in_float(exported.manifest.float_layers)}",
        *([] if c is None else [formats_option.told(c)]),
        *_micro(exported),
    )


def _micro(exported: Exported) -> list[str]:
    if exported.micro is None:
        return []
    return [
        f"tflite-micro runs it in an arena of {exported.micro.arena_bytes:,} bytes with "
        f"{', '.join(exported.micro.operations)}."
    ]


def _in_float(layers: tuple[str, ...]) -> str:
    return f" In float32: {', '.join(layers)}." if layers else ""


def _pruned(run: dict[str, Any] | None) -> dict[str, Any]:
    """Returns what the exporter is told of a run that was pruned, so that it counts its zeros."""
    if run is None or run["recipe"] is None or run["requested_sparsity"] is None:
        return {}
    recipe = Recipe.from_dict(run["recipe"])
    return {
        "recipe": recipe.to_dict(),
        "prunable": run["prunable"],
        "requested_sparsity": run["requested_sparsity"],
    }
