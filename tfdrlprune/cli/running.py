"""A training run: built, trained with backups, and written as one folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import agents
from tfdrlprune._console import silent
from tfdrlprune.agents.evaluation import EvaluationCallback
from tfdrlprune.agents.trainer import AgentTrainer
from tfdrlprune.cli.sources import RUN_FILE, is_run
from tfdrlprune.cli.workshop import BACKUP, check_work, workshop
from tfdrlprune.evidence import machine
from tfdrlprune.evidence.rollouts import roll_out, seeds_for
from tfdrlprune.evidence.statistics import summarize
from tfdrlprune.folders import atomic_folder, check_free
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.tf_policies import greedy_policy
from tfdrlprune.pruning.callbacks import PruningCallback
from tfdrlprune.pruning.kernels import Kernel, find_kernels
from tfdrlprune.pruning.masking import MaskingCallback
from tfdrlprune.pruning.masks import masks_of
from tfdrlprune.pruning.sparse_training import SparseTrainingCallback
from tfdrlprune.quantization.callbacks import QuantizationCallback
from tfdrlprune.recipe import Recipe
from tfdrlprune.recipe.forms import parse_networks
from tfdrlprune.specs import Array

_EPISODES = 20


@dataclass(frozen=True)
class Run:
    """What a run is: the same values, the same run.

    Attributes:
        env: registered id.
        algo: ``"dqn"``, ``"c51"``, ``"ppo"``, ``"sac"`` or ``"td3"``.
        hidden: units of the hidden layers; None for the algorithm's default.
        steps: optimizer steps, or None.
        env_steps: environment steps, or None.
        epochs: evaluations and backups.
        seed: of everything.
        recipe: of pruning and rounding; None trains dense.
    """

    env: str
    algo: str
    hidden: tuple[int, ...] | None
    steps: int | None
    env_steps: int | None
    epochs: int
    seed: int
    recipe: Recipe | None

    def to_json(self) -> dict[str, Any]:
        """Returns the run as JSON values."""
        values = dataclasses.asdict(self) | {"hidden": self.hidden and list(self.hidden)}
        return values | {"recipe": self.recipe and self.recipe.to_dict()}


def train(run: Run, out: Path, *, resume: bool, force: bool) -> dict[str, Any]:
    """Trains, writes the run folder, and returns what ``run.json`` holds.

    Raises:
        FileExistsError: ``out`` is there, or a killed run of the same name.
        FileNotFoundError: there is no killed run to resume.
        ValueError: the environment, the algorithm or the recipe do not fit; the killed run is
            another one.
    """
    check_free(out, force=force, replaces=is_run)
    work = out.absolute().with_name(f"{out.absolute().name}.partial")
    check_work(work, run.to_json(), resume=resume, force=force)
    # At exit it lists what a refused checkpoint holds, below the line that says what to do.
    tf.get_logger().setLevel("ERROR")
    tf.keras.utils.set_random_seed(run.seed)
    # So that a run is the same again, and a resumed one the same as one that was never killed.
    tf.config.experimental.enable_op_determinism()
    trainer = AgentTrainer(_agent(run), run.env, seed=run.seed)
    pruning = _pruning(run, trainer)
    trainer.policy()  # tells now, not after the training, what cannot be a policy
    with workshop(work, run.to_json(), resume=resume, force=force):
        _fit(trainer, run, pruning, work, resume)
        with atomic_folder(out, force=force, replaces=is_run) as folder:
            result = _write(folder, run, trainer, pruning, work)
    shutil.rmtree(work)
    return result


def _agent(run: Run) -> Any:
    makers: dict[str, Any] = {
        "dqn": agents.dqn,
        "c51": agents.c51,
        "ppo": agents.ppo,
        "sac": agents.sac,
        "td3": agents.td3,
    }
    make = makers[run.algo]
    if run.hidden is None:
        return make(run.env, seed=run.seed)
    return make(run.env, hidden=run.hidden, seed=run.seed)


def _pruning(run: Run, trainer: AgentTrainer) -> MaskingCallback | None:
    """Returns the callback; finds out now, before anything is made, whether it can prune."""
    if run.recipe is None or not run.recipe.prunes:
        return None
    kind = PruningCallback if run.recipe.method == "prune" else SparseTrainingCallback
    steps = trainer.planned_steps(run.steps, run.env_steps)
    callback = kind.from_recipe(run.recipe, steps, run.seed)
    callback.set_model(trainer)
    return callback


def _rounding(run: Run, trainer: AgentTrainer) -> list[Any]:
    """Returns what ends the run quantization-aware, once it is as sparse as it will be."""
    if run.recipe is None or not run.recipe.qat:
        return []
    steps = trainer.planned_steps(run.steps, run.env_steps)
    return [QuantizationCallback(start_step=round(run.recipe.end * steps))]


def _fit(
    trainer: AgentTrainer, run: Run, pruning: MaskingCallback | None, work: Path, resume: bool
) -> None:
    # A return-gated schedule keeps the last good policy itself, and waits for the evaluation.
    gated = run.recipe is not None and run.recipe.schedule == "return_gated"
    callbacks = [
        *([pruning] if pruning and not gated else []),
        *_rounding(run, trainer),
        EvaluationCallback(episodes=_EPISODES, keep_best=not gated),
        *([pruning] if pruning and gated else []),
        tf.keras.callbacks.CSVLogger(str(work / "metrics.csv"), append=resume),
        tf.keras.callbacks.TensorBoard(str(work / "logs"), write_graph=False),
        # Last, so that it backs up what the others have done.
        tf.keras.callbacks.BackupAndRestore(str(work / BACKUP), delete_checkpoint=False),
    ]
    trainer.built = True  # BackupAndRestore asks; an agent's variables are there from the start
    try:
        trainer.fit(run.steps, env_steps=run.env_steps, epochs=run.epochs, callbacks=callbacks)
    except (ValueError, tf.errors.OpError) as error:
        if not resume or "ncompatible" not in str(error):
            raise
        raise ValueError(
            f"The backup in {work} is of another network than {run.env} needs with these flags. "
            f"Begin anew by --force. ({' '.join(str(error).split())[:200]})"
        ) from error


def _write(
    folder: Path, run: Run, trainer: AgentTrainer, pruning: MaskingCallback | None, work: Path
) -> dict[str, Any]:
    masked = _masked(trainer)
    trainer.save_weights(str(folder / "checkpoint" / "trainer"))  # masks and all
    if pruning is not None:
        pruning.strip()
    policy = _policy(run, trainer, masked)
    policy.save(folder / "policy")
    _save_for_tf_agents(greedy_policy(trainer.agent), folder / "saved_model")
    _copy_metrics(work / "metrics.csv", folder / "metrics.csv")
    shutil.copytree(work / "logs", folder / "logs")
    if run.recipe is not None:
        (folder / "recipe.toml").write_text(run.recipe.to_toml(), encoding="utf-8")
    seeds = seeds_for("selection", run.seed, _EPISODES)
    result = run.to_json() | {
        "return": summarize(roll_out(policy, run.env, seeds)),
        "sparsity": _sparsity(masked),
        "requested_sparsity": _requested(run.recipe, masked),
        "prunable": _prunable(trainer, policy, masked),
        "optimizer_steps": trainer.optimizer_step(),
        "environment_steps": trainer.env_step,
        "versions": machine.versions(),
    }
    (folder / RUN_FILE).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def _masked(trainer: AgentTrainer) -> dict[str, Array]:
    """Returns the masks on the acting network's kernels, by name; of those that are pruned."""
    found = {kernel.name: masks_of([kernel]) for kernel in _acting(trainer)}
    return {name: masks[0].numpy() for name, masks in found.items() if masks}


