"""Experience: what a criterion needs of a model beyond its weights, the loss and observations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.gradients import Record, instead_of_steps


@runtime_checkable
class Experience(Protocol):
    """A model that can run on what it has seen, such as an `AgentTrainer`."""

    def optimizers(self) -> Sequence[Any]:
        """Returns the instances whose ``apply_gradients`` training calls."""
        ...

    def record_gradients(self, record: Record, batches: int) -> None:
        """Hands the loss's gradients on some batches to ``record``; leaves the model as it is."""
        ...

    def has_data(self) -> bool:
        """Returns whether there are batches and observations."""
        ...

    def takes_observations(self, network: Any) -> bool:
        """Returns whether a network can be called on observations alone, and there are some."""
        ...

    def gather(self) -> None:
        """Makes sure that there are observations, before anything watches the networks."""
        ...

    def visit(self, network: Any, count: int) -> None:
        """Calls such a network on up to ``count`` observations, outside a graph."""
        ...


class Recorded:
    """A plain Keras model and the data that it is scored on.

    Args:
        model: compiled.
        data: (x, y) or (x, y, weights) arrays, or an iterable of such batches; None for none.
        batch_size: of batches that are cut from arrays.

    Raises:
        ValueError: the data can be gone through only once, is empty, or does not fit the model.
    """

    def __init__(self, model: tf.keras.Model, data: Any, batch_size: int = 256):
        if isinstance(data, Iterator):
            raise ValueError(
                "data is looked at again and again. Received: an iterator, which is used up the "
                "first time. Give arrays (x, y), a list of batches, or a tf.data.Dataset."
            )
        if isinstance(data, list) and data and all(hasattr(each, "shape") for each in data):
            data = tuple(data)  # [x, y], as Keras takes it too
        self._model, self._data, self._size = model, data, batch_size
        if data is not None:
            self._check()

    def optimizers(self) -> Sequence[Any]:
        """Returns the model's only one."""
        return [self._model.optimizer]

    def record_gradients(self, record: Record, batches: int) -> None:
        """Hands the compiled loss's gradients to ``record``, with layers as at inference."""
        model = self._model
        # These batches are none of the epoch's.
        metrics = [each for metric in model.metrics for each in metric.variables]
        before = [read(each) for each in metrics]
        with instead_of_steps(self.optimizers(), record):
            for x, y, weights in itertools.islice(self._batches(), batches):
                with tf.GradientTape() as tape:
                    loss = model.compute_loss(x, y, model(x, training=False), weights)
                variables = model.trainable_variables
                pairs = zip(tape.gradient(loss, variables), variables, strict=True)
                model.optimizer.apply_gradients(pairs)
        for variable, value in zip(metrics, before, strict=True):
            write(variable, value)

    def has_data(self) -> bool:
        """Returns whether there is any."""
        return self._data is not None

    def takes_observations(self, network: Any) -> bool:
        """Returns whether there is data."""
        return self.has_data()

    def gather(self) -> None:
        """Does nothing: the data is there."""

    def visit(self, network: Any, count: int) -> None:
        """Calls the network on the first ``count`` rows."""
        seen = 0
        for x, _, _ in self._batches():
            rows = len(tf.nest.flatten(x)[0])
            network(tf.nest.map_structure(lambda leaf, n=count - seen: leaf[:n], x), training=False)
            seen += rows
            if seen >= count:
                return

    def _check(self) -> None:
        """Raises ValueError unless the model can be called on the data's first row."""
        if isinstance(self._data, tuple):
            rows = {len(leaf) for leaf in tf.nest.flatten(self._data) if leaf is not None}
            if len(rows) > 1:
                raise ValueError(
                    "data has as many targets as inputs. Received arrays of "
                    f"{', '.join(map(str, sorted(rows)))} rows."
                )
        first = next(self._batches(), None)
        if first is None or not len(tf.nest.flatten(first[0])[0]):
            raise ValueError("data is empty. Give some of what the model trains on: data=(x, y).")
        try:
            self._model(tf.nest.map_structure(lambda leaf: leaf[:1], first[0]), training=False)
        except Exception as error:
            shapes = [tuple(leaf.shape) for leaf in tf.nest.flatten(first[0])]
            raise ValueError(
                "data=(x, y) holds what the model trains on. Received inputs of shape "
                f"{', '.join(map(str, shapes))}, which it cannot be called on."
            ) from error

    def _batches(self) -> Iterator[tuple[Any, ...]]:
        if not isinstance(self._data, tuple):
            for batch in self._data:
                yield _three(batch)
            return
        rows = len(tf.nest.flatten(self._data[0])[0])
        for start in range(0, rows, self._size):
            cut = slice(start, start + self._size)
            yield _three(tf.nest.map_structure(lambda leaf, c=cut: np.asarray(leaf)[c], self._data))


def _three(batch: Any) -> tuple[Any, ...]:
    """Returns x, y and weights as tensors, those that lack as None."""
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    x, y, weights = (*parts, None, None)[:3]
    return tuple(
        None if each is None else tf.nest.map_structure(tf.convert_to_tensor, each)
        for each in (x, y, weights)
    )


def visit_of(experience: Experience, network: Any, count: int) -> Callable[[], None]:
    """Returns what calls a network on ``count`` recorded observations, having made sure of some."""
    experience.gather()
    return lambda: experience.visit(network, count)


def check_takes_observations(experience: Experience, networks: Iterable[Any]) -> None:
    """Raises ValueError unless the networks can be called on observations alone."""
    for network in networks:
        if not experience.takes_observations(network):
            raise ValueError(
                f"{getattr(network, 'name', 'The network')} is not called on observations alone, "
                "so its activations are not known. Prune it by a criterion of weights or "
                "gradients, with group_score='mean'."
            )
