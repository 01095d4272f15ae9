import numpy as np

from tfdrlprune.agents.transitions import n_step_returns


def test_rewards_count_up_to_the_end_of_the_episode_and_only_a_terminated_one_is_not_bootstrapped():
    reward = np.array([[1.0, 2.0, 4.0]] * 4, np.float32)[..., None]
    terminated = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], bool)[..., None]
    # The third is truncated at its first step; the termination after it is another episode's.
    done = terminated | np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]], bool)[..., None]
    total, bootstrap, steps = n_step_returns(reward, terminated, done, 0.5)
    np.testing.assert_array_equal(total[:, 0], [1 + 2 / 2 + 4 / 4, 1 + 2 / 2, 1, 3])
    np.testing.assert_array_equal(bootstrap[:, 0], [0.25, 0, 1, 0])
    np.testing.assert_array_equal(steps[:, 0], [3, 2, 1, 3])
    assert total.dtype == bootstrap.dtype == np.float32
