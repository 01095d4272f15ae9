"""Surroundings: the networks around the kernels that are pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfdrlprune._tf import tf

from tfdrlprune.pruning.experience import Experience
from tfdrlprune.pruning.kernels import Kernel


@dataclass(frozen=True)
class Surroundings:
    """What criteria and group scores need beyond the kernels that are pruned.

    Attributes:
        networks: that the kernels are of, by `Kernel.network`.
        kernels: all of these networks', also those that are not pruned.
        experience: the model's; None where only weights are known.
    """

    networks: Sequence[tf.Module] = ()
    kernels: Sequence[Kernel] = ()
    experience: Experience | None = None
