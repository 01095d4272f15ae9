"""Which kind each step is to TF-Agents, for what is trained on whole episodes."""

from __future__ import annotations

from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
from tf_agents.trajectories import time_step as ts

from tfdrlprune.specs import Array

_FIRST, _MIDDLE, _LAST = (
    np.int32(kind) for kind in (ts.StepType.FIRST, ts.StepType.MID, ts.StepType.LAST)
)


def step_types(first: Array, done: Array, resets: Array) -> tuple[Array, Array]:
    """Returns what each step is, and what the next one is, int32, shaped as what is given.

    Gymnasium's step that merely resets an environment is TF-Agents' from the last step to a first.

    Args:
        first: bool: where an episode begins.
        done: bool: where one ends.
        resets: bool: where the step merely resets.
    """
    return (
        np.where(resets, _LAST, np.where(first, _FIRST, _MIDDLE)),
        np.where(resets, _FIRST, np.where(done, _LAST, _MIDDLE)),
    )
