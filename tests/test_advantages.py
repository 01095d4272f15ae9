from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
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


def test_rewards_are_divided_by_the_deviation_of_all_discounted_returns_so_far():
    generator = np.random.default_rng(0)
    scale = ReturnScale(num_envs=5, gamma=0.9, memory={})
    running, seen = np.zeros(5), []
    for _ in range(200):
        reward, done = generator.normal(3.0, 2.0, size=5), generator.random(5) < 0.1
        running = reward + 0.9 * running
        seen.append(running)
        running = running * ~done
        scaled = scale(reward, done)
    np.testing.assert_allclose(scaled, reward / np.std(seen), rtol=1e-3)


def test_the_scale_goes_on_from_its_memory():
    memory = {}
    first = ReturnScale(2, 0.9, memory)
    for reward in (1.0, -2.0, 3.0):
        first(np.full(2, reward), np.ones(2, bool))
    resumed = ReturnScale(2, 0.9, dict(memory))
    np.testing.assert_array_equal(
        resumed(np.full(2, 2.0), np.ones(2, bool)), first(np.full(2, 2.0), np.ones(2, bool))
    )
