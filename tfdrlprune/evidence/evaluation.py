"""evaluate(): an artifact run in its environment, and judged beside another one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np

from tfdrlprune import runtime
from tfdrlprune.evidence.bounds import return_bounds
from tfdrlprune.evidence.ledger import Ledger
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.rollouts import seeds_for
from tfdrlprune.evidence.stage import SMALL_DENSE
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.simulation import Environment, make


def evaluate(
    folder: str | os.PathLike[str],
    env: Environment,
    *,
    baseline: str | os.PathLike[str] | None = None,
    episodes: int = 200,
    terms: Terms | None = None,
    until_decided: bool = False,
    workers: int = 1,
    seed: int = 0,
) -> Report:
    """Returns what an artifact does in its environment, with the gate's verdict on it.

    As ``tfdrlprune evaluate`` does. Both artifacts play the same seeds, which `compress` uses for
    no choice of its own.

    Args:
        folder: the artifact.
        env: registered id, factory or environment.
        baseline: the artifact that it is held against. Without one there is no verdict.
        episodes: of each.
        terms: of the gate; by default a loss of at most 5 % with a confidence of 95 %. Without
            bounds the known ones of the environment are taken.
        until_decided: whether playing ends as soon as the gate has decided.
        workers: processes that play.
        seed: of the episodes.

    Raises:
        FileNotFoundError: there is no artifact, or no baseline.
        ValueError: one is damaged, or does not fit the environment; a baseline, and no bounds on
            returns are known.

    Example:
        >>> import tempfile
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     artifact = tp.export(policy, f"{folder}/cartpole").folder
        ...     report = evaluate(artifact, "CartPole-v1", episodes=5)
        >>> report.gate["episodes"], report.gate["verdict"]  # no verdict without a baseline
        (5, None)
    """
    terms = terms or Terms()
    every = [folder] if baseline is None else [baseline, folder]
    for each in every:
        check_fits(each, env)
    if baseline is not None:
        return_bounds(env, terms.bounds)
    names = [os.fspath(each) for each in every]
    # A report keeps a stage of this name apart; the path is the same.
    names = [os.path.join(os.curdir, each) if each == SMALL_DENSE else each for each in names]
    if len(set(names)) < len(names):
        names[1] += " (2)"
    seeds = seeds_for("judging", seed, episodes).tolist()
    with Ledger(env, seeds, terms, until_decided=until_decided, workers=workers) as ledger:
        for name, each in zip(names, every, strict=True):
            ledger.add(name, each)
    command = None
    if isinstance(env, str) and terms == Terms():
        beside = [] if baseline is None else ["--baseline", os.fspath(baseline)]
        which = ["--env", env, *beside, "--episodes", str(episodes), "--seed", str(seed)]
        words = ["tfdrlprune", "evaluate", os.fspath(folder), *which]
        command = shlex.join([*words, *(["--until-decided"] * until_decided)])
    return Report.of(ledger.rows(), requested=names[-1], env=env, seed=seed, command=command)


def check_fits(folder: str | os.PathLike[str], env: Environment) -> None:
    """Raises ValueError if an artifact is damaged, or is not for this environment.

    One observation, drawn from the environment's space, goes in, and its space must hold the
    action that comes out.
    """
    policy, name = runtime.load(folder), Path(folder)
    made = make(env)
    where = env if isinstance(env, str) else getattr(made.spec, "id", type(made).__name__)
    try:
        made.observation_space.seed(0)
        action = policy.action(made.observation_space.sample())
        if not made.action_space.contains(np.asarray(action)):
            raise ValueError(
                f"{name} gives the action {action!r} ({policy.action_spec.dtype}), and {where} "
                f"takes {made.action_space}. Evaluate it in the environment that it was made for."
            )
    except (ValueError, TypeError) as error:
        if str(error).startswith(str(name)):
            raise
        raise ValueError(f"{name} does not fit {where}: {error}") from error
    finally:
        if made is not env:
            made.close()
