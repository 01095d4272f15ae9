import numpy as np
import pytest

from tfdrlprune.agents.replay import Replay

GAMMA = 0.5


def replay(n_step=3, capacity=1000, num_envs=1):
    return Replay(capacity, num_envs, [((1,), np.float32)], ((), np.int64), n_step, GAMMA)


def feed(buffer, rows):
    """Adds rows of one environment: (observation, reward, terminated, truncated, resets)."""
    for observation, reward, terminated, truncated, resets in rows:
        buffer.add(
            [np.array([[observation]], np.float32)],
            np.array([10 + observation]),
            np.array([reward]),
            np.array([terminated]),
            np.array([truncated]),
            np.array([resets]),
        )


def drawn(buffer, count=500):
    """Returns what is sampled, by first observation: (action, reward, discount, next)."""
    batch = buffer.sample((count,), np.random.default_rng(0))
    return {
        float(first): (int(action), float(reward), float(discount), float(following))
        for first, action, reward, discount, following in zip(
            batch.observation[0][:, 0],
            batch.action,
            batch.reward,
            batch.discount,
            batch.next_observation[0][:, 0],
            strict=True,
        )
    }


def walk(*, terminated=(), truncated=(), length=10):
    """Observation t gives reward 2**t; a done step is followed by a row that resets."""
    rows, resets = [], False
    for t in range(length):
        done = t in terminated or t in truncated
        rows.append((t, 0.0 if resets else 2.0**t, t in terminated, t in truncated, resets))
        resets = done
    return rows


def test_an_n_step_transition_has_the_discounted_sum_and_the_state_n_steps_on():
    buffer = replay()
    feed(buffer, walk())
    # From 1: 2 + 4/2 + 8/4 = 6; TF-Agents multiplies by gamma once more, so the discount is 1/4.
    assert drawn(buffer)[1.0] == (11, 6.0, 0.25, 4.0)
    # The last three rows still wait for what follows them.
    assert sorted(drawn(buffer)) == [0, 1, 2, 3, 4, 5, 6]


def test_a_terminated_episode_cuts_the_sum_and_is_not_bootstrapped():
    buffer = replay()
    feed(buffer, walk(terminated={4}))
    transitions = drawn(buffer)
    assert transitions[3.0] == (13, 8.0 + 16.0 / 2, 0.0, 5.0)
    assert transitions[4.0] == (14, 16.0, 0.0, 5.0)


def test_a_truncated_episode_is_bootstrapped_from_its_final_observation():
    buffer = replay()
    feed(buffer, walk(truncated={4}))
    transitions = drawn(buffer)
    assert transitions[2.0] == (12, 4.0 + 8.0 / 2 + 16.0 / 4, 0.25, 5.0)
    assert transitions[4.0] == (14, 16.0, 1.0, 5.0)


def test_rows_that_merely_reset_are_never_drawn():
    buffer = replay()
    feed(buffer, walk(terminated={1}, truncated={4}))
    assert 2.0 not in drawn(buffer)
    assert 5.0 not in drawn(buffer)


def test_ending_episodes_early_bootstraps_from_where_they_stood():
    buffer = replay()
    feed(buffer, walk(length=3))
    buffer.end_episodes([np.array([[3.0]], np.float32)])
    feed(buffer, [(20 + t, 1.0, False, False, False) for t in range(6)])
    transitions = drawn(buffer)
    assert transitions[1.0] == (11, 2.0 + 4.0 / 2, 0.5, 3.0)
    assert 3.0 not in transitions
    assert transitions[20.0] == (30, 1.75, 0.25, 23.0)


def test_a_full_ring_forgets_the_oldest_and_stays_right_at_its_seam():
    buffer = replay(capacity=8)
    feed(buffer, walk(length=30))
    transitions = drawn(buffer)
    assert sorted(transitions) == [19, 20, 21, 22, 23, 24, 25, 26]
    for first, (_, reward, discount, following) in transitions.items():
        assert reward == pytest.approx(3 * 2.0**first)
        assert (discount, following) == (0.25, first + 3)


