"""A TF-Agents checkpoint as a `Policy`: the variables find their places by name and shape."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune.policies.conversion import from_agent, from_network, normalizers_of
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.tensor_specs import observation_nest
from tfdrlprune.policies.tf_policies import greedy_policy
from tfdrlprune.specs import ArraySpec, Nest

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_NORMALIZER = "_observation_normalizer"


def from_checkpoint(
    path: str | os.PathLike[str],
    network: Any,
    *,
    observation: Nest | None = None,
    action: ArraySpec | None = None,
) -> Policy:
    """Returns the greedy policy whose weights are in a checkpoint of a TF-Agents agent or network.

    Where the checkpoint keeps the agent, policy or network does not matter (``agent/_q_network``,
    ``policy/_wrapped_policy/...``): what has the network's own structure and shapes is found. An
    observation normaliser that was saved is part of the policy.

    Args:
        path: a checkpoint (such as ``run/ckpt-1000``), or a folder, of which the latest is taken.
        network: a TF-Agents network or agent of the build that was saved, or a function that makes
            one. Its weights are overwritten.
        observation: specs; None takes the network's own.
        action: the environment's own action spec; an agent knows it, a network does not.

    Raises:
        FileNotFoundError: there is no checkpoint at ``path``.
        ValueError: it is damaged, has variables missing or of other shapes (says which), or holds
            several networks that fit; also as `from_network`.

    Example:
        >>> import tempfile
        >>> import tfdrlprune as tp
        >>> agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = tf.train.Checkpoint(agent=agent).save(f"{folder}/ckpt")
        ...     policy = from_checkpoint(path, tp.agents.dqn("CartPole-v1", hidden=(8,), seed=1))
        >>> policy.model.count_params()
        58
    """
    made = network if isinstance(network, tf.Module) else network()
    content = _Content(_latest(Path(path)))
    if hasattr(made, "collect_data_spec"):
        acting = greedy_policy(made).wrapped_policy
        # Private names as in tf-agents 0.19.0; tests restore what is named here.
        names = ("_q_network", "_actor_network", _NORMALIZER)
        for part in (getattr(acting, name, None) for name in names):
            if part is not None:
                content.restore(part)
        return from_agent(made, action=action).replace(source=f"checkpoint {content.path}")
    if action is None:
        raise ValueError(
            "A network does not know the environment's action. Give action=ArraySpec(...), or an "
            "agent in place of the network."
        )
    made.create_variables()
    content.restore(made)
    normalizers = None
    if content.nodes_named(_NORMALIZER):
        from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts
        from tf_agents.utils import tensor_normalizer  # isort: skip

        normalizer = tensor_normalizer.StreamingTensorNormalizer(made.input_tensor_spec)
        content.restore(normalizer, _NORMALIZER)
        normalizers = normalizers_of(normalizer)
    nest = observation or observation_nest(made.input_tensor_spec)
    source = f"checkpoint {content.path}"
    return from_network(made, nest, action, normalizers=normalizers, source=source)


class _Content:
    """What a checkpoint holds: a graph of objects with children by name, and variables.

    Args:
        path: without the suffix of its files.
    """

    def __init__(self, path: str):
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        self.path = path
        try:
            self._reader = tf.train.load_checkpoint(path)
            self._shapes = self._reader.get_variable_to_shape_map()
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
                self._reader.get_tensor(_GRAPH)
            )
        except Exception as error:  # TensorFlow raises several kinds on a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise ValueError(
                f"The checkpoint {path} cannot be read: {reason.rstrip('.')}. Expected one that "
                "tf.train.Checkpoint or TF-Agents' Checkpointer wrote."
            ) from error
        self._nodes = graph.nodes
        self._paths = self._find_paths()

    def nodes_named(self, name: str) -> list[int]:
        """Returns the objects that are reached under a name."""
        return [
            node for node, path in self._paths.items() if path and path.rsplit("/", 1)[-1] == name
        ]

    def restore(self, target: Any, name: str | None = None) -> None:
        """Assigns a module's variables from the one object in the checkpoint that fits.

        Args:
            target: a `tf.Module` with variables.
            name: of the objects that may be meant; None for any.
        """
        wanted = _variables(target)
        fits: dict[frozenset[str], int] = {}
        nearest: tuple[int, list[str]] | None = None
        for node in self._paths if name is None else self.nodes_named(name):
            keys, missing = self._match(node, wanted)
            if not missing:
                fits.setdefault(frozenset(keys), node)
            elif keys and (nearest is None or len(missing) < len(nearest[1])):
                nearest = node, missing
        chosen = list(fits.values())
        if len(chosen) > 1:  # what follows the network at a distance has its structure, too
            chosen = [node for node in chosen if "target" not in self._paths[node]]
        if len(chosen) != 1:
            raise ValueError(self._complaint(target, chosen, nearest))
        keys, _ = self._match(chosen[0], wanted)
        for variable, key in zip(wanted.values(), keys, strict=True):
            variable.assign(self._reader.get_tensor(key))

    def _match(self, node: int, wanted: dict[tuple[str, ...], Any]) -> tuple[list[str], list[str]]:
        """Returns the keys of variables below a node, and what is missing or does not fit."""
        keys, missing = [], []
        for path, variable in wanted.items():
            key, shape = self._key(self._follow(node, path)), tuple(variable.shape)
            held = None if key is None else tuple(self._shapes.get(key, ()))
            if key is not None and held == shape:
                keys.append(key)
            else:
                there = "" if held is None else f", which is {held} there"
                missing.append(f"{'/'.join(path)} {shape}{there}")
        return keys, missing

    def _follow(self, node: int, path: tuple[str, ...]) -> int | None:
        current: int | None = node
        for name in path:
            current = None if current is None else self._below(current).get(name)
        return current

    def _below(self, node: int) -> dict[str, int]:
        return {child.local_name: child.node_id for child in self._nodes[node].children}

    def _key(self, node: int | None) -> str | None:
        if node is None:
            return None
        return next((each.checkpoint_key for each in self._nodes[node].attributes), None)

    def _find_paths(self) -> dict[int, str]:
        paths, pending = {0: ""}, [0]
        while pending:
            node = pending.pop(0)
            for name, child in self._below(node).items():
                if child not in paths:
                    paths[child] = f"{paths[node]}/{name}".lstrip("/")
                    pending.append(child)
        return paths

    def _complaint(
        self, target: Any, several: list[int], nearest: tuple[int, list[str]] | None
    ) -> str:
        what = type(target).__name__
        if several:
            places = ", ".join(sorted(self._paths[node] for node in several))
            return (
                f"The checkpoint {self.path} holds several objects that fit a {what}: {places}. "
                "Give the agent in place of the network."
            )
        if nearest is None:
            return (
                f"The checkpoint {self.path} holds nothing like a {what}. It has: "
                f"{', '.join(sorted(self._below(0)))}."
            )
        node, missing = nearest
        rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return (
            f"The checkpoint {self.path} has no {what} of this build. Nearest is "
            f"{self._paths[node] or 'its root'!r}, where these are missing: "
            f"{'; '.join(missing[:3])}{rest}. Make the network as it was made for training."
        )


def _variables(target: Any) -> dict[tuple[str, ...], Any]:
    """Returns a module's variables by the names that lead to them, each once."""
    view = tf.train.TrackableView(target)
    found: dict[tuple[str, ...], Any] = {}
    seen = {id(target)}
    pending: list[tuple[tuple[str, ...], Any]] = [((), target)]
    while pending:
        path, item = pending.pop(0)
        for name, child in view.children(item).items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            if isinstance(child, tf.Variable):
                found[(*path, name)] = child
            else:
                pending.append(((*path, name), child))
    return found


def _latest(path: Path) -> str:
    """Returns the checkpoint at a path, or the latest in a folder; without its files' suffix."""
    if path.is_dir():
        found = tf.train.latest_checkpoint(path)
    else:
        found = str(path.with_suffix("")) if path.suffix == ".index" else str(path)
        found = found if Path(f"{found}.index").is_file() else None
    if found is None:
        raise FileNotFoundError(
            f"There is no checkpoint at {path}: expected a folder with a file 'checkpoint', or "
            "files such as ckpt-1000.index and ckpt-1000.data-00000-of-00001."
        )
    return str(found)
