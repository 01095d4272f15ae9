"""Episodes of an artifact, played when they are first asked for, in one process or in several."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.synchronize import Event

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.memory import Memory
from tfdrlprune.evidence.rollouts import roll_out
from tfdrlprune.recipe.checks import check_count
from tfdrlprune.simulation import Environment

# Tasks for each process of a block: few enough that starting environments costs little, enough
# that a slow one holds up no other for long.
_SHARES = 4

# In a pool's process, whether the pool is being closed; such a thing is sent at the start only.
_CLOSING: list[Event] = []


class Players:
    """Plays episodes of artifacts, in this process or in others of its own.

    The table is the same for any number of processes, as long as the environment's reset with a
    seed leaves nothing of the episode before. A context manager: leaving it ends the processes.

    Args:
        workers: processes; 1 plays in this one.
        memory: what was played before; None remembers nothing.

    Raises:
        ValueError: fewer than one worker.
    """

    def __init__(self, workers: int = 1, memory: Memory | None = None):
        check_count("workers", workers)
        self._workers, self._memory = workers, memory
        self._pool: ProcessPoolExecutor | None = None
        self._closing: Event | None = None

    def play(
        self,
        folder: str | os.PathLike[str],
        env: Environment,
        seeds: Sequence[int],
        progress: Callable[[int], None] | None = None,
    ) -> Episodes:
        """Returns one episode for each seed, in their order.

        Args:
            folder: of the artifact.
            env: registered id, factory or environment; with several workers one that can be sent
                to another process.
            seeds: at least one.
            progress: called with the number of episodes played.

        Raises:
            ValueError: the environment cannot be sent to another process; as `roll_out`.
        """
        if self._memory is None or not isinstance(env, str):
            return self._play(folder, env, seeds, progress)
        digest = artifact.read(folder).files[artifact.MODEL_FILE].sha256
        return self._memory.episodes(
            digest, env, seeds, lambda: self._play(folder, env, seeds, progress)
        )

    def _play(
        self,
        folder: str | os.PathLike[str],
        env: Environment,
        seeds: Sequence[int],
        progress: Callable[[int], None] | None,
    ) -> Episodes:
        if self._workers == 1:
            return roll_out(_policy(str(folder)), env, seeds, progress=progress)
        if self._pool is None:
            _check_sendable(env)
            # Spawned: a fork of a process that runs TensorFlow's threads can hang.
            context = get_context("spawn")
            self._closing = context.Event()
            self._pool = ProcessPoolExecutor(
                self._workers, context, initializer=_begin, initargs=(self._closing,)
            )
        size = max(1, len(seeds) // (_SHARES * self._workers))
        shares = [seeds[start : start + size] for start in range(0, len(seeds), size)]
        played = [self._pool.submit(_play, str(folder), env, share) for share in shares]
        parts = []
        try:
            for future in played:
                parts.append(future.result())
                if progress is not None:
                    progress(sum(map(len, parts)))
        finally:
            for future in played:
                future.cancel()
        return Episodes.joined(parts)

    def close(self) -> None:
        """Ends the processes, at the latest when the episodes that they play are over."""
        if self._pool is not None and self._closing is not None:
            self._closing.set()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Players:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Series:
    """The episodes of one artifact on given seeds, as many as were asked for so far.

    Args:
        players: play them.
        folder: of the artifact.
        env: as in `Players.play`.
        seeds: of all episodes that there can be.
        progress: called with the number of episodes played.
    """

    def __init__(
        self,
        players: Players,
        folder: str | os.PathLike[str],
        env: Environment,
        seeds: Sequence[int],
        progress: Callable[[int], None] | None = None,
    ):
        self._players, self._folder, self._env = players, folder, env
        self._seeds = [int(seed) for seed in seeds]
        self._progress = progress or (lambda done: None)
        self.played: Episodes | None = None

    def __len__(self) -> int:
        return len(self._seeds)

    def first(self, count: int) -> Episodes:
        """Returns the first ``count`` episodes, of which those not played yet are played now."""
        done = 0 if self.played is None else len(self.played)
        if self.played is None or done < count:
            fresh = self._players.play(
                self._folder,
                self._env,
                self._seeds[done:count],
                lambda more: self._progress(done + more),
            )
            self.played = fresh if self.played is None else Episodes.joined([self.played, fresh])
        return self.played.first(count)


def _policy(folder: str) -> runtime.Policy:
    """Returns the artifact's policy, loaded once as long as its file is the same."""
    return _loaded(folder, artifact.read(folder).files[artifact.MODEL_FILE].sha256)


@lru_cache(maxsize=4)
def _loaded(folder: str, sha256: str) -> runtime.Policy:
    del sha256  # what tells a file from another that has its name
    return runtime.load(folder)


def _begin(closing: Event) -> None:
    """Has a process end with those that it plays for.

    A terminal's Ctrl-C ends it at once: a pool's process would keep it as a task's result, and go
    on with the next task, for which the interrupted command would wait. What only the command is
    told, as SIGTERM, reaches it by ``closing``, after an episode.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _CLOSING.append(closing)


def _play(folder: str, env: Environment, seeds: Sequence[int]) -> Episodes:
    def go_on(played: int) -> None:
        if _CLOSING[0].is_set():
            raise CancelledError(f"Ended after {played} episodes.")

    return roll_out(_policy(folder), env, seeds, progress=go_on)


def _check_sendable(env: Environment) -> None:
    try:
        pickle.dumps(env)
    except Exception as error:  # whatever an object's own pickling raises
        raise ValueError(
            "Several workers need an environment that can be sent to another process: a registered "
            f"id, or a function at the top of a module. Received: {env!r} ({error})."
        ) from error
