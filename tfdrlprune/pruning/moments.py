"""Moments: what optimizers remember of a variable, in every form that Keras and TF 1 have."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np
from numpy.typing import NDArray


def moments_of(optimizer: Any, variable: Any) -> list[Any]:
    """Returns the variables that an optimizer keeps for a variable and shaped as it.

    Adam's moments, RMSprop's averages, SGD's momentum, and averages of weights.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    variable = getattr(variable, "_variable", variable)
    if hasattr(optimizer, "get_slot_names"):  # legacy and TF 1
        try:
            slots = [optimizer.get_slot(variable, name) for name in optimizer.get_slot_names()]
        except KeyError:  # a legacy one that does not train this variable
            return []
        return [slot for slot in slots if slot is not None and slot.shape == variable.shape]
    # Private in Keras 2 (2.21): the optimizer's lists have one entry for each variable.
    known = getattr(optimizer, "_index_dict", {})
    index = known.get(optimizer._var_key(variable)) if known else None
    if index is None:
        return []
    lists = [each for each in vars(optimizer).values() if _is_list_of(each, len(known))]
    return [each[index] for each in lists if each[index].shape == variable.shape]


def reset(optimizer: Any, variable: Any, where: NDArray[np.bool_]) -> None:
    """Puts what an optimizer remembers of some weights back to where it begins, which is zero.

    Adagrad begins at a number of its own, since it divides by the root.

    Args:
        optimizer: any of Keras's, legacy or TF 1; one that does not know the variable is left.
        variable: the weights.
        where: bool, shaped as the variable.
    """
    first = getattr(optimizer, "initial_accumulator_value", 0.0)
    for moment in moments_of(optimizer, variable):
        value = read(moment)
        write(moment, np.where(where, np.asarray(first, value.dtype), value))


def _is_list_of(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(each, tf.Variable) for each in value)
    )
