"""A convolutional policy made small: Breakout of MinAtar, 10x10 images of four channels.

    pip install --no-deps MinAtar==1.0.15
    python benchmarks/frontier_images.py [--teachers FOLDER] [--sparsity 0.92]

The teacher is a PPO agent with the network of MinAtar's paper (Young & Tian 2019, "MinAtar: An
Atari-Inspired Testbed": 16 filters of 3x3, then 128 units), trained here once and kept outside of
the repository. An episode ends after 1,000 steps, since a policy that never misses plays for ever.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import gymnasium
from frontier_teachers import FOLDER, kept
from harness import write
from small_policies import COLUMNS, compressed

NAME = "MinAtar/Breakout-v1"
ENV_STEPS = 1_500_000
STEPS = 1_000


def breakout() -> Any:
    """Returns the environment, which its package registers when it is asked to."""
    logging.getLogger().setLevel(logging.ERROR)  # it says what it draws windows with
    from minatar.gym import register_envs

    if NAME not in gymnasium.registry:
        register_envs()
    return gymnasium.make(NAME, max_episode_steps=STEPS)


def train() -> Any:
    """Returns the teacher's policy."""
    import tfdrlprune as tp

    agent = tp.agents.ppo(
        breakout,
        conv=[(16, 3, 1)],
        hidden=(128,),
        learning_rate=5e-4,
        entropy=0.01,
        normalize_observations=False,
        seed=0,
    )
    settings = tp.agents.OnPolicySettings(rollout_length=64, minibatch_size=256, epochs=4)
    trainer = tp.AgentTrainer(agent, breakout, num_envs=32, settings=settings, seed=0)
    best = tp.EvaluationCallback(episodes=30, keep_best=True)
    trainer.fit(env_steps=ENV_STEPS, epochs=30, callbacks=[best], verbose=2)
    return trainer.policy()


def main() -> None:
    """Compresses, judges, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    parser.add_argument("--sparsity", type=float, default=0.92)
    options = parser.parse_args()
    import tfdrlprune as tp
    from tfdrlprune.evidence.terms import Terms
    from tfdrlprune.policies.form import Policy
    from tfdrlprune.structure.costs import multiply_adds
    from tfdrlprune.structure.graph import groups_of

    policy = Policy.load(kept(options.teachers / "MinAtar-Breakout", train))
    recipe = tp.Recipe(sparsity=options.sparsity, granularity="unit")
    # A brick gives 1, and after it the ball needs a step to come to another one. A bound so far
    # from what is played takes many episodes, which are short.
    terms = Terms(bounds=(0.0, STEPS / 2))
    row, result = compressed(policy, NAME, breakout, recipe, terms, episodes=20_000)
    dense, small = (multiply_adds(groups_of(each.model)) for each in (policy, result.policy))
    row["multiply_adds_removed"] = round(1 - small / dense, 4)
    columns = COLUMNS | {"multiply_adds_removed": "multiply-adds removed"}
    write("frontier_images", columns, [row], command="python benchmarks/frontier_images.py")


if __name__ == "__main__":
    main()
