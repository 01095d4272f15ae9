"""A recurrent policy made small: CartPole-v1 without its velocities, an LSTM that remembers.

    python benchmarks/frontier_recurrent.py [--teachers FOLDER] [--sparsity 0.985]

The teacher is a recurrent PPO agent (64 before the LSTM, 64 in it, 64 behind it), trained here once
and kept outside of the repository. `compress` teaches a thinner LSTM over whole sequences of states
that the student visits, and the gate judges the file on fresh seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from frontier_teachers import FOLDER, kept
from harness import write
from small_policies import COLUMNS, compressed

NAME = "CartPole-v1 without velocities"
ENV_STEPS = 400_000


class Positions(gymnasium.ObservationWrapper[Any, Any, Any]):
    """CartPole-v1 that shows the cart's position and the pole's angle alone."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2,), np.float32)

    def observation(self, observation: Any) -> Any:
        """Returns [position, angle]."""
        return observation[[0, 2]].astype(np.float32)


def agent(seed: int) -> Any:
    """Returns the teacher's agent, as TF-Agents' users build it."""
    from tfdrlprune._tf import tf
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401

    from tf_agents.agents.ppo import ppo_clip_agent
    from tf_agents.networks import actor_distribution_rnn_network, value_rnn_network

    from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec

    tf.keras.utils.set_random_seed(seed)
    observations, actions = spaces_of(Positions)
    steps, action = time_step_spec(observations), action_spec(actions)
    sizes: dict[str, Any] = {
        "input_fc_layer_params": (64,),
        "lstm_size": (64,),
        "output_fc_layer_params": (64,),
    }
    made = ppo_clip_agent.PPOClipAgent(
        steps,
        action,
        optimizer=tf.keras.optimizers.Adam(1e-3),
        actor_net=actor_distribution_rnn_network.ActorDistributionRnnNetwork(
            steps.observation, action, **sizes
        ),
        value_net=value_rnn_network.ValueRnnNetwork(steps.observation, **sizes),
        num_epochs=5,
        importance_ratio_clipping=0.2,
        lambda_value=0.95,
        discount_factor=0.99,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    made.initialize()
    return made


def train() -> Any:
    """Returns the teacher's policy."""
    import tfdrlprune as tp

    settings = tp.agents.OnPolicySettings(rollout_length=128)
    trainer = tp.AgentTrainer(agent(0), Positions, num_envs=16, settings=settings)
    best = tp.EvaluationCallback(episodes=20, keep_best=True, stop_at=495.0)
    trainer.fit(env_steps=ENV_STEPS, epochs=40, callbacks=[best], verbose=2)
    return trainer.policy()


def main() -> None:
    """Compresses, judges, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teachers", type=Path, default=FOLDER, help="folder of the policies")
    parser.add_argument("--sparsity", type=float, default=0.985)
    options = parser.parse_args()
    import tfdrlprune as tp
    from tfdrlprune.evidence.terms import Terms
    from tfdrlprune.policies.form import Policy

    policy = Policy.load(kept(options.teachers / "CartPole-positions", train))
    recipe = tp.Recipe(sparsity=options.sparsity, route="distil")
    row, _ = compressed(policy, NAME, Positions, recipe, Terms(bounds=(0.0, 500.0)))
    write("frontier_recurrent", COLUMNS, [row], command="python benchmarks/frontier_recurrent.py")


if __name__ == "__main__":
    main()