def test_sampling_is_uniform_over_steps_and_follows_its_generator():
    buffer = replay(n_step=1, num_envs=4)
    for t in range(26):
        row = np.arange(4, dtype=np.float32)[:, None] + 4 * t
        nothing = np.zeros(4, bool)
        buffer.add([row], np.zeros(4), np.ones(4), nothing, nothing, nothing)
    draws = [buffer.sample((20, 500), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    first, again, other = (draw.observation[0].ravel() for draw in draws)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    counts = np.bincount(first.astype(int), minlength=100)
    assert counts.sum() == 10_000
    assert counts.min() > 60  # 100 are expected, with a standard deviation of 10
    assert counts.max() < 140


def test_bytes_bring_everything_back():
    buffer, other = replay(capacity=8), replay(capacity=8)
    feed(buffer, walk(terminated={4}, length=30))
    other.from_bytes(buffer.to_bytes())
    feed(buffer, [(90, 1.0, False, False, False)] * 5)
    feed(other, [(90, 1.0, False, False, False)] * 5)
    assert drawn(other) == drawn(buffer)


def test_bytes_of_another_size_are_refused():
    buffer = replay(capacity=8)
    feed(buffer, walk(length=30))
    with pytest.raises(ValueError, match="another capacity"):
        replay(capacity=9).from_bytes(buffer.to_bytes())


def test_sampling_before_there_is_enough_says_how_much_it_takes():
    buffer = replay()
    feed(buffer, walk(length=3))
    with pytest.raises(ValueError, match="more than 3 vector steps"):
        buffer.sample((1,), np.random.default_rng(0))


def test_recent_observations_are_the_latest():
    buffer = replay(capacity=8)
    feed(buffer, walk(length=30))
    np.testing.assert_array_equal(buffer.recent(4)[0][:, 0], [26, 27, 28, 29])


def test_an_early_state_put_into_a_full_ring_leaves_nothing_of_it():
    early, full = replay(capacity=8), replay(capacity=8)
    feed(early, walk(length=4))
    feed(full, walk(length=30))
    full.sample((1,), np.random.default_rng(0))
    full.from_bytes(early.to_bytes())
    assert drawn(full) == drawn(early)
    assert sorted(drawn(full)) == [0]
    full.from_bytes(replay(capacity=8).to_bytes())
    with pytest.raises(ValueError, match="more than 3 vector steps"):
        full.sample((1,), np.random.default_rng(0))


def test_bytes_of_frames_do_not_go_into_a_replay_of_whole_stacks():
    image = ((4, 6, 6), np.uint8)
    frames, whole = (
        Replay(8, 1, [image], ((), np.int64), stacked_frames=count) for count in (4, 1)
    )
    for data, other in ((frames.to_bytes(), whole), (whole.to_bytes(), frames)):
        with pytest.raises(ValueError, match="environment or stacked_frames"):
            other.from_bytes(data)


def test_actions_of_several_numbers_and_many_rows_at_once_come_back_as_they_went_in():
    buffer = Replay(2000, 2, [((1,), np.float32)], ((3,), np.float32), 2, GAMMA)
    nothing, places = np.zeros(2, bool), np.arange(3, dtype=np.float32)
    for t in range(900):  # more rows than returns are worked out at a time
        step = np.arange(2, dtype=np.float32)[:, None] + 2 * t
        buffer.add([step], step + places, step[:, 0], nothing, nothing, nothing)
    batch = buffer.sample((3, 12_000), np.random.default_rng(0))
    first = batch.observation[0]
    assert len(np.unique(first)) == 898 * 2
    np.testing.assert_array_equal(batch.action, first + places)
    np.testing.assert_array_equal(batch.reward, 1.5 * first[..., 0] + 1)
    np.testing.assert_array_equal(batch.next_observation[0], first + 4)


def test_a_million_small_transitions_take_less_than_100_mb():
    buffer = Replay(1_000_000, 32, [((4,), np.float32)], ((), np.int64), 10)
    # Observation 16, action 8, following 8, reward, return and discount 4 each, four flags.
    assert buffer.nbytes == (1_000_000 + 10 * 32) * (16 + 8 + 8 + 3 * 4 + 4)
    assert buffer.nbytes < 100e6


@pytest.mark.parametrize("shape", [(4, 84, 84), (84, 84, 4)])
def test_100_000_stacked_images_take_less_than_800_mb(shape):
    arguments = (100_000, 32, [(shape, np.uint8)], ((), np.int64), 3)
    assert Replay(*arguments, stacked_frames=4).nbytes < 0.75e9
    assert Replay(*arguments).nbytes > 2.8e9
