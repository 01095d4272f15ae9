"""A graph that samples its action, made to take the likeliest one: what GreedyPolicy would give.

Policies that collect experience, and SAC's own, draw from a distribution. Its mode is what they
give without noise: the mean of a normal, the likeliest value of a categorical, and the greedy side
of an epsilon-greedy choice. To know a further distribution, say in `_RULES` what stands in place
of its noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tfdrlprune._tf import tf

# How operations begin that give other numbers each time.
RANDOM = ("Multinomial", "Random", "StatelessMultinomial", "StatelessRandom")
# What a number drawn uniformly goes through on its way to a choice: comparisons with epsilon too.
_ON_THE_WAY = (
    *("Add", "AddV2", "Cast", "ExpandDims", "Identity", "LogicalNot", "Mul", "Reshape", "Sub"),
    *("Greater", "GreaterEqual", "Less", "LessEqual"),
)


def take_modes(definition: Any) -> tuple[str, ...]:
    """Returns what a graph definition sampled by, as TensorFlow calls it; changes it in place.

    Noise of another kind stays as it is.
    """
    found: set[str] = set()
    for nodes in _bodies(definition):
        for node in list(nodes):
            rule = _RULES.get(node.op)
            if rule is not None and (rule is not _exploit or _chooses(node, nodes)):
                found.add(node.op)
                rule(nodes, node, nodes is not definition.node)
    return tuple(sorted(found))


def _bodies(definition: Any) -> list[Any]:
    """Returns the nodes of a graph, and those of each function that they call."""
    functions = {each.signature.name: each.node_def for each in definition.library.function}
    bodies: list[Any] = [definition.node]
    seen: set[str] = set()
    for nodes in bodies:  # which grows
        for node in nodes:
            called = [f.name for a in node.attr.values() for f in (a.func, *a.list.func)]
            for name in {node.op, *called} & functions.keys() - seen:
                seen.add(name)
                bodies.append(functions[name])
    return bodies


def _without_noise(nodes: Any, node: Any, in_function: bool) -> None:
    _fill(nodes, node, 0.0, in_function)


def _exploit(nodes: Any, node: Any, in_function: bool) -> None:
    # The largest that can be drawn explores only if epsilon is above 1.
    _fill(nodes, node, 1.0, in_function)


def _fill(nodes: Any, node: Any, value: float, in_function: bool) -> None:
    """Makes a node of random numbers one of equal ones, in the shape that is its first input."""
    shape, dtype = node.input[0], node.attr["dtype"].type
    index = node.attr["T" if "T" in node.attr else "Tshape"].type
    filler = _constant(nodes, f"{node.name}/value", value, dtype, in_function)
    _become(node, "Fill", [shape, filler])
    node.attr["T"].type = dtype
    node.attr["index_type"].type = index


def _likeliest(nodes: Any, node: Any, in_function: bool) -> None:
    """Makes a draw from logits, [batch, 1], their arg-max."""
    logits, dtype = node.input[0], node.attr["T"].type
    index = node.attr["output_dtype"].type or tf.int64.as_datatype_enum
    axis = _constant(nodes, f"{node.name}/axis", -1, tf.int32.as_datatype_enum, in_function)
    best = nodes.add(name=f"{node.name}/mode", op="ArgMax", input=[logits, axis])
    best.attr["T"].type = dtype
    best.attr["Tidx"].type = tf.int32.as_datatype_enum
    best.attr["output_type"].type = index
    _become(node, "ExpandDims", [_output(best.name, in_function), axis])
    node.attr["T"].type = index
    node.attr["Tdim"].type = tf.int32.as_datatype_enum


def _become(node: Any, op: str, inputs: list[str]) -> None:
    name = node.name
    node.Clear()
    node.name, node.op = name, op
    node.input.extend(inputs)


def _constant(nodes: Any, name: str, value: float, dtype: int, in_function: bool) -> str:
    """Adds a constant of one number, and returns how it is called as an input."""
    node = nodes.add(name=name, op="Const")
    node.attr["dtype"].type = dtype
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.as_dtype(dtype)))
    return _output(name, in_function)


def _output(name: str, in_function: bool) -> str:
    return f"{name}:output:0" if in_function else name


def _chooses(node: Any, nodes: Iterable[Any]) -> bool:
    """Tells whether a number does nothing but choose between two integers, such as actions.

    What a dropout draws chooses, too, but between floats.
    """
    pending, found = [node.name], False
    while pending:
        name = pending.pop()
        for user in nodes:
            if not any(each.split(":")[0] == name for each in user.input):
                continue
            if user.op in ("Select", "SelectV2") and tf.as_dtype(user.attr["T"].type).is_integer:
                found = True
            elif user.op in _ON_THE_WAY:
                pending.append(user.name)
            else:
                return False
    return found


_RULES: dict[str, Callable[[Any, Any, bool], None]] = {
    "Multinomial": _likeliest,
    "StatelessMultinomial": _likeliest,
    "RandomStandardNormal": _without_noise,
    "StatelessRandomNormal": _without_noise,
    "StatelessRandomNormalV2": _without_noise,
    "RandomUniform": _exploit,
    "StatelessRandomUniform": _exploit,
    "StatelessRandomUniformV2": _exploit,
}
