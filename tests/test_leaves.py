import functools

import gymnasium
import numpy as np
import pytest
from builders import Dot
from hypothesis import given
from hypothesis import strategies as st

from tfdrlprune.agents.leaves import build_leaves
from tfdrlprune.agents.replay import Replay
from tfdrlprune.simulation import make_vector

GAMMA = 0.5  # with small whole rewards, every sum is exact in float32
ZEROS, REPEAT = "zero", "reset"


class Reference:
    """Replay in plain lists of whole observations, one transition at a time."""

    def __init__(self, capacity, num_envs, n_step):
        self.kept, self.n_step, self.num_envs = -(-capacity // num_envs) + n_step, n_step, num_envs
        self.rows = []

    def add(self, *row):
        self.rows.append(row)

    def end_episodes(self, observation):
        observation_, action, reward, terminated, _, resets = self.rows[-1]
        self.rows[-1] = (observation_, action, reward, terminated, ~terminated, resets)
        no = np.zeros(self.num_envs, bool)
        self.rows.append((observation, np.zeros(self.num_envs, np.int64), no, no, no, ~no))

    def transitions(self):
        """Returns action (which names the step) -> reward, discount, observations, next ones."""
        found = {}
        for t in range(max(0, len(self.rows) - self.kept), len(self.rows) - self.n_step):
            for env in range(self.num_envs):
                observation, action, *_, resets = self.rows[t]
                if not resets[env]:
                    first = [leaf[env] for leaf in observation]
                    found[int(action[env])] = (*self._follow(t, env), first)
        return found

    def _follow(self, t, env):
        total = 0.0
        for steps in range(1, self.n_step + 1):
            _, _, reward, terminated, truncated, _ = self.rows[t + steps - 1]
            total += GAMMA ** (steps - 1) * float(reward[env])
            if terminated[env] or truncated[env]:
                break
        discount = 0.0 if terminated[env] else GAMMA ** (steps - 1)
        return total, discount, [leaf[env] for leaf in self.rows[t + steps][0]]


class Stream:
    """Steps of environments that show stacks of random frames, and end episodes at random."""

    def __init__(self, generator, num_envs, frames, padding, axis):
        self._generator, self._frames = generator, frames
        self._padding, self._axis = padding, axis
        self._count = 0
        self._resets = np.zeros(num_envs, bool)
        self._stacks = [self._begin() for _ in range(num_envs)]

    def restart(self):
        self._resets[:] = False
        self._stacks = [self._begin() for _ in self._stacks]

    def observation(self):
        if self._axis == 0:
            images = np.stack([np.concatenate(stack) for stack in self._stacks])
        else:
            images = np.stack([np.concatenate(stack, axis=-1) for stack in self._stacks])
        return [images, np.full((len(self._stacks), 2), self._count, np.float32)]

    def step(self):
        count = len(self._stacks)
        observation, resets = self.observation(), self._resets.copy()
        action = np.arange(count) + count * self._count
        ends = self._generator.random((2, count)) < 0.15
        terminated, truncated = ends & ~resets
        self._stacks = [
            self._begin() if again else [*stack[1:], self._frame()]
            for stack, again in zip(self._stacks, resets, strict=True)
        ]
        self._resets = terminated | truncated
        self._count += 1
        reward = self._generator.integers(-3, 4, count).astype(np.float32) * ~resets
        return observation, action, reward, terminated, truncated, resets

    def _begin(self):
        first = self._frame()
        pad = first if self._padding == REPEAT else np.zeros_like(first)
        return [pad] * (self._frames - 1) + [first]

    def _frame(self):
        # Few values, so that frames are often equal, or zero.
        return self._generator.integers(0, 2, (1, 2, 1) if self._axis == 0 else (1, 2, 2), np.uint8)


def assert_equal_to(reference, replay, seed):
    """Asserts that what is drawn is what the reference holds, all of it, to the bit."""
    expected = reference.transitions()
    if not expected:
        with pytest.raises(ValueError, match="more than"):
            replay.sample((3,), np.random.default_rng(seed))
        return
    # A step is missed with probability e**-20.
    batch = replay.sample((20 * len(expected),), np.random.default_rng(seed))
    assert set(batch.action.tolist()) == set(expected)
    drawn = [expected[action] for action in batch.action.tolist()]
    rewards, discounts, following, first = zip(*drawn, strict=True)
    np.testing.assert_array_equal(batch.reward, rewards)
    np.testing.assert_array_equal(batch.discount, discounts)
    for leaves, wanted in ((batch.observation, first), (batch.next_observation, following)):
        for leaf, those in zip(leaves, zip(*wanted, strict=True), strict=True):
            np.testing.assert_array_equal(leaf, np.stack(those), strict=True)


@given(
    seed=st.integers(0, 2**32),
    num_envs=st.integers(1, 3),
    capacity=st.integers(1, 20),
    n_step=st.integers(1, 4),
    frames=st.integers(2, 5),
    padding=st.sampled_from([ZEROS, REPEAT]),
    axis=st.sampled_from([0, -1]),
    events=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["draw", "end", "restore"])), max_size=10
    ),
)
def test_stored_as_frames_or_whole_replay_gives_what_plain_lists_give(
    seed, num_envs, capacity, n_step, frames, padding, axis, events
):
    stream = Stream(np.random.default_rng(seed), num_envs, frames, padding, axis)
    reference = Reference(capacity, num_envs, n_step)
    specs = [(leaf.shape[1:], leaf.dtype) for leaf in stream.observation()]
    new = functools.partial(Replay, capacity, num_envs, specs, ((), np.int64), n_step, GAMMA)
    as_frames = functools.partial(new, stacked_frames=(frames, 1), stack_axis=axis)
    stacked, whole = as_frames(), new()
    for steps, event in [*events, (0, "draw")]:
        for _ in range(steps):
            row = stream.step()
            for each in (reference, stacked, whole):
                each.add(*row)
        if event == "draw":
            assert_equal_to(reference, stacked, seed)
            assert_equal_to(reference, whole, seed)
        elif event == "end" and reference.rows:
            for each in (reference, stacked, whole):
                each.end_episodes(stream.observation())
            stream.restart()
        elif event == "restore":
            data = stacked.to_bytes()
            stacked = as_frames()
            stacked.from_bytes(data)
    if reference.rows:
        for leaf, wanted in zip(stacked.recent(7), whole.recent(7), strict=True):
            np.testing.assert_array_equal(leaf, wanted, strict=True)
        latest = np.concatenate([row[0][0] for row in reference.rows[-reference.kept :]])[-7:]
        np.testing.assert_array_equal(stacked.recent(7)[0], latest)


