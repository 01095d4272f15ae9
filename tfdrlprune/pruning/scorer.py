"""Scorers: criteria with what they need of the model, its loss and its observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning import criteria
from tfdrlprune.pruning.activity import measure
from tfdrlprune.pruning.experience import Experience, check_takes_observations, visit_of
from tfdrlprune.pruning.gradients import BesideSteps, GradientSums, Movement
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.recipe import Selection
from tfdrlprune.specs import Array

# Observations that activations are measured on.
_OBSERVATIONS = 1_000


class Scorer(Protocol):
    """Scores kernels' weights.

    Attributes:
        checkpointable: what it must remember, as a ``tf.train.Checkpoint``.
        traced: whether it is part of the training step, which must then be traced anew.
    """

    checkpointable: tf.train.Checkpoint
    traced: bool

    def begin(self) -> None:
        """Prepares, before the first step."""

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        """Returns scores, each shaped as its kernel, for the kernels' values."""

    def end(self) -> None:
        """Leaves the model as it was."""


def scorer(
    kernels: Sequence[Kernel],
    networks: Sequence[tf.Module],
    selection: Selection,
    seed: int,
    experience: Experience | None,
) -> Scorer:
    """Returns the scorer of a selection's criterion.

    Args:
        kernels: what is scored.
        networks: that the kernels are of, by `Kernel.network`.
        selection: names the criterion, and how many batches gradients are taken on.
        seed: of the random criterion.
        experience: the model's; None where only weights are known.

    Raises:
        ValueError: the criterion needs experience and there is none.
    """
    name = selection.criterion
    if name in ("magnitude", "random"):
        return _ByWeights(criteria.criterion(name, seed))
    if experience is None or not (experience.has_data() or name == "movement"):
        raise ValueError(
            f"criterion={name!r} needs data: give PruningCallback(..., data=(x, y)), or prune by "
            "criterion='magnitude'."
        )
    batches = selection.gradient_batches
    if name == "movement":
        return _ByMovement(kernels, experience)
    if name == "snip":
        return _AtTheBeginning(kernels, _ByGradients(kernels, experience, batches, "saliency"))
    if name in ("activation", "apoz"):
        return _ByActivity(kernels, networks, experience, name)
    return _ByGradients(kernels, experience, batches, name)


class _Stateless:
    """A scorer without a memory.

    Attributes:
        checkpointable: empty.
        traced: False.
    """

    def __init__(self) -> None:
        self.checkpointable = tf.train.Checkpoint()
        self.traced = False

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass


class _ByWeights(_Stateless):
    def __init__(self, criterion: criteria.Criterion):
        super().__init__()
        self._criterion = criterion

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        return self._criterion(values)


class _ByGradients(_Stateless):
    """|w * mean g| ("saliency"), or the mean of (w * g) ** 2 ("taylor").

    The latter is Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", eq. 8.
    """

    def __init__(self, kernels: Sequence[Kernel], experience: Experience, batches: int, name: str):
        super().__init__()
        self._sums = GradientSums(kernels)
        self._experience, self._batches, self._name = experience, batches, name

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        self._sums.reset()
        self._experience.record_gradients(self._sums.record, self._batches)
        gradients, squares = self._sums.means()
        return criteria.saliency(values, gradients) if self._name == "saliency" else squares


class _AtTheBeginning:
    """The scores that another scorer gives before the first step, for good."""

    def __init__(self, kernels: Sequence[Kernel], inner: Scorer):
        self._kernels, self._inner = list(kernels), inner
        self._scores = [tf.Variable(tf.zeros(k.shape), trainable=False) for k in self._kernels]
        self._known = tf.Variable(False, trainable=False)
        self.checkpointable = tf.train.Checkpoint(scores=self._scores, known=self._known)
        self.traced = False

    def begin(self) -> None:
        if not read(self._known):
            values = [read(kernel.variable) for kernel in self._kernels]
            for variable, scores in zip(self._scores, self._inner(values), strict=True):
                write(variable, np.asarray(scores, np.float32))
            write(self._known, np.bool_(True))

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        return [read(each) for each in self._scores]

    def end(self) -> None:
        pass


class _ByMovement:
    def __init__(self, kernels: Sequence[Kernel], experience: Experience):
        self._movement, self._experience = Movement(kernels), experience
        self.checkpointable = self._movement.checkpointable
        self.traced = True
        self._hook: BesideSteps | None = None

    def begin(self) -> None:
        self.end()  # of a fit that was interrupted
        self._hook = BesideSteps(self._experience.optimizers(), self._movement.record)

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        found = self._movement.numpy()
        # Before the first step nothing has moved, and the order of indices would decide.
        return found if any(each.any() for each in found) else [np.abs(each) for each in values]

    def end(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


class _ByActivity(_Stateless):
    """Mean |activation| ("activation"), or the share of activations that are not 0 ("apoz")."""

    def __init__(
        self,
        kernels: Sequence[Kernel],
        networks: Sequence[tf.Module],
        experience: Experience,
        name: str,
    ):
        super().__init__()
        check_takes_observations(experience, networks)
        self._kernels, self._networks = list(kernels), list(networks)
        self._experience, self._name = experience, name

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        scores: list[Array] = [np.zeros(0)] * len(self._kernels)
        for number, network in enumerate(self._networks):
            own = [(i, k) for i, k in enumerate(self._kernels) if k.network == number]
            visit = visit_of(self._experience, network, _OBSERVATIONS)
            found = measure([k for _, k in own], visit)
            for (index, kernel), each in zip(own, found, strict=True):
                units = each.mean if self._name == "activation" else each.active
                shape = (int(np.prod(kernel.shape)) // kernel.outputs, kernel.outputs)
                scores[index] = kernel.from_matrix(criteria.of_units(shape, units))
        return scores
