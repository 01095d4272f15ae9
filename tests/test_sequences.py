"""Sequences from replay are what happened, in order, of one environment."""

import numpy as np
import pytest

from tfdrlprune.agents.sequences import SequenceReplay

ENVS, EPISODE = 3, 5


def filled(capacity, rows):
    """Returns a replay of observations that count vector steps, 1,000 more in each environment.

    Episodes have 5 steps and one that resets; every other one is truncated.
    """
    replay = SequenceReplay(capacity, ENVS, [((1,), np.float32)], ((), np.int64))
    for row in range(rows):
        observation = (row + 1_000 * np.arange(ENVS, dtype=np.float32))[:, None]
        done = row % (EPISODE + 1) == EPISODE - 1
        truncated = row // (EPISODE + 1) % 2 == 1
        replay.add(
            [observation],
            10 * row + np.arange(ENVS),
            np.full(ENVS, row, np.float32),
            np.full(ENVS, done and not truncated),
            np.full(ENVS, done and truncated),
            np.full(ENVS, row % (EPISODE + 1) == EPISODE),
        )
    return replay


@pytest.mark.parametrize("rows", [9, 20, 21, 22, 50, 63])  # before and after the ring is full
def test_sequences_are_consecutive_and_never_cross_the_rings_seam(rows):
    replay = filled(60, rows)
    batch = replay.sequences((4, 500), 8, np.random.default_rng(0))
    observation = batch.observation[0][..., 0]
    assert observation.shape == (4, 500, 8)
    env = (observation // 1_000).astype(int)
    row = (observation % 1_000).astype(int)
    assert (env == env[..., :1]).all()
    np.testing.assert_array_equal(np.diff(row, axis=-1), 1)
    np.testing.assert_array_equal(batch.next_observation[0][..., 0], observation + 1)
    np.testing.assert_array_equal(batch.action, 10 * row + env)
    np.testing.assert_array_equal(batch.reward, row)
    done = row % 6 == 4
    np.testing.assert_array_equal(batch.done, done)
    np.testing.assert_array_equal(batch.terminated, done & (row // 6 % 2 == 0))
    np.testing.assert_array_equal(batch.resets, row % 6 == 5)
    first = row % 6 == 0
    first[..., 0] = True
    np.testing.assert_array_equal(batch.first, first)
    # The 21 rows that the ring holds, the last of which has no observation after it.
    oldest = max(0, rows - 21)
    assert set(row[..., 0].ravel()) == set(range(oldest, rows - 8))
    assert set(env.ravel()) == {0, 1, 2}


def test_too_few_steps_are_refused():
    with pytest.raises(ValueError, match="more than 8 vector steps"):
        filled(60, 8).sequences((2,), 8, np.random.default_rng(0))


def test_the_generator_decides():
    replay = filled(60, 30)
    one, again, other = (
        replay.sequences((50,), 4, np.random.default_rng(seed)).reward for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_an_interrupted_episode_is_a_truncated_one():
    replay = filled(60, 8)
    replay.end_episodes([np.full((ENVS, 1), 8, np.float32)])
    observation = np.full((ENVS, 1), 77, np.float32)
    nothing = np.zeros(ENVS, bool)
    replay.add([observation], np.zeros(ENVS), nothing, nothing, nothing, nothing)
    batch = replay.sequences((100,), 9, np.random.default_rng(0))
    assert batch.done[:, 7].all()
    assert not batch.terminated[:, 7].any()
    assert batch.resets[:, 8].all()
    np.testing.assert_array_equal(batch.next_observation[0][:, 8], 77)
