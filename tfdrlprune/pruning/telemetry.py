"""Telemetry: what is logged of masks at the end of an epoch, beside the sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.pruning.activity import Activity, observe
from tfdrlprune.pruning.experience import visit_of
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.specs import Array

# Few: an epoch of a small network takes a second.
_OBSERVATIONS = 256


class Telemetry:
    """Numbers and pictures of masks, an epoch's at a time.

    Args:
        pictures: folder that TensorBoard reads, where pictures of the masks are written; or None.
    """

    def __init__(self, pictures: str | None):
        self._folder = pictures
        self._writer: Any = None
        self._before: dict[str, Array] = {}

    def begin(self, masks: Mapping[str, Array]) -> None:
        """Takes the masks that the first epoch's are compared with.

        Raises:
            ValueError: the folder for pictures cannot be written.
        """
        if self._folder is not None and self._writer is None:
            try:
                tf.io.gfile.makedirs(self._folder)
                self._writer = tf.summary.create_file_writer(self._folder)
            except (OSError, TypeError, tf.errors.OpError) as error:
                raise ValueError(
                    "mask_pictures is a folder that can be written. Received: "
                    f"mask_pictures={self._folder!r}."
                ) from error
        for name, mask in masks.items():
            self._before.setdefault(name, mask)

    def logs(
        self,
        masks: Mapping[str, Array],
        thresholds: Mapping[str, float],
        kernels: Sequence[Kernel],
        surroundings: Surroundings,
        step: int,
    ) -> dict[str, float]:
        """Returns what an epoch's log gets for each kernel, and writes the pictures.

        Args:
            masks: by the kernel's name.
            thresholds: by the kernel's name, the lowest score that was kept.
            kernels: that are masked.
            surroundings: their networks.
            step: optimizer steps so far.

        Returns:
            ``mask_change/<kernel>``, the share of mask entries that differ from the last epoch's;
            ``threshold/<kernel>``, NaN before a fit's first update; ``dead_units/<kernel>``, the
            share of units whose output is 0 on all recorded observations or, where that is not
            seen, that have no weight left.
        """
        found = {f"threshold/{name}": value for name, value in thresholds.items()}
        for name, mask in masks.items():
            found[f"mask_change/{name}"] = float(np.mean(self._before[name] != mask))
        self._before.update(masks)
        found |= _dead_units(masks, kernels, surroundings)
        if self._folder is not None:
            self._write_pictures(masks, kernels, step)
        return found

    def _write_pictures(
        self, masks: Mapping[str, Array], kernels: Sequence[Kernel], step: int
    ) -> None:
        with self._writer.as_default(step=step):
            for kernel in kernels:
                picture = kernel.matrix(masks[kernel.name])[None, :, :, None]
                tf.summary.image(f"mask/{kernel.name}", picture)
        self._writer.flush()


def _dead_units(
    masks: Mapping[str, Array], kernels: Sequence[Kernel], surroundings: Surroundings
) -> dict[str, float]:
    found: dict[str, float] = {}
    experience = surroundings.experience
    for number, network in enumerate(surroundings.networks):
        own = [k for k in kernels if k.network == number and k.attribute == "kernel"]
        seen: list[Activity | None] = [None] * len(own)
        if experience is not None and experience.takes_observations(network):
            seen = observe(own, visit_of(experience, network, _OBSERVATIONS))
        for kernel, activity in zip(own, seen, strict=True):
            alone = _without_weights(kernel, surroundings.kernels, masks)
            dead = alone if activity is None else activity.active == 0.0
            found[f"dead_units/{kernel.name}"] = float(np.mean(dead))
    return found


def _without_weights(
    kernel: Kernel, kernels: Sequence[Kernel], masks: Mapping[str, Array]
) -> Array:
    """Returns bool [units]: no weight is left in any gate of any of the layer's kernels."""
    units = kernel.outputs // kernel.gates
    alive = np.zeros(units, bool)
    for each in kernels:
        if each.layer == kernel.layer and each.outputs == kernel.outputs:
            mask = masks.get(each.name, np.ones(each.shape))  # a spared one has all of its weights
            alive |= each.matrix(mask).reshape(-1, units).any(axis=0)
    return ~alive