def _acting(trainer: AgentTrainer) -> list[Kernel]:
    ((network, _),) = trainer.prunable_networks()["actor"]
    return find_kernels(network)


def _sparsity(masked: dict[str, Array]) -> float:
    """Returns what is achieved in the policy, over the kernels that are pruned."""
    total = sum(mask.size for mask in masked.values())
    return float(sum(np.sum(mask == 0.0) for mask in masked.values()) / total) if total else 0.0


def _requested(recipe: Recipe | None, masked: dict[str, Array]) -> float | None:
    """Returns the sparsity that was asked of the policy; None where it was not pruned.

    Roles that share one sparsity may each have another: then it is what the policy has of it.
    """
    roles = {} if recipe is None else parse_networks(recipe.networks)
    if recipe is None or not recipe.prunes or "actor" not in roles:
        return None
    if len(roles) > 1 and all(own is None for own in roles.values()):
        return _sparsity(masked)
    return recipe.sparsity if roles["actor"] is None else roles["actor"]


def _policy(run: Run, trainer: AgentTrainer, masked: dict[str, Array]) -> Policy:
    pruned = f", pruned to {_sparsity(masked):.3g}" if masked else ""
    source = f"{run.algo} on {run.env}, {trainer.optimizer_step()} steps, seed {run.seed}{pruned}"
    return trainer.policy().replace(source=source)


def _prunable(trainer: AgentTrainer, policy: Policy, masked: dict[str, Array]) -> list[str]:
    """Returns the layers of the policy whose kernels are pruned; all of a dense one.

    The policy is the acting network layer by layer, so its kernels come in the same order.
    """
    pairs = zip(_acting(trainer), find_kernels(policy.model), strict=True)
    return [ours.name for own, ours in pairs if own.name in masked or not masked]


def _save_for_tf_agents(policy: Any, folder: Path) -> None:
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts
    from tf_agents.policies import policy_saver  # isort: skip

    with silent():  # it warns about names of its own making
        policy_saver.PolicySaver(policy, batch_size=None).save(os.fspath(folder))


def _copy_metrics(source: Path, target: Path) -> None:
    """Copies the log of epochs; of one that a kill made be trained twice, the last row stands."""
    with source.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = {row["epoch"]: row for row in reader}
        # Keras makes room for the validation that there never is.
    names = [name for name in reader.fieldnames or [] if not name.startswith("val_")]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows.values())
