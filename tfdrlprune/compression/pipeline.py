"""compress(): a trained policy in, a small one out, with every stage judged on its artifact."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfdrlprune.compression.bench import Bench, Judging, Progress
from tfdrlprune.compression.call import python_call
from tfdrlprune.compression.candidates import distilled
from tfdrlprune.compression.checks import check_request
from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.distillation import DistillationSettings
from tfdrlprune.compression.fine_tuning import fine_tuned
from tfdrlprune.compression.forms import forms_of
from tfdrlprune.compression.narrow import least_parameters
from tfdrlprune.compression.routes import Routes
from tfdrlprune.compression.store import (
    EPISODES,
    Store,
    environment_key,
    observations_key,
    policy_key,
)
from tfdrlprune.compression.trials import Trials
from tfdrlprune.deployment import counting
from tfdrlprune.deployment.exporter import stripped
from tfdrlprune.evidence.memory import Memory
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.stage import SMALL_DENSE
from tfdrlprune.observations import as_batch
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.frozen import check_layers
from tfdrlprune.recipe import Recipe
from tfdrlprune.simulation import Environment


@dataclass(frozen=True)
class Result:
    """What `compress` found.

    Attributes:
        policy: the small policy.
        recipe: it was made by: with the route that was taken and the sparsity that was reached.
        report: every stage with what was measured on its artifact, and what else was tried.
        stages: name of each stage -> its policy, before the precision is lowered.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> seen = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
        >>> result = tp.compress(policy, None, tp.Recipe(sparsity=0.0), observations=seen)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     robot = tp.runtime.load(result.export(f"{folder}/small"))
        >>> int(robot.action(seen).max())
        1
    """

    policy: Policy
    recipe: Recipe
    report: Report
    stages: Mapping[str, Policy] = field(repr=False)
    _bench: Bench = field(repr=False)

    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        stage: str | None = None,
        formats: Sequence[str] = ("tflite",),
        force: bool = False,
    ) -> Path:
        """Writes a judged artifact with the report; whole or not at all.

        Args:
            folder: to be created.
            stage: name of a stage of the report; None for the final one.
            formats: ``"tflite"``, and ``"c"`` for C made of the judged file.
            force: whether an artifact that is there already is replaced.

        Raises:
            FileExistsError: the folder is there and may not be replaced.
            ValueError: there is no such stage, or the policy cannot be written as C.
        """
        return self._bench.write(self.report, folder, stage=stage, formats=formats, force=force)

    def _repr_markdown_(self) -> str:
        """Returns the report, which a notebook shows."""
        return self.report._repr_markdown_()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        self.report._repr_pretty_(printer, cycle)


def compress(  # noqa: PLR0913 (what, where, how, and how it is judged)
    policy: Policy,
    env: Environment | None,
    recipe: Recipe | None = None,
    *,
    observations: Any = None,
    judging: Judging | None = None,
    distillation: DistillationSettings | None = None,
    callbacks: Callable[[str], list[Any]] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    command: str | None = None,
    work: str | os.PathLike[str] | None = None,
) -> Result:
    """Returns a small policy that was taught to act as the big one does.

    Two routes lead there, and where the recipe leaves it open both are tried: the policy is pruned
    gradually while its dense self teaches it on the states that it visits (with granularity "unit"
    the units that close are taken out), or a smaller dense network is taught from scratch. What
    does not hold on selection seeds PPO goes on with, for ``fine_tune_env_steps``; where that does
    not help, it is made less small until it holds, and with ``until="breaks"`` what holds is made
    smaller until it does not. What is left may be pruned `further`; then it is exported in the
    recipe's precision.

    The artifact of every stage is run in the environment on the same seeds, which nothing else has
    used. Where the final one does not pass, the last stage that is safe is taken instead
    (`Judging.fallback`).

    Args:
        policy: trained; it is left as it is.
        env: registered id or factory. None compresses on ``observations`` alone: then nothing is
            judged in closed loop, and the report says so.
        recipe: what to remove, along which route, how far, and the precision.
        observations: nested, batched, recorded from the policy at work; needed without ``env``.
        judging: episodes, margin, confidence.
        distillation: how students are taught; by default as the recipe says.
        callbacks: makes Keras callbacks for each lesson, by its name.
        seed: of everything random.
        progress: called with (what is going on, done, in all).
        command: that makes this result again, for the report; by default this call.
        work: folder that keeps what was made and played so far, by what it was made of: the same
            call goes on from there after it was killed. None keeps nothing. An environment that is
            no registered id and no function with a name has no such key, and is made anew.

    Raises:
        ValueError: neither ``env`` nor ``observations``, or observations with NaN; a kernel to
            spare that does not exist; a sparsity that no network of this shape has; an environment
            whose spaces do not fit the policy.

    Example:
        Half of a policy's weights go, on recorded observations alone:

        >>> import numpy as np
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> seen = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
        >>> recipe = tp.Recipe(sparsity=0.5, route="prune", distil_rounds=1, distil_steps=100)
        >>> result = compress(policy, None, recipe, observations=seen)
        >>> list(result.stages)
        ['dense', 'pruned']
        >>> kernels = [each for each in result.policy.model.get_weights() if each.ndim == 2]
        >>> sum(int((kernel == 0.0).sum()) for kernel in kernels), sum(k.size for k in kernels)
        (24, 48)
    """
    recipe, judging = recipe or Recipe(), judging or Judging()
    recipe.check_compress()
    check_layers(policy, "compressed")
    settings = distillation or DistillationSettings.of(recipe, policy)
    tell = progress or (lambda what, done, total: None)
    teacher = policy.replace(model=stripped(policy.model))
    check_request(teacher, env, observations, recipe, judging)
    classroom = Classroom(
        teacher, env, observations, settings, seed, tell, callbacks or (lambda name: [])
    )
    if command is None:
        unsaid = {"observations": observations, "callbacks": callbacks}
        named = [name for name, value in unsaid.items() if value is not None]
        command = python_call(env, recipe, judging, distillation, seed=seed, named=named)
    made_of = _made_of(classroom)
    store = Store(None if made_of is None else work)
    with contextlib.ExitStack() as stack:
        memory = None if store.folder is None else Memory(store.folder / EPISODES)
        bench = stack.enter_context(Bench(env, judging, seed, observations, progress, memory))
        bench.add("dense", teacher)
        trials = None
        if env is not None:
            episodes = judging.selection_episodes
            trials = stack.enter_context(Trials(env, teacher, judging.terms, episodes, seed))
        routes = Routes(recipe, classroom, trials, store, made_of)
        found = routes.search()
        assert found.best is not None
        chosen = found.best.candidate
        names = _judge(bench, chosen, recipe, classroom, judging)
        if recipe.small_dense:
            _add_small_dense(bench, chosen, classroom, store, made_of)
        tried = [each.row(each is found.best) for each in found.attempts]
        report = bench.report(names[-1], command, tried, chosen.coverage)
    own = _resolved(chosen, recipe)
    return Result(chosen.policy, own, report, {"dense": teacher, **dict(chosen.stages)}, bench)


def _made_of(classroom: Classroom) -> dict[str, Any] | None:
    """Returns what determines a candidate beside its recipe; None where it cannot be told."""
    teacher, env = classroom.teacher, environment_key(classroom.env)
    if env is None:
        return None
    leaves = None
    if classroom.observations is not None:
        leaves = as_batch(teacher.observation_spec, classroom.observations)[0]
    return {
        "policy": policy_key(teacher),
        "env": env,
        "observations": observations_key(leaves),
        "settings": dataclasses.asdict(classroom.settings),
        "seed": classroom.seed,
    }


def _resolved(candidate: Candidate, recipe: Recipe) -> Recipe:
    """Returns the candidate's recipe with what was asked of its artifact."""
    return dataclasses.replace(
        candidate.recipe,
        precision=recipe.precision,
        until=recipe.until,
        small_dense=recipe.small_dense,
    )


