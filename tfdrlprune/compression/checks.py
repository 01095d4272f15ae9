"""Whether a compression can begin: what it is given is enough, and fits together."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdrlprune.agents.environments import spaces_of
from tfdrlprune.agents.spaces import action_nest, observation_nest
from tfdrlprune.compression import candidates
from tfdrlprune.compression.bench import Judging
from tfdrlprune.compression.fine_tuning import check_fine_tuning
from tfdrlprune.observations import as_batch
from tfdrlprune.policies.form import Policy
from tfdrlprune.recipe import AUTO, Recipe
from tfdrlprune.simulation import Environment
from tfdrlprune.specs import ArraySpec, flatten


def check_request(
    teacher: Policy,
    env: Environment | None,
    observations: Any,
    recipe: Recipe,
    judging: Judging,
) -> None:
    """Raises ValueError where something is missing or does not fit, before any work.

    Args:
        teacher: the trained policy, without wrappers.
        env: as `compress` takes it.
        observations: likewise.
        recipe: checked for a compression already.
        judging: how stages are judged.
    """
    if env is None and observations is None:
        raise ValueError(
            "compress needs an environment, or observations recorded from the policy at work."
        )
    if recipe.precision == AUTO and (env is None or not judging.fallback):
        raise ValueError(
            "precision='auto' takes the smallest file that passes in the environment. Received: "
            f"{'no environment' if env is None else 'fallback=False'}. Name a precision."
        )
    if env is None and recipe.until == "breaks":
        raise ValueError(
            "until='breaks' goes on as long as the policy holds in its environment, and none is "
            "given. Give one, or write until='target'."
        )
    if env is None and recipe.fine_tune_env_steps:
        raise ValueError(
            f"fine_tune_env_steps={recipe.fine_tune_env_steps} are of an environment, and none is "
            "given. Give one, or write fine_tune_env_steps=0."
        )
    if env is not None:
        _check_fit(teacher, env)
        if recipe.fine_tune_env_steps:
            check_fine_tuning(teacher, env)
    if observations is not None:
        as_batch(teacher.observation_spec, observations)
    candidates.check(recipe, teacher)


def _check_fit(policy: Policy, env: Environment) -> None:
    """Raises ValueError unless the policy takes and gives what the environment does."""
    observation, action = spaces_of(env)
    pairs = {
        "observations": (policy.observation_spec, observation_nest(observation)),
        "actions": (policy.action_spec, action_nest(action)),
    }
    for what, (own, its) in pairs.items():
        aspects = [[_aspect(leaf) for leaf in flatten(nest)] for nest in (own, its)]
        if aspects[0] != aspects[1]:
            raise ValueError(
                f"The policy's {what} are {aspects[0]}, the environment's {aspects[1]}. Name the "
                "environment that it was trained in; AgentTrainer.policy() gives the policy in "
                "that environment's own units."
            )


def _aspect(leaf: ArraySpec) -> str:
    """Returns shape and dtype of a leaf, and its range where it counts."""
    counted = np.issubdtype(leaf.dtype, np.integer) and leaf.name == "action"
    bounds = f" from {leaf.low} to {leaf.high}" if counted else ""
    return f"{leaf.dtype}{list(leaf.shape)}{bounds}"
