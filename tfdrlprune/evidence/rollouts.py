"""Roll-outs of anything with ``.action(observation)``: episodes to judge, observations to keep."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tfdrlprune.evidence import nested
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.recipe.checks import check_count
from tfdrlprune.simulation import Environment, make

__all__ = [
    "Episodes",
    "Policy",
    "random_return",
    "record_observations",
    "roll_out",
    "seeds_for",
]

PURPOSES = ("selection", "judging", "calibration")
_LONGEST = 100_000  # env_steps: an environment without a limit of its own must not hang a roll-out


class Policy(Protocol):
    """What can be rolled out; where it has a ``reset()``, each episode starts with it."""

    def action(self, observation: Any) -> Any:
        """Returns the action for one observation, in the environment's own units."""


def seeds_for(purpose: str, seed: int, count: int) -> NDArray[np.int64]:
    """Returns ``count`` seeds for one purpose, never shared with those of another purpose.

    Models are chosen on ``"selection"`` seeds and judged on ``"judging"`` ones: what was chosen
    looks better on the seeds it was chosen on. More seeds begin with the same ones.

    Args:
        purpose: ``"selection"``, ``"judging"`` or ``"calibration"``.
        seed: of the whole experiment, 0 or more.
        count: how many.

    Returns:
        int64, [count], distinct, in [0, 2**31).
    """
    if purpose not in PURPOSES:
        raise ValueError(f"A purpose of seeds is one of {PURPOSES}. Received: {purpose!r}.")
    remainder = PURPOSES.index(purpose)
    generator = np.random.default_rng([seed, remainder])
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[4 * int(generator.integers(2**29)) + remainder] = None
    return np.fromiter(drawn, np.int64, count)


def roll_out(
    policy: Policy,
    env: Environment,
    seeds: Iterable[int],
    *,
    max_steps: int = _LONGEST,
    progress: Callable[[int], None] | None = None,
) -> Episodes:
    """Returns one episode for each seed, those that failed included, with the reason.

    An exception of the environment, and a reward or observation that is NaN or infinite, end an
    episode as failed; the environment is then made anew for the next one, unless an object was
    given. An exception of the policy is raised, as nothing can be said about such a policy.

    Args:
        policy: gives actions in the environment's own units.
        env: registered id, factory or environment. What was made here is closed again.
        seeds: the environment is reset with each in turn.
        max_steps: an episode that the environment has not ended is cut after so many env_steps.
        progress: called with the number of episodes played, after each.

    Raises:
        ValueError: ``max_steps`` is below 1; the environment's id is unknown.
        ImportError: the environment's simulator is not installed.

    Example:
        >>> class Left:
        ...     def action(self, observation):
        ...         return 0
        >>> episodes = roll_out(Left(), "CartPole-v1", seeds=[1, 2])
        >>> len(episodes), float(episodes.returns.max()) < 20
        (2, True)
    """
    check_count("max_steps", max_steps)
    rows: list[tuple[int, float, int, str, str]] = []
    with _Source(env) as source:
        for seed in seeds:
            result = _play(policy, source.env, int(seed), max_steps, lambda _: None)
            rows.append((int(seed), *result))
            if result[2] == "error":
                source.remake()
            if progress is not None:
                progress(len(rows))
    columns = list(zip(*rows, strict=True)) or [()] * 5
    return Episodes(
        np.array(columns[0], np.int64),
        np.array(columns[1], np.float64),
        np.array(columns[2], np.int64),
        np.array(columns[3], np.str_),
        tuple(columns[4]),
    )


def random_return(env: Environment, *, episodes: int = 100, seed: int = 0) -> float:
    """Returns the mean return of random actions: a floor that losses can be counted from.

    Args:
        env: registered id, factory or environment.
        episodes: how many are played, on ``seeds_for("calibration", seed, episodes)``.
        seed: of the episodes and of the actions.

    Raises:
        ValueError: every episode failed; ``episodes`` is below 1.
    """
    check_count("episodes", episodes)
    with _Source(env) as source:
        source.env.action_space.seed(seed)
        played = roll_out(
            _Random(source.env.action_space), source.env, seeds_for("calibration", seed, episodes)
        )
    if played.failed.all():
        raise ValueError(
            f"All {episodes} episodes of random actions failed: {played.reasons[0]}. Give the "
            "floor as a number."
        )
    return float(played.returns[~played.failed].mean())


class _Random:
    def __init__(self, space: gym.Space[Any]):
        self._space = space

    def action(self, observation: Any) -> Any:
        del observation
        return self._space.sample()


