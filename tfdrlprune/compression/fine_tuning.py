"""Reinforcement learning for a small policy that was taught and does not hold: PPO goes on with it.

What a student learns from a teacher is to act alike. Where it still fails, its own returns tell it
more: the small network learns what it can do, which need not be what the teacher does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfdrlprune.agents.evaluation import EvaluationCallback
from tfdrlprune.agents.ppo import ppo
from tfdrlprune.agents.progress import Telling
from tfdrlprune.agents.trainer import AgentTrainer
from tfdrlprune.agents.updates import OnPolicySettings
from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.evidence.rollouts import seeds_for
from tfdrlprune.evidence.stage import FINE_TUNED
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.model_network import copied
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.masks import zeros_kept
from tfdrlprune.quantization.callbacks import QuantizationCallback
from tfdrlprune.recipe import Recipe
from tfdrlprune.simulation import Environment

_SETTINGS = OnPolicySettings(rollout_length=256, minibatch_size=64)
_ENVS = 8
_LEARNING_RATE = 3e-4
# As many as a lesson of a continuous policy takes, about.
_USUAL = 200_000
# Times that the policy is evaluated, and the best kept.
_LOOKS = 10
_EPISODES = 20


def check_fine_tuning(policy: Policy, env: Environment) -> None:
    """Raises ValueError where PPO cannot go on with a policy in an environment."""
    _agent(policy, env, 0)


def env_steps_of(recipe: Recipe, classroom: Classroom) -> int:
    """Returns how many environment steps a recipe gives to what does not hold, 0 for none."""
    if recipe.fine_tune_env_steps is not None:
        return recipe.fine_tune_env_steps
    if classroom.env is None:
        return 0
    try:
        check_fine_tuning(classroom.teacher, classroom.env)
    except ValueError as error:  # nobody has asked for it
        classroom.tell(f"no fine-tuning: {error}", 1, 1)
        return 0
    return _USUAL


def fine_tuned(candidate: Candidate, classroom: Classroom, env_steps: int) -> Candidate:
    """Returns the candidate with PPO's policy as one more stage; weights that are zero stay zero.

    PPO-clip (Schulman et al. 2017) begins with the candidate's own policy, beside a new critic.

    Args:
        candidate: whose last stage goes on.
        classroom: with an environment.
        env_steps: of PPO, rounded up to whole roll-outs.
    """
    env, seed = classroom.env, classroom.seed
    assert env is not None
    # With zeros that are stored, candidates of all sparsities have as many parameters.
    whole = candidate.parameters
    count = f"{whole:,}" if candidate.nonzero == whole else f"{candidate.nonzero:,} of {whole:,}"
    what = f"fine-tuning {count} parameters"
    agent = _agent(candidate.policy, env, seed)
    best = EvaluationCallback(
        env,
        episodes=_EPISODES,
        seed=int(seeds_for("selection", seed, 1)[0]),
        keep_best=True,
    )
    rounding = [QuantizationCallback()] if candidate.recipe.qat else []
    masks = zeros_kept(
        find_kernels(agent.actor_net),
        with_biases=candidate.recipe.granularity in ("unit", "layer"),
    )
    trainer = AgentTrainer(agent, env, num_envs=_ENVS, settings=_SETTINGS, seed=seed)
    telling = Telling(what, trainer.planned_steps(None, env_steps), classroom.tell)
    try:
        history = trainer.fit(
            env_steps=env_steps,
            epochs=_LOOKS,
            callbacks=[*rounding, best, telling, *classroom.callbacks(what)],
            verbose=0,
        ).history
    finally:
        masks.remove()
    # In the form that it came in: an environment has no names for what a policy takes.
    source = f"{candidate.policy.source}, fine-tuned"
    policy = candidate.policy.replace(model=copied(agent.actor_net.model), source=source)
    return dataclasses.replace(
        candidate,
        recipe=dataclasses.replace(candidate.recipe, fine_tune_env_steps=env_steps),
        stages=(*candidate.stages, (FINE_TUNED, policy)),
        value=max(history["return"]),
        coverage=None,  # what was rehearsed is not what this one has seen last
    )


def _agent(policy: Policy, env: Environment, seed: int) -> Any:
    return ppo(env, policy=policy, seed=seed, learning_rate=_LEARNING_RATE)
