"""``tfdrlprune demo``: the main job on CartPole-v1, end to end, in about a minute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfdrlprune.cli import exits, options, output

if TYPE_CHECKING:
    from tfdrlprune.evidence.report import Report
    from tfdrlprune.policies.form import Policy
    from tfdrlprune.recipe import Recipe

_ENV = "CartPole-v1"
_HIDDEN = (64, 64)
_SPARSITY = 0.9
_STEPS = 50_000


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

    Writes the artifact with report.json, report.md and report.html.
    """
    output.check_json(json_file)
    with output.progress() as progress:
        report = run(out, seed, force, progress)
    output.write_json(json_file, report.to_dict())
    output.show(report, f"Wrote {out}: the artifact, report.json, report.md, report.html.")
    return exits.of_verdicts([report.verdict])


def run(out: Path, seed: int, force: bool, progress: output.Progress) -> Report:
    """Trains dense, pruned and small dense, judges their files on fresh seeds, writes ``out``."""
    with output.loading():
        import tfdrlprune as tp
        from tfdrlprune.compression.bench import Bench, Judging
        from tfdrlprune.compression.narrow import narrowed
    from tfdrlprune.deployment import artifact
    from tfdrlprune.evidence.stage import SMALL_DENSE
    from tfdrlprune.folders import check_free

    check_free(out, force=force, replaces=artifact.is_artifact)
    bench = Bench(_ENV, Judging(), seed, progress=progress)
    recipe = tp.Recipe(sparsity=_SPARSITY)
    dense = _train("dense", _HIDDEN, None, seed, progress)
    size = bench.add("dense", dense).parameters
    pruned = _train("pruned", _HIDDEN, recipe, seed, progress)
    row = bench.add("pruned", pruned, recipe=recipe, dense_parameters=size)
    # What any pruning has to beat: as many parameters, dense, trained in the same way.
    widths = [layer.units for layer in narrowed(dense, row.nonzero).model.layers[1:-1]]
    bench.add(SMALL_DENSE, _train("small dense", widths, None, seed, progress))
    report = bench.report("pruned", f"tfdrlprune demo --seed {seed} --out {out}")
    bench.write(report, out, force=force)
    return report


def _train(
    name: str,
    hidden: Sequence[int],
    recipe: Recipe | None,
    seed: int,
    progress: output.Progress,
) -> Policy:
    """Returns a DQN's policy, trained in the Keras fit loop and pruned on the way if asked."""
    from tfdrlprune._tf import tf

    import tfdrlprune as tp
    from tfdrlprune.agents.progress import Telling

    tf.keras.utils.set_random_seed(seed)
    agent = tp.agents.dqn(_ENV, hidden=hidden, seed=seed)
    trainer = tp.AgentTrainer(agent, _ENV, seed=seed)
    callbacks = [
        tp.EvaluationCallback(keep_best=True),
        Telling(f"training {name}", _STEPS, progress),
    ]
    if recipe is not None:
        callbacks.insert(0, tp.PruningCallback.from_recipe(recipe, _STEPS))
    trainer.fit(steps=_STEPS, callbacks=callbacks, verbose=0)
    return trainer.policy().replace(source=f"dqn on {_ENV}, {_STEPS} steps, seed {seed}")
