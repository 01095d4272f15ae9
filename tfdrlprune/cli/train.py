"""``tfdrlprune train``: trains an agent, prunes it if asked, and leaves a run folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfdrlprune.cli import options, output, recipe_options
from tfdrlprune.recipe import Recipe

if TYPE_CHECKING:
    from tfdrlprune.cli.running import Run


@click.command(
    "train",
    short_help="Train an agent, and prune it on the way.",
    epilog=options.example(
        "tfdrlprune train CartPole-v1 --algo dqn --steps 50000 --out runs/cartpole"
    ),
)
@click.argument("env")
@click.option(
    "--algo",
    type=click.Choice(["dqn", "c51", "ppo", "sac", "td3"]),
    required=True,
    help="Of TF-Agents.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps.")
@click.option("--env-steps", type=click.IntRange(min=1), help="Environment steps, instead.")
@click.option("--hidden", default=None, help="Units of the hidden layers, such as 256,256.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Parts of the run; after each the policy is evaluated and the run backed up.",
)
@click.option("--resume", is_flag=True, help="Go on with a killed run: the same command again.")
@recipe_options.pruning
@options.tensorboard
@options.out
@options.seed
@options.json_file
def command(
    env: str,
    algo: str,
    steps: int | None,
    env_steps: int | None,
    hidden: str | None,
    epochs: int,
    resume: bool,
    logs: Path | None,
    out: Path,
    force: bool,
    seed: int,
    json_file: Path | None,
    **flags: Any,
) -> None:
    """Trains (and, with --sparsity, prunes) an agent in ENV, and writes the run folder.

    The run holds saved_model/ (TF-Agents' PolicySaver), policy/, checkpoint/, metrics.csv,
    TensorBoard's logs/, recipe.toml and run.json. While it lasts, RUN.partial/ holds what --resume
    needs.
    """
    output.check_json(json_file)
    output.check_logs(logs)
    recipe = _recipe(flags)
    if (steps is None) == (env_steps is None):
        raise click.UsageError("Give --steps or --env-steps, one of them.")
    with output.loading():
        from tfdrlprune.cli.running import Run, train

    run = Run(
        env=env,
        algo=algo,
        hidden=_sizes(hidden),
        steps=steps,
        env_steps=env_steps,
        epochs=epochs,
        seed=seed,
        recipe=recipe,
    )
    result = train(run, out, resume=resume, force=force)
    output.write_json(json_file, result)
    if logs is not None:
        _log(logs, out, run, result)
    kept = f", sparsity {result['sparsity']:.1%}" if recipe and recipe.prunes else ""
    returns = result["return"]
    interval = f"{returns['ci_low']:.4g} to {returns['ci_high']:.4g}"
    output.show(
        f"Greedy return {returns['mean']:.4g} ({interval}) over {returns['episodes']} episodes"
        f"{kept}. Wrote {out}."
    )


def _log(logs: Path, out: Path, run: Run, result: dict[str, Any]) -> None:
    """Writes the run's choices and what came of it for TensorBoard."""
    from tfdrlprune.cli import hparams

    recipe = {} if run.recipe is None else run.recipe.to_dict()
    own = {name: value for name, value in run.to_json().items() if name != "recipe"}
    kept = {"sparsity": float(result["sparsity"])}
    hparams.write(
        logs, out.absolute().name, own | recipe, hparams.of_returns(result["return"]) | kept
    )


def _recipe(flags: dict[str, Any]) -> Recipe | None:
    """Returns the recipe if ``--sparsity`` asks for pruning, or ``--qat`` for rounding.

    Raises:
        click.UsageError: other flags of the recipe are given without it.
    """
    given = [name for name, value in flags.items() if value not in (None, ())]
    if flags.get("sparsity") is None:
        if set(given) - {"qat"}:
            raise click.UsageError(f"--{given[0]} needs --sparsity: without it nothing is pruned.")
        if not flags.get("qat"):
            return None
        flags = flags | {"sparsity": 0.0}
    return recipe_options.build_recipe(None, flags)


def _sizes(hidden: str | None) -> tuple[int, ...] | None:
    if hidden is None:
        return None
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", hidden):
        raise click.BadParameter(
            f"layer sizes are whole numbers with commas, such as 256,256. Received: {hidden!r}.",
            param_hint="--hidden",
        )
    return tuple(int(size) for size in hidden.split(","))
