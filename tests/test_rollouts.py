"""Roll-outs follow Gymnasium, never lose a failed episode, and sample moments evenly."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.rollouts import (
    PURPOSES,
    random_return,
    record_observations,
    roll_out,
    seeds_for,
)


class Leaning:
    """Pushes the cart towards where the pole falls; counts its resets."""

    def __init__(self):
        self.resets = 0

    def reset(self):
        self.resets += 1

    def action(self, observation):
        return np.asarray(int(observation[2] + 0.1 * observation[3] > 0))


class Still:
    def action(self, observation):
        return np.asarray(0)


class Counting(gym.Env):
    """Counts its steps in nested observations, and fails where a test says so, by seed."""

    def __init__(self, fail=None, length=10):
        self.observation_space = spaces.Dict(
            {
                "a": spaces.Tuple((spaces.Box(0, 1e9, (1,), np.float64), spaces.Discrete(10**9))),
                "b": spaces.MultiBinary(2),
            }
        )
        self.action_space = spaces.Discrete(2)
        self.fail, self.length, self.closed = fail or {}, length, False
        self.buffer = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.trouble, self.count = self.fail.get(seed), 0
        if self.trouble == "reset":
            raise RuntimeError("no\nstart")
        return self.observation(), {}

    def observation(self):
        self.buffer[0] = self.count
        if self.trouble == "first" or (self.trouble == "nan_at_end" and self.count == self.length):
            self.buffer[0] = np.nan
        return {"a": (self.buffer, np.int64(self.count)), "b": np.ones(2, np.int8)}

    def step(self, action):
        assert isinstance(action, np.int64)
        self.count += 1
        if self.count == 4 and self.trouble == "crash":
            raise RuntimeError("the simulator blew up")
        bad = {"nan": np.nan, "inf": np.inf}.get(self.trouble) if self.count == 4 else None
        done = self.count == self.length
        return self.observation(), -1.0 if bad is None else bad, done, False, {}

    def close(self):
        self.closed = True


def reference(policy, env_id, seed):
    """A roll-out in Gymnasium's own words."""
    env = gym.make(env_id)
    observation, _ = env.reset(seed=seed)
    total, length = 0.0, 0
    while True:
        observation, reward, terminated, truncated, _ = env.step(int(policy.action(observation)))
        total, length = total + reward, length + 1
        if terminated or truncated:
            return total, length, "terminated" if terminated else "truncated"


def test_episodes_are_gymnasiums_own():
    policy = Leaning()
    episodes = roll_out(policy, "CartPole-v1", [3, 1, 4, 1])
    expected = [reference(Leaning(), "CartPole-v1", seed) for seed in (3, 1, 4, 1)]
    rows = zip(episodes.returns, episodes.lengths, episodes.outcomes, strict=True)
    assert [(float(r), int(n), str(o)) for r, n, o in rows] == expected
    assert episodes.seeds.tolist() == [3, 1, 4, 1]
    assert policy.resets == 4
    assert episodes.returns[1] == episodes.returns[3]
    assert episodes.to_json() == roll_out(Leaning(), "CartPole-v1", [3, 1, 4, 1]).to_json()


def test_truncation_and_our_own_limit_are_told_apart():
    assert roll_out(Still(), "MountainCar-v0", [0]).outcomes.tolist() == ["truncated"]
    cut = roll_out(Still(), "MountainCar-v0", [0, 1], max_steps=7)
    assert cut.outcomes.tolist() == ["time_limit", "time_limit"]
    assert cut.lengths.tolist() == [7, 7]
    assert cut.returns.tolist() == [-7, -7]
    with pytest.raises(ValueError, match="max_steps=0"):
        roll_out(Still(), "MountainCar-v0", [0], max_steps=0)


def test_failures_are_counted_with_their_reason_and_never_dropped():
    fail = dict(enumerate(["reset", "first", "crash", "nan", "inf", "nan_at_end"], start=1))
    made, progress = [], []

    def factory():
        made.append(Counting(fail))
        return made[-1]

    episodes = roll_out(Still(), factory, range(8), progress=progress.append)
    assert episodes.outcomes.tolist() == [
        "terminated",
        "error",
        "nan",
        "error",
        "nan",
        "nan",
        "nan",
        "terminated",
    ]
    assert episodes.returns.tolist() == [-10, 0, 0, -3, -3, -3, -9, -10]
    assert episodes.lengths.tolist() == [10, 0, 0, 4, 4, 4, 10, 10]
    assert episodes.reasons == (
        "",
        "RuntimeError: no start",
        "the first observation is not finite",
        "RuntimeError: the simulator blew up",
        "step 4 gave reward nan",
        "step 4 gave reward inf",
        "step 10 gave an observation not finite",
        "",
    )
    assert episodes.failed.tolist() == [False, *[True] * 6, False]
    # Cut losses are no merit: a failed episode scores the worst of the table, or of what can be.
    assert episodes.scores().tolist() == [-10] * 8
    assert episodes.scores(-50).tolist() == [-10, *[-50] * 6, -10]
    assert progress == list(range(1, 9))
    assert len(made) == 3  # made anew after each of the two crashes
    assert all(env.closed for env in made)