def record_observations(
    policy: Policy,
    env: Environment,
    *,
    episodes: int = 10,
    max_count: int = 2_000,
    seed: int = 0,
) -> Any:
    """Returns observations that the policy meets, each moment of all episodes equally likely.

    What int8's ranges are best measured on, and what actions are best compared on: whole episodes
    of the policy itself, from their beginnings. A reservoir (Vitter 1985, algorithm R) keeps
    ``max_count`` of them in the memory of so many.

    Args:
        policy: acts.
        env: registered id, factory or environment.
        episodes: how many are played, on ``seeds_for("calibration", seed, episodes)``.
        max_count: at most so many observations are kept.
        seed: of the episodes and of the choice.

    Returns:
        The observations in the order they were met, nested as one is, each leaf [count, ...].

    Raises:
        ValueError: the environment gave no observation that is finite; a count is below 1.

    Example:
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> record_observations(policy, "CartPole-v1", episodes=2, max_count=10).shape
        (10, 4)
    """
    check_count("episodes", episodes)
    check_count("max_count", max_count)
    reservoir = _Reservoir(max_count, np.random.default_rng(seed))
    with _Source(env) as source:
        for episode_seed in seeds_for("calibration", seed, episodes):
            _, _, outcome, reason = _play(
                policy, source.env, int(episode_seed), _LONGEST, reservoir.add
            )
            if outcome == "error":
                source.remake()
    if not reservoir.kept:
        raise ValueError(
            f"{episodes} episodes gave no observation to record. Received: {reason or 'none'}."
        )
    return nested.stack([reservoir.kept[moment] for moment in sorted(reservoir.kept)])


class _Reservoir:
    """Keeps a uniform sample of a stream, by the moment each item was met."""

    def __init__(self, size: int, generator: np.random.Generator):
        self.kept: dict[int, Any] = {}
        self._moments: list[int] = []
        self._size, self._generator, self._met = size, generator, 0

    def add(self, observation: Any) -> None:
        slot = self._met if self._met < self._size else int(self._generator.integers(self._met + 1))
        if slot < self._size:
            if slot < len(self._moments):
                del self.kept[self._moments[slot]]
                self._moments[slot] = self._met
            else:
                self._moments.append(self._met)
            # Copied, since environments may reuse their arrays.
            self.kept[self._met] = nested.map_leaves(np.array, observation)
        self._met += 1


class _Source:
    """The environment of a roll-out: made, made anew after a crash, and closed."""

    def __init__(self, source: Environment):
        self._source = source
        self.env = make(source)

    def remake(self) -> None:
        if self.env is not self._source:
            self._close()
            self.env = make(self._source)

    def _close(self) -> None:
        # A crashed simulator may not even close; its episode has been counted as failed.
        with contextlib.suppress(Exception):
            self.env.close()

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        if self.env is not self._source:
            self._close()


def _play(
    policy: Policy,
    env: gym.Env[Any, Any],
    seed: int,
    limit: int,
    seen: Callable[[Any], None],
) -> tuple[float, int, str, str]:
    """Returns the return, length, outcome and reason of one episode."""
    if (reset := getattr(policy, "reset", None)) is not None:
        reset()
    total = 0.0
    try:
        observation, _ = env.reset(seed=seed)
    except Exception as error:
        return total, 0, "error", reason_of(error)
    if not nested.finite(observation):
        return total, 0, "nan", "the first observation is not finite"
    for length in range(1, limit + 1):
        seen(observation)
        action = nested.map_leaves(_plain, policy.action(observation))
        try:
            observation, reward, terminated, truncated, _ = env.step(action)
        except Exception as error:
            return total, length, "error", reason_of(error)
        # Before the end is looked at: a simulator that blew up often says "terminated" too.
        if not (math.isfinite(reward) and nested.finite(observation)):
            what = f"reward {reward}" if not math.isfinite(reward) else "an observation not finite"
            return total, length, "nan", f"step {length} gave {what}"
        total += float(reward)
        if terminated or truncated:
            return total, length, "terminated" if terminated else "truncated", ""
    return total, limit, "time_limit", ""


def _plain(action: Any) -> Any:
    """Returns an action leaf as environments like it: an array without axes becomes a number."""
    array = np.asarray(action)
    return array[()] if array.ndim == 0 else array


def reason_of(error: Exception) -> str:
    """Returns an exception as the reason of an episode that failed, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