@pytest.mark.parametrize("padding", [ZEROS, REPEAT])
@pytest.mark.parametrize("rgb", [False, True])
def test_gymnasium_stacks_come_back_to_the_bit(padding, rgb):
    stacked_env = lambda: gymnasium.wrappers.FrameStackObservation(  # noqa: E731
        Dot(channels=3 if rgb else None), 4, padding_type=padding
    )
    vector = make_vector(stacked_env, 3)
    space = vector.single_observation_space
    assert space.shape == ((4, 8, 8, 3) if rgb else (4, 8, 8))
    arguments = (60, 3, [(space.shape, space.dtype)], ((), np.int64), 2, GAMMA)
    replays = Replay(*arguments), Replay(*arguments, stacked_frames=4)
    observation, _ = vector.reset(seed=0)
    done, generator = np.zeros(3, bool), np.random.default_rng(0)
    for _ in range(50):
        action, resets = generator.integers(2, size=3), done
        following, reward, terminated, truncated, _ = vector.step(action)
        for replay in replays:
            replay.add([observation], action, reward, terminated, truncated, resets)
        observation, done = following, terminated | truncated
    batches = [replay.sample((5, 100), np.random.default_rng(0)) for replay in replays]
    for part in ("observation", "next_observation"):
        whole, stacked = (getattr(batch, part)[0] for batch in batches)
        assert whole.shape == (5, 100, *space.shape)
        np.testing.assert_array_equal(stacked, whole, strict=True)


