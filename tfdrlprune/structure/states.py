"""States: inputs of a recurrent model that are its own outputs of the step before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.specs import Array
from tfdrlprune.structure.calls import shape_of
from tfdrlprune.structure.identities import Identities


def states_of(model: Any, states: Mapping[str, str] | None) -> dict[str, str]:
    """Returns the states that were given, checked, or those that the names tell.

    Args:
        model: functional.
        states: for each input that is a state, the name of the output that is its next value; None
            for a policy's: inputs that have an output called ``next_`` and their name.

    Raises:
        ValueError: a state is no input or no output, or they have different shapes.
    """
    inputs, outputs = _inputs(model), _outputs(model)
    if states is None:
        states = {name: f"next_{name}" for name in inputs if f"next_{name}" in outputs}
    given = dict(states)
    for before, after in given.items():
        if before not in inputs or after not in outputs:
            raise ValueError(
                "states has the name of an input and of the output that is its next value. "
                f"Received: {before!r}: {after!r}. Inputs: {list(inputs)}. Outputs: "
                f"{list(outputs)}."
            )
        shapes = shape_of(inputs[before]), shape_of(outputs[after])
        if shapes[0] != shapes[1] or len(shapes[0]) != 1:
            raise ValueError(
                f"A state is one number for each unit, before and after. Received: {before} of "
                f"shape {shapes[0]} and {after} of shape {shapes[1]}."
            )
    return given


def tie_states(
    model: Any, states: Mapping[str, str], tensors: Mapping[int, Array], book: Identities
) -> None:
    """Makes the units of a state go together with those of its next value."""
    inputs, outputs = _inputs(model), _outputs(model)
    for before, after in states.items():
        book.tie(tensors[id(inputs[before])], tensors[id(outputs[after])])


def _inputs(model: Any) -> dict[str, Any]:
    return dict(zip(model.input_names, tf.nest.flatten(model.inputs), strict=True))


def _outputs(model: Any) -> dict[str, Any]:
    return dict(zip(model.output_names, tf.nest.flatten(model.outputs), strict=True))
