"""The rebuilder: walks a frozen graph from its outputs back, and makes Keras layers by rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfdrlprune.policies.cells import Cell
from tfdrlprune.policies.graph import Graph
from tfdrlprune.policies.unrolling import Unrolled
from tfdrlprune.specs import Array


class Rebuilder:
    """Makes Keras layers of the nodes between the observation and the outputs.

    Attributes:
        graph: the frozen graph.
        inputs: Keras inputs by placeholder name.
        last: the node whose layer is named ``outputs``.
        rules: from an operation's name to what makes a Keras tensor of its nodes.
        cells: recurrent ones; what makes their outputs is not followed further.
        recurrence: the states that go into and come out of them.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: dict[str, Any],
        last: Any,
        rules: Mapping[str, Rule],
        cells: Sequence[Cell] = (),
    ) -> None:
        self.graph, self.inputs, self.last, self.rules = graph, inputs, last, rules
        self.cells = {cell.results[0]: cell for cell in cells}
        self.recurrence = Unrolled([cell.layer for cell in cells])
        self._built: dict[str, Any] = {}
        self._names: dict[str, int] = {}

    def tensor(self, node: Any) -> Any:
        """Returns a node's value as a Keras tensor.

        Raises:
            ValueError: there is no rule for an operation on the way; names it.
        """
        node = self.graph.through(node)
        if node.name not in self._built:
            if node.name in self.cells:
                cell = self.cells[node.name]
                source = self.tensor(self.graph.unshaped(cell.source))
                self._built[node.name] = self.recurrence.step(cell.layer, source, self._unique)
            elif node.name in self.inputs:
                self._built[node.name] = self.inputs[node.name]
            elif node.op in self.rules:
                self._built[node.name] = self.rules[node.op](self, node)
            else:
                raise unknown(node)
        return self._built[node.name]

    def _unique(self, name: str) -> str:
        """Returns a name for one of several alike layers; the cells' come in their order."""
        self._names[name] = count = self._names.get(name, -1) + 1
        return f"{name}_{count}" if count else name

    def name(self, node: Any) -> str | None:
        """Returns the name for the layer that a node becomes, None for any."""
        return "outputs" if node.name == self.last.name else None

    def apply(self, layer: Any, node: Any, weights: list[Array] | None = None) -> Any:
        """Returns the layer's output on what a node gives, with these weights."""
        result = layer(self.tensor(node))
        if weights:
            layer.set_weights(weights)
        return result


def unknown(node: Any, why: str = "") -> ValueError:
    """Returns the error for a node that cannot be rebuilt."""
    return ValueError(
        f"The operation {node.op} ({node.name}) of the SavedModel cannot be rebuilt as a Keras "
        f"layer{why}. Build the policy from the agent (policies.from_agent), its checkpoint "
        "(policies.from_checkpoint) or a Keras file, or export it as it is: `tfdrlprune export` "
        "needs no layers."
    )


Rule = Callable[[Rebuilder, Any], Any]
