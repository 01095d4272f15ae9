"""Outgoing scores: those of the weights that read a unit, for the group score "in+out"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdrlprune.pruning.activity import readers
from tfdrlprune.pruning.experience import check_takes_observations, visit_of
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.specs import Array

# Rows of a visit; each shows where one unit's output goes.
_OBSERVATIONS = 64


class Outgoing:
    """The mean score of the weights that read each unit.

    Who reads whom is found at the first call, when there are observations to call the networks on.

    Args:
        kernels: whose units are scored.
        others: further kernels that may read them.
        surroundings: the networks and their experience.

    Raises:
        ValueError: there is no experience.
    """

    def __init__(
        self, kernels: Sequence[Kernel], others: Sequence[Kernel], surroundings: Surroundings
    ):
        if surroundings.experience is None or not surroundings.experience.has_data():
            raise ValueError(
                "group_score='in+out' needs data to see who reads a unit: give "
                "PruningCallback(..., data=(x, y)), or take group_score='mean'."
            )
        check_takes_observations(surroundings.experience, surroundings.networks)
        self._kernels, self._all = list(kernels), [*kernels, *others]
        self._networks, self._experience = surroundings.networks, surroundings.experience
        self._readers: list[list[tuple[int, Array]]] | None = None

    def __call__(self, scores: Sequence[Array]) -> list[Array]:
        """Returns [units] for each kernel, of the scores of kernels and others, in this order.

        Raises:
            ValueError: a kernel's units are read by no kernel directly; says which.
        """
        if self._readers is None:
            self._readers = self._find()
        return [
            self._mean(kernel, own, scores)
            for kernel, own in zip(self._kernels, self._readers, strict=False)
        ]

    def _mean(self, kernel: Kernel, own: list[tuple[int, Array]], scores: Sequence[Array]) -> Array:
        units = kernel.outputs // kernel.gates
        totals, counts = np.zeros(units), np.zeros(units)
        for other, channels in own:
            matrix = self._all[other].matrix(scores[other])
            read = channels >= 0
            totals += np.bincount(channels[read], matrix[read].sum(axis=1), units)
            counts += np.bincount(channels[read], minlength=units) * matrix.shape[1]
        if not counts.all():
            raise ValueError(
                f"No kernel reads the units of {kernel.name} directly, so group_score='in+out' "
                "does not apply to it. Spare it, or take group_score='mean'."
            )
        return totals / counts

    def _find(self) -> list[list[tuple[int, Array]]]:
        found: list[list[tuple[int, Array]]] = [[] for _ in self._all]
        for number, network in enumerate(self._networks):
            members = [i for i, k in enumerate(self._all) if k.network == number]
            visit = visit_of(self._experience, network, _OBSERVATIONS)
            pairs = readers([self._all[i] for i in members], visit)
            for index, own in zip(members, pairs, strict=True):
                found[index] = [(members[other], channels) for other, channels in own]
        return found
