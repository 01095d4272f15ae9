from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from tf_agents.utils import value_ops

from tfdrlprune.agents.advantages import ReturnScale, generalized_advantages


def column(*values):
    return np.array(values, float)[:, None]


def test_advantages_match_a_hand_worked_episode():
    # delta = 1 + 0.5 * V(next) - V: 1 + 1 - 1 = 1; 1 + 2 - 2 = 1; 1 + 0.5 * 8 - 4 = 1.
    advantages = generalized_advantages(
        column(1, 2, 4, 8), column(1, 1, 1), *[column(0, 0, 0) > 0] * 2, gamma=0.5, gae_lambda=0.5
    )
    np.testing.assert_allclose(advantages, column(1 + 0.25 * 1.25, 1.25, 1))


def test_a_terminated_step_is_not_bootstrapped_and_a_truncated_one_is():
    done = column(0, 1, 0) > 0
    values, reward = column(1, 2, 4, 8), column(1, 1, 1)
    terminated = generalized_advantages(values, reward, done, done, 0.5, 0.5)
    np.testing.assert_allclose(terminated, column(1 + 0.25 * -1, -1, 1))
    truncated = generalized_advantages(values, reward, done & False, done, 0.5, 0.5)
    np.testing.assert_allclose(truncated, column(1.25, 1, 1))


def test_advantages_agree_with_tf_agents_where_no_episode_ends():
    generator = np.random.default_rng(0)
    values, reward = generator.normal(size=(21, 3)), generator.normal(size=(20, 3))
    nothing = np.zeros((20, 3), bool)
    ours = generalized_advantages(values, reward, nothing, nothing, 0.9, 0.7)
    theirs = value_ops.generalized_advantage_estimation(
        values=tf.constant(values[:-1]),
        final_value=tf.constant(values[-1]),
        discounts=tf.fill((20, 3), tf.constant(0.9, tf.float64)),
        rewards=tf.constant(reward),
        td_lambda=0.7,
        time_major=True,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def reference(reward, done, resets, gamma):
    """Welford's updates, one number after the other; returns each step's scaled rewards."""
    running, count, mean, squares = np.zeros(reward.shape[1]), 1e-4, 0.0, 0.0
    scaled = []
    for rewards, dones, reset in zip(reward, done, resets, strict=True):
        running = rewards + gamma * running
        for value in running[~reset]:
            count += 1
            delta = value - mean
            mean += delta / count
            squares += delta * (value - mean)
        scaled.append(np.clip(rewards / np.sqrt(squares / count + 1e-8), -10, 10))
        running = running * ~dones
    return np.stack(scaled)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e5])
def test_rewards_are_divided_by_the_deviation_of_all_discounted_returns_so_far(offset):
    generator = np.random.default_rng(0)
    reward, done = generator.normal(offset, 2.0, size=(200, 5)), generator.random((200, 5)) < 0.1
    resets = np.roll(done, 1, axis=0)
    reward[resets] = 0.0
    expected = reference(reward, done, resets, 0.9)
    scale = ReturnScale(num_envs=5, gamma=0.9, memory={})
    # In parts, as roll-outs come.
    parts = [slice(0, 50), slice(50, 51), slice(51, 200)]
    scaled = np.concatenate([scale(reward[part], done[part], resets[part]) for part in parts])
    # From the second step on: the first is all that is known, and its deviation all rounding.
    np.testing.assert_allclose(scaled[1:], expected[1:], rtol=1e-3)


def test_the_scale_goes_on_from_its_memory():
    memory = {}
    first = ReturnScale(2, 0.9, memory)
    ends, no = np.ones((3, 2), bool), np.zeros((3, 2), bool)
    first(np.array([[1.0], [-2.0], [3.0]]) * np.ones(2), ends, no)
    resumed = ReturnScale(2, 0.9, dict(memory))
    later = np.full((3, 2), 2.0), ends, no
    np.testing.assert_array_equal(resumed(*later), first(*later))
