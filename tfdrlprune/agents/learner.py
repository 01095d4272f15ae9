"""What a learner remembers outside TensorFlow's variables, and how it goes into a checkpoint."""

from __future__ import annotations

import io
import json
from typing import Any, Protocol

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.agents.vector import Vector
from tfdrlprune.pruning.gradients import Record
from tfdrlprune.pruning.models import Followed


class LearnerState:
    """Counters, randomness and recent returns of a learner.

    A simulator's state cannot be saved in general. So whoever saves a checkpoint also ends the
    running episodes: the run that goes on and the run that is resumed both begin new ones, from the
    same seed, and stay equal.

    Attributes:
        generator: all randomness of collection and sampling.
        env_step: environment steps so far.
        debt: environment steps that are due but do not fill a vector step yet.
        extra: what else must survive a crash, as JSON values.
        running: whether episodes are running, rather than to be begun at the next batch.
    """

    def __init__(self, seed: int):
        self.generator = np.random.Generator(np.random.PCG64(seed))
        self.env_step = 0
        self.debt = 0.0
        self.extra: dict[str, Any] = {}
        self.running = False

    def begin_episodes(self, vector: Vector) -> bool:
        """Begins episodes in all environments unless they are running; returns whether it did."""
        if self.running:
            return False
        vector.restart(int(self.generator.integers(2**31)))
        self.running = True
        return True

    def to_bytes(self, vector: Vector, more: dict[str, bytes]) -> bytes:
        """Returns the state and further named parts; new episodes begin at the next batch."""
        self.running = False
        plain = {
            "generator": self.generator.bit_generator.state,
            "env_step": self.env_step,
            "debt": self.debt,
            "extra": self.extra,
            "returns": list(vector.returns),
        }
        buffer = io.BytesIO()
        parts: dict[str, Any] = {name: np.frombuffer(data, np.uint8) for name, data in more.items()}
        np.savez(buffer, state=np.frombuffer(json.dumps(plain).encode(), np.uint8), **parts)
        return buffer.getvalue()

    def from_bytes(self, vector: Vector, data: bytes) -> dict[str, bytes]:
        """Puts a state back; returns the further parts."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            plain = json.loads(stored["state"].tobytes())
            more = {name: stored[name].tobytes() for name in stored.files if name != "state"}
        self.generator.bit_generator.state = plain["generator"]
        self.env_step, self.debt = plain["env_step"], plain["debt"]
        self.extra.clear()
        self.extra.update(plain["extra"])
        vector.returns.clear()
        vector.returns.extend(plain["returns"])
        self.running = False
        return more


class Learner(Protocol):
    """An algorithm family in the fit loop.

    Attributes:
        optimizers: the instances that the agent applies gradients with; callbacks know the first.
        steps_per_batch: most optimizer steps in one Keras batch.
        networks: role -> the networks in it, each with those that follow it.
        vector: the environments.
        state: counters and randomness.
        settings: of the family; see `Settings`.
    """

    optimizers: list[Any]
    steps_per_batch: int
    networks: dict[str, list[Followed]]
    vector: Vector
    state: LearnerState
    settings: Any

    def forget_compiled(self) -> None:
        """Traces anew at the next batch."""

    def steps_for(self, env_steps: int) -> int:
        """Returns the optimizer steps that go with this many environment steps."""

    def whole_steps(self, steps: int) -> int:
        """Returns the optimizer steps that are made where this many are asked for."""

    def train_batch(
        self, steps: int, progress: float, following: tuple[int, float] | None = None
    ) -> dict[str, float]:
        """Collects and trains; returns logs."""

    def rehearse(self, record: Record, batches: int) -> None:
        """Hands the gradients of the loss on some batches to ``record``, and changes nothing.

        Before the first batch it does what `gather` does.
        """

    def gather(self) -> None:
        """Makes sure that there are observations: the warm-up of replay, or the first roll-out."""

    def visit(self, network: Any, count: int) -> None:
        """Calls a network on up to ``count`` recent observations, outside a graph."""

    def observations(self, count: int) -> Any:
        """Returns recent observations, nested."""

    def to_bytes(self) -> bytes:
        """Returns everything that is not a TensorFlow variable."""

    def from_bytes(self, data: bytes) -> None:
        """Puts back what `to_bytes` gave."""


class Checkpointed(tf.train.experimental.PythonState):
    """Makes a learner part of every checkpoint of the trainer."""

    def __init__(self, learner: Learner):
        super().__init__()
        self._learner = learner

    def serialize(self) -> bytes:
        """Returns the learner as bytes."""
        return self._learner.to_bytes()

    def deserialize(self, string_value: bytes) -> None:
        """Puts the learner back."""
        self._learner.from_bytes(string_value)
