"""Moments: what optimizers remember of a variable, in every form that Keras and TF 1 have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moment:
    """What an optimizer remembers of a variable.

    Attributes:
        variable: shaped as what it belongs to.
        beginning: the number that it begins at.
    """

    variable: Any
    beginning: float


def moments_of(optimizer: Any, variable: Any) -> list[Moment]:
    """Returns what an optimizer keeps for a variable and shaped as it.

    Adam's moments, RMSprop's averages, SGD's momentum, and averages of weights.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    variable = getattr(variable, "_variable", variable)
    named = _slots(optimizer, variable) or _listed(optimizer, variable)
    return [
        Moment(each, _beginning(optimizer, name))
        for name, each in named.items()
        if each is not None and each.shape == variable.shape
    ]


def reset(optimizer: Any, variable: Any, where: NDArray[np.bool_]) -> None:
    """Puts what an optimizer remembers of some weights back to where it begins.

    Args:
        optimizer: any of Keras's, legacy or TF 1; one that does not know the variable is left.
        variable: the weights.
        where: bool, shaped as the variable.
    """
    for moment in moments_of(optimizer, variable):
        value = read(moment.variable)
        write(moment.variable, np.where(where, np.asarray(moment.beginning, value.dtype), value))


def variables_of(optimizer: Any) -> list[tf.Variable]:
    """Returns an optimizer's variables, which Keras has as a list and TF 1 as a method."""
    own = optimizer.variables
    return list(own() if callable(own) else own)


def build_optimizer(optimizer: Any, variables: Sequence[Any]) -> None:
    """Makes an optimizer's moments now, so that they can be restored or remembered."""
    if isinstance(optimizer, tf.keras.optimizers.legacy.Optimizer):
        # Private in Keras 2 (2.21). SacAgent makes legacy optimizers of those it is given.
        optimizer._create_all_weights(list(variables))
    elif isinstance(optimizer, tf.keras.optimizers.Optimizer):
        optimizer.build(list(variables))


def _slots(optimizer: Any, variable: Any) -> dict[str, Any]:
    """Returns the slots of a legacy or TF 1 optimizer."""
    if not hasattr(optimizer, "get_slot_names"):
        return {}
    try:
        return {name: optimizer.get_slot(variable, name) for name in optimizer.get_slot_names()}
    except KeyError:  # a legacy one that does not train this variable
        return {}


def _listed(optimizer: Any, variable: Any) -> dict[str, Any]:
    """Returns what a Keras optimizer lists; private in 2.21: one entry for each variable."""
    known = getattr(optimizer, "_index_dict", {})
    index = known.get(optimizer._var_key(variable)) if known else None
    if index is None:
        return {}
    return {
        name: each[index] for name, each in vars(optimizer).items() if _is_list(each, len(known))
    }


def _is_list(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(each, tf.Variable) for each in value)
    )


def _beginning(optimizer: Any, name: str) -> float:
    """Returns where a moment begins: at zero, but for those that are divided by from the start."""
    if "accumulator" in name:  # of Adagrad and FTRL
        first = getattr(optimizer, "_initial_accumulator_value", 0.0)
        return float(getattr(optimizer, "initial_accumulator_value", first))
    is_tf1 = isinstance(optimizer, tf.compat.v1.train.Optimizer)
    return 1.0 if is_tf1 and name == "rms" else 0.0
