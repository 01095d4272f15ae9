"""Training on images that replay stores as single frames, against whole stacks."""

from tfdrlprune._tf import tf

import gymnasium
import numpy as np
import pytest
from builders import Dot

import tfdrlprune as tp

NARROW = {"hidden": (8,), "conv": [(4, 3, 2)], "n_step": 2}


def channels_last(padding):
    """Returns an environment that shows the last three frames as Keras' convolutions want them."""
    stacked = gymnasium.wrappers.FrameStackObservation(Dot(), 3, padding_type=padding)
    return gymnasium.wrappers.TransformObservation(
        stacked,
        lambda stack: np.moveaxis(stack, 0, -1),
        gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8),
    )


def trained(env, checkpoint=None, **arguments):
    """Returns the trainer after three batches, the ring full after two; saved in between."""
    tf.keras.utils.set_random_seed(0)
    settings = tp.agents.OffPolicySettings(
        batch_size=8, capacity=60, warm_up=20, fused_steps=32, **arguments
    )
    agent = tp.agents.dqn(env, **NARROW)
    trainer = tp.AgentTrainer(agent, env, num_envs=2, settings=settings)
    trainer.fit(steps=64, verbose=0)
    if checkpoint is not None:
        trainer.save_weights(checkpoint)
    trainer.fit(steps=32, verbose=0)
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["reset", "zero"])
def test_training_on_single_frames_gives_the_weights_of_whole_stacks_to_the_bit(padding, tmp_path):
    env = lambda: channels_last(padding)  # noqa: E731
    frames, whole = (
        trained(env, str(tmp_path / f"{count}"), stacked_frames=count).agent for count in (3, 1)
    )
    weights, wanted = (agent._q_network.get_weights() for agent in (frames, whole))
    initial = tp.agents.dqn(env, **NARROW)._q_network.get_weights()
    for found, expected, before in zip(weights, wanted, initial, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert (found != before).any()


def test_settings_for_frames_that_are_not_there_are_refused_before_training():
    env = lambda: channels_last("reset")  # noqa: E731
    with pytest.raises(ValueError, match="stacked_frames=1 where it is no stack"):
        trained(env, stacked_frames=4)
    with pytest.raises(ValueError, match="multiple of their number"):
        trained(env, stacked_frames=4, stack_axis=-1)