def one_env(shape, **arguments):
    """Returns a replay of uint8 stacks, and a function that adds one to it."""
    replay = Replay(10, 1, [(shape, np.uint8)], ((), np.int64), **arguments)
    no = np.zeros(1, bool)

    def add(stack, *, done=False, resets=False):
        replay.add([np.asarray([stack])], no, no, no | done, no, no | resets)

    return replay, add


def columns(*values):
    """Returns a stack of frames [2, 1], each of one value, oldest first: [frames, 2, 1]."""
    return np.array([[[value], [value]] for value in values])


def test_a_stack_that_does_not_follow_from_the_one_before_is_refused_and_never_drawn():
    replay, add = one_env((3, 2, 1), stacked_frames=3)
    add(columns(1, 1, 1))
    add(columns(1, 1, 2))
    with pytest.raises(ValueError, match=r"environment 0: an observation which is not the one bef"):
        add(columns(2, 1, 3))
    with pytest.raises(ValueError, match="shifted by one new frame"):
        add(columns(3, 2, 1))  # newest first
    add(columns(1, 2, 3))
    assert replay.sample((20,), np.random.default_rng(0)).next_observation[0].max() == 3


def test_an_episode_that_begins_with_other_frames_is_refused():
    _, add = one_env((3, 2, 1), stacked_frames=3)
    with pytest.raises(ValueError, match="first of an episode, which is neither one frame repeat"):
        add(columns(9, 9, 1))
    add(columns(0, 0, 1))
    add(columns(0, 1, 2), done=True)
    add(columns(1, 2, 3), resets=True)
    with pytest.raises(ValueError, match="first of an episode"):
        add(columns(2, 3, 4))  # the environment did not begin anew where it said so
    add(columns(7, 7, 7))


def test_a_refused_step_leaves_a_full_ring_as_it_was():
    replay, add = one_env((2, 2, 1), stacked_frames=2)
    add(columns(0, 0))
    for value in range(1, 30):
        add(columns(value - 1, value))
    with pytest.raises(ValueError, match="shifted"):
        add(columns(5, 6))
    drawn = replay.sample((500,), np.random.default_rng(0)).observation[0]
    # 11 rows are kept, 19 to 29, and the last waits for its next observation.
    assert sorted({tuple(stack[:, 0, 0].tolist()) for stack in drawn}) == [
        (value - 1, value) for value in range(19, 29)
    ]


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((4, 8, 4), {"stacked_frames": 4}, "both the first and the last axis"),
        ((8, 8, 3), {"stacked_frames": 4}, "neither end has this size"),
        ((8, 8, 6), {"stacked_frames": 4, "stack_axis": -1}, "a multiple of their number"),
        ((8, 8, 4), {"stacked_frames": 4, "stack_axis": 3}, "one axis"),
        ((8, 4), {"stacked_frames": 4}, "three axes or more"),
        ((8, 8, 4), {"stacked_frames": 0}, "1 or more"),
        ((8, 8, 4), {"stacked_frames": (4, 4)}, "one number for each part"),
    ],
)
def test_frames_that_cannot_be_found_in_the_shape_are_refused(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        one_env(shape, **arguments)


def test_one_number_means_the_images_and_an_axis_tells_grouped_channels():
    specs = [((8, 8, 12), np.uint8), ((12,), np.float32), ((12,), np.uint8)]
    image, *vectors = build_leaves(10, 2, specs, 4, -1)
    # 10 + 3 rows and the frame of zeros, 8 x 8 x 3 each; four numbers of 8 bytes a step.
    assert image.nbytes == (13 * 2 + 1) * 192 + 10 * 2 * 4 * 8
    assert [leaf.nbytes for leaf in vectors] == [10 * 2 * 12 * 4, 10 * 2 * 12]