def _judge(
    bench: Bench, candidate: Candidate, recipe: Recipe, classroom: Classroom, judging: Judging
) -> list[str]:
    """Judges the candidate's stages, and its precisions; returns their names in order."""
    names = []
    own = _resolved(candidate, recipe)
    made: dict[str, Any] = {
        "dense_parameters": counting.dense_parameters(classroom.teacher),
        "recipe": own,
        "pruned_layers": candidate.pruned_layers,
    }
    for name, policy in candidate.offered:
        bench.add(name, policy, **made)
        names.append(name)
    for form in forms_of(recipe.precision, bench, candidate.policy, fallback=judging.fallback):
        bench.add(
            form.name,
            candidate.policy,
            precision=form.precision,
            agreement=form.agreement,
            **made,
        )
        names.append(form.name)
    return names


def _add_small_dense(
    bench: Bench,
    chosen: Candidate,
    classroom: Classroom,
    store: Store,
    made_of: dict[str, Any] | None,
) -> None:
    """Judges a dense network of as many parameters, taught the same way."""
    teacher = classroom.teacher
    if chosen.is_dense:
        classroom.tell("small dense: the result is a dense network taught from scratch", 1, 1)
        return
    if (least := least_parameters(teacher)) > chosen.nonzero:
        # No reason to lose the rest: the report says that there is none.
        classroom.tell(f"small dense: one unit a layer has {least} parameters already", 1, 1)
        return

    def made() -> tuple[dict[str, Policy], dict[str, Any]]:
        thin = distilled(chosen.recipe, classroom, parameters=chosen.nonzero)
        if chosen.recipe.fine_tune_env_steps:
            thin = fine_tuned(thin, classroom, chosen.recipe.fine_tune_env_steps)
        return {SMALL_DENSE: thin.policy}, {}

    own = {"recipe": chosen.recipe.to_dict(), "small_dense": chosen.nonzero}
    policies, _ = store.of(made_of and made_of | own, made)
    bench.add(SMALL_DENSE, policies[SMALL_DENSE])
