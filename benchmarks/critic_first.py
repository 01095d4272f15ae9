"""PPO that goes on with a taught policy, with a critic that learns alone first and without.

    python benchmarks/critic_first.py [--teachers FOLDER] [--seeds 3]

A Hopper's policy of 256x256 teaches networks with a twenty-fifth and a hundredth of its parameters,
once, kept outside of the repository; neither holds. PPO trains them for 100,000 steps; its critic
is new, or has had 40,000 steps of the policy to learn from. Greedy returns of 20 episodes, ten
times a run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from frontier_runs import Point, make_policy
from frontier_teachers import FOLDER, kept, teacher
from harness import spread, write

ENV, KEEPS = "Hopper-v5", (0.04, 0.01)
ALONE, ENV_STEPS, LOOKS = 40_000, 100_000, 10
COLUMNS = {
    "parameters": "parameters",
    "critic": "critic",
    "first": "return after 10,000 steps",
    "least": "least of ten",
    "best": "best of ten",
    "last": "return at the end",
}


def returns(policy: Any, alone: int, seed: int) -> list[float]:
    """Returns the mean greedy returns while PPO goes on with a policy, ten of them."""
    import tfdrlprune as tp

    settings = tp.agents.OnPolicySettings(rollout_length=256, minibatch_size=64)

    def trainer(agent: Any) -> Any:
        return tp.AgentTrainer(agent, ENV, num_envs=8, settings=settings, seed=seed)

    begun = None
    if alone:
        begun = tp.agents.ppo(ENV, policy=policy, seed=seed, learning_rate=3e-4)
        begun.actor_net.trainable = False
        trainer(begun).fit(env_steps=alone, verbose=0)
    agent = tp.agents.ppo(
        ENV, policy=policy, critic_from=begun, seed=seed + 100, learning_rate=3e-4
    )
    history = trainer(agent).fit(
        env_steps=ENV_STEPS,
        epochs=LOOKS,
        callbacks=[tp.EvaluationCallback(episodes=20)],
        verbose=0,
    )
    return list(history.history["return"])


def main() -> None:
    """Trains with both critics, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    from tfdrlprune._tf import tf

    from tfdrlprune.compression.narrow import trainable_parameters
    from tfdrlprune.policies.form import Policy

    dense = Policy.load(teacher(ENV, options.teachers))
    rows = []
    for keep in KEEPS:
        point = Point(ENV, "distil", keep, 0)
        path = kept(
            options.teachers / f"{ENV}-{keep}", lambda point=point: make_policy(point, dense)[0]
        )
        policy = Policy.load(path)
        for alone in (0, ALONE):
            runs = []
            for seed in range(options.seeds):
                tf.keras.utils.set_random_seed(seed)
                runs.append(returns(policy, alone, seed))
                print(keep, alone, seed, [round(each) for each in runs[-1]], flush=True)
            rows.append(
                {
                    "parameters": trainable_parameters(policy),
                    "critic": f"learns alone for {alone:,} steps" if alone else "new",
                    "first": spread([run[0] for run in runs], 4),
                    "least": spread([min(run) for run in runs], 4),
                    "best": spread([max(run) for run in runs], 4),
                    "last": spread([run[-1] for run in runs], 4),
                    "runs": [[round(each) for each in run] for run in runs],
                }
            )
    write("critic_first", COLUMNS, rows, env=ENV, env_steps=ENV_STEPS)


if __name__ == "__main__":
    main()
