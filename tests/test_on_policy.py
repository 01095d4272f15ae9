import pytest

import tfdrlprune as tp


def test_a_roll_out_shorter_than_a_minibatch_is_refused():
    agent = tp.agents.ppo("CartPole-v1", hidden=(4,))
    settings = tp.agents.OnPolicySettings(rollout_length=8, minibatch_size=256)
    with pytest.raises(ValueError, match=r"8 x 2 = 16 steps, fewer than one minibatch of 256"):
        tp.AgentTrainer(agent, "CartPole-v1", num_envs=2, settings=settings)