def test_an_environment_object_is_left_open_and_a_policys_error_is_raised():
    env = Counting({0: "crash"})
    assert roll_out(Still(), env, [0, 1]).outcomes.tolist() == ["error", "terminated"]
    assert not env.closed

    class Broken:
        def action(self, observation):
            raise KeyError("policy")

    with pytest.raises(KeyError, match="policy"):
        roll_out(Broken(), Counting, [0])
    with pytest.raises(ValueError, match="Did you mean CartPole-v1"):
        roll_out(Still(), "Cartpole", [0])


def test_recorded_observations_are_whole_and_keep_their_nesting():
    observations = record_observations(Still(), Counting, episodes=3, max_count=100, seed=0)
    counts = np.tile(np.arange(10), 3)
    np.testing.assert_array_equal(observations["a"][0], counts[:, None].astype(float), strict=True)
    np.testing.assert_array_equal(observations["a"][1], counts)
    np.testing.assert_array_equal(observations["b"], np.ones((30, 2), np.int8), strict=True)


def test_recorded_observations_are_spread_evenly_over_time():
    def record(seed, **options):
        return record_observations(
            Still(), lambda: Counting(length=1000), episodes=4, max_count=200, seed=seed
        )["a"][1]

    moments = record(0)
    assert moments.shape == (200,)
    np.testing.assert_array_equal(moments, record(0))
    assert np.any(moments != record(1))
    # Ten seeds: 2,000 draws into 10 bins of the episode, 200 each; chi-square 99.9 % at 9 is 27.9.
    bins = np.bincount(np.concatenate([record(seed) for seed in range(10)]) // 100, minlength=10)
    assert ((bins - 200.0) ** 2 / 200).sum() < 27.9


def test_nothing_to_record_says_why():
    fail = {int(seed): "first" for seed in seeds_for("calibration", 0, 2)}
    with pytest.raises(ValueError, match="first observation is not finite"):
        record_observations(Still(), lambda: Counting(fail), episodes=2, max_count=5, seed=0)


def test_seeds_of_different_purposes_are_disjoint_and_reproducible():
    sets = {purpose: seeds_for(purpose, 0, 5000) for purpose in PURPOSES}
    assert len({int(seed) for seeds in sets.values() for seed in seeds}) == 5000 * len(PURPOSES)
    assert max(int(seeds.max()) for seeds in sets.values()) < 2**31
    np.testing.assert_array_equal(sets["judging"][:10], seeds_for("judging", 0, 10))
    assert set(sets["judging"]) != set(seeds_for("judging", 1, 5000))
    with pytest.raises(ValueError, match="'training'"):
        seeds_for("training", 0, 1)


def test_a_table_with_a_gap_or_an_unknown_outcome_is_refused():
    columns = [np.array([1]), np.array([1.0]), np.array([1]), np.array(["terminated"]), ("",)]
    assert len(Episodes(*columns)) == 1
    with pytest.raises(ValueError, match="'reasons': 0"):
        Episodes(*columns[:4], ())
    with pytest.raises(ValueError, match="'lost'"):
        Episodes(*columns[:3], np.array(["lost"]), ("",))


def test_the_return_of_random_actions_is_theirs_and_repeats():
    class Steps(gym.Env):
        """Returns the number of ones among ten random actions."""

        observation_space, action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.left = 10
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.left -= 1
            return np.zeros(1, np.float32), float(action), self.left == 0, False, {}

    first = random_return(Steps, episodes=200)
    # Binomial: 5 on average, with a standard deviation of sqrt(2.5 / 200) = 0.11.
    assert first == pytest.approx(5, abs=0.4)
    assert random_return(Steps, episodes=200) == first != random_return(Steps, episodes=200, seed=1)


def test_a_floor_where_every_episode_fails_is_an_error():
    seeds = seeds_for("calibration", 0, 2).tolist()
    with pytest.raises(ValueError, match="Give the floor as a number"):
        random_return(lambda: Counting(dict.fromkeys(seeds, "crash")), episodes=2)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: random_return(Counting, episodes=0), "episodes"),
        (
            lambda: record_observations(Still(), Counting, episodes=0, max_count=5, seed=0),
            "episodes",
        ),
        (
            lambda: record_observations(Still(), Counting, episodes=2, max_count=0, seed=0),
            "max_count",
        ),
    ],
)
def test_nothing_to_play_or_to_keep_is_refused(call, name):
    with pytest.raises(ValueError, match=f"{name} is at least 1. Received: {name}=0"):
        call()
