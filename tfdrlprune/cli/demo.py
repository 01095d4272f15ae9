"""``tfdrlprune demo``: the main job on CartPole-v1, end to end, in about a minute."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfdrlprune.cli import exits, options, output

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report

_ENV = "CartPole-v1"
_SPARSITY = 0.9
_STEPS = 40_000
_EPISODES = 100


@click.command(
    "demo",
    short_help="Do the main job on CartPole-v1, end to end.",
    epilog=options.example("tfdrlprune demo --out runs/demo"),
)
@options.out
@options.seed
@options.json_file
def command(out: Path, force: bool, seed: int, json_file: Path | None) -> int:
    """Trains a DQN on CartPole-v1 while it is pruned to 90 %, exports it, and judges the file.

    Writes the artifact with report.json and report.html.
    """
    output.check_json(json_file)
    with output.progress() as progress:
        report = run(out, seed, force, progress)
    output.write_json(json_file, report.to_dict())
    output.show(report, f"Wrote {out}: the artifact, report.json, report.html.")
    return exits.of_verdicts([report.verdict])


def run(out: Path, seed: int, force: bool, progress: output.Progress) -> Report:
    """Trains dense and pruned, judges both artifacts on seeds never used before, writes ``out``."""
    from tfdrlprune.deployment import artifact
    from tfdrlprune.evidence.ledger import measure_stage
    from tfdrlprune.evidence.report import Report
    from tfdrlprune.evidence.rollouts import seeds_for
    from tfdrlprune.folders import check_free

    check_free(out, force=force, replaces=artifact.is_artifact)
    seeds = seeds_for("judging", seed, _EPISODES)
    rows: list[Any] = []
    with tempfile.TemporaryDirectory(prefix="tfdrlprune-") as folder:
        for name, sparsity in (("dense", 0.0), ("pruned", _SPARSITY)):
            _train(Path(folder, name), sparsity, seed, progress)
            rows.append(
                measure_stage(
                    name,
                    Path(folder, name),
                    _ENV,
                    seeds,
                    baseline=rows[0] if rows else None,
                    progress=output.counting(progress, f"judging {name}", _EPISODES),
                )
            )
        made_by = f"tfdrlprune demo --seed {seed} --out {out}"
        report = Report.of(rows, final="pruned", env=_ENV, seed=seed, command=made_by)
        final = Path(folder, "pruned")
        manifest = artifact.read(final)
        files = {each: artifact.read_file(final, manifest, each) for each in manifest.files}
        judged = dataclasses.replace(manifest, verdict=report.gate)
        artifact.write(out, files | report.files(), judged, force=force)
    return report


def _train(folder: Path, sparsity: float, seed: int, progress: output.Progress) -> None:
    """Trains a DQN in the Keras fit loop, prunes it on the way if asked, and exports it."""
    from tfdrlprune._tf import tf

    import tfdrlprune as tp
    from tfdrlprune.deployment.exporter import export

    tf.keras.utils.set_random_seed(seed)
    agent = tp.agents.dqn(_ENV, hidden=(256, 256), seed=seed)
    trainer = tp.AgentTrainer(agent, _ENV, seed=seed)
    callbacks: list[Any] = [tp.EvaluationCallback(keep_best=True)]
    recipe = tp.Recipe(sparsity=sparsity)
    if sparsity:
        pruning = tp.PruningCallback.from_recipe(recipe, _STEPS)
        callbacks.insert(0, pruning)
    name = folder.name
    callbacks.append(
        tf.keras.callbacks.LambdaCallback(
            on_batch_end=lambda batch, logs: progress(f"training {name}", logs["step"], _STEPS)
        )
    )
    trainer.fit(steps=_STEPS, callbacks=callbacks, verbose=0)
    if sparsity:
        pruning.strip()
    observations = trainer.observations(1_000)
    policy = tp.policies.from_agent(agent, observations=observations)
    export(
        policy.replace(source=f"dqn on {_ENV}, {_STEPS} steps, seed {seed}"),
        folder,
        observations=observations,
        recipe=recipe.to_dict() if sparsity else None,
        requested_sparsity=sparsity or None,
    )
