"""``tfdrlprune benchmark``: latency, start-up and memory of artifacts, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tfdrlprune.cli import options, output


@click.command(
    "benchmark",
    short_help="Measure latency, start-up and memory.",
    epilog=options.example("tfdrlprune benchmark dense/ small/"),
)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=options.FOLDER)
@click.option(
    "--calls",
    type=click.IntRange(min=1),
    default=2_000,
    show_default=True,
    help="Actions timed in a row.",
)
@click.option("--hz", type=float, default=50.0, show_default=True, help="Of the paced calls.")
@options.seed
@options.json_file
def command(
    folders: Sequence[Path], calls: int, hz: float, seed: int, json_file: Path | None
) -> None:
    """Measures artifacts on this machine: one action called in a row and at a control loop's pace.

    A paced call finds a sleeping core and cold caches, as on a robot. Start-up and memory are those
    of a fresh process up to its first action. Observations are the artifact's own test vectors.
    """
    del seed  # every command has it; here nothing is left to chance
    output.check_json(json_file)
    from tfdrlprune import runtime
    from tfdrlprune.evidence import latency, machine, startup
    from tfdrlprune.evidence.ledger import vectors_of

    policies = [runtime.load(folder) for folder in folders]
    found: list[dict[str, Any]] = []
    with output.progress() as progress:
        for folder, policy in zip(folders, policies, strict=True):
            progress("measuring", len(found), len(folders))
            vectors = vectors_of(folder, policy.manifest)
            hot = latency.measure(policy, vectors, calls=calls)
            paced = latency.paced(policy, vectors, hz=hz)
            size = policy.manifest.files["policy.tflite"].size_bytes
            found.append(
                {"name": str(folder), "size_bytes": size, "latency_us": hot, "paced_us": paced}
                | startup.measure(folder)
            )
        progress("measuring", len(found), len(folders))
    output.write_json(json_file, {"artifacts": found, "hz": hz, "machine": machine.description()})
    _show(found, hz, machine.description())


def _show(found: list[dict[str, Any]], hz: float, machine: dict[str, Any]) -> None:
    from tfdrlprune.evidence import table
    from tfdrlprune.evidence.machine import in_words

    grid = table.empty()
    grid.add_column("artifact")
    names = ("bytes", "us (p99)", f"us at {hz:g} Hz (p99)", "start-up ms", "memory MB")
    for name in names:
        grid.add_column(name, justify="right")
    for each in found:
        hot, paced = each["latency_us"], each["paced_us"]
        cells = (
            each["name"],
            f"{each['size_bytes']:,}",
            f"{hot['median']:.1f} ({hot['p99']:.1f})",
            f"{paced['median']:.0f} ({paced['p99']:.0f})",
            f"{each['startup_ms']:.0f}",
            f"{each['rss_bytes'] / 1e6:.0f}",
        )
        grid.add_row(*map(table.plain_cell, cells))
    output.show(grid, in_words(machine))
