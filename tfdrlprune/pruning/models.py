"""Models: what is found in a model that is to be pruned, an agent's trainer or plain Keras."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from tfdrlprune._tf import read, tf

from tfdrlprune.pruning.experience import Experience, Recorded
from tfdrlprune.pruning.kernels import Kernel, find_kernels, unprunable
from tfdrlprune.pruning.moments import build_optimizer, variables_of
from tfdrlprune.pruning.surroundings import Surroundings
from tfdrlprune.recipe.checks import check_choice

_log = logging.getLogger("tfdrlprune")

# A network, and the networks that are copies or averages of it, such as its target.
Followed = tuple[tf.Module, Sequence[tf.Module]]


@runtime_checkable
class HasNetworks(Protocol):
    """A model that trains several networks, such as an `AgentTrainer`."""

    def prunable_networks(self) -> Mapping[str, Sequence[Followed]]:
        """Returns role -> the networks in it, each with those that follow it."""
        ...

    def optimizer_step(self) -> int:
        """Returns the number of optimizer steps so far."""
        ...


@dataclass(frozen=True)
class Found:
    """Kernels of some roles.

    Attributes:
        kernels: each once, with names that are unique.
        followers: for each kernel those that are masked with it.
        surroundings: the networks that they are of.
    """

    kernels: list[Kernel]
    followers: list[list[Kernel]]
    surroundings: Surroundings

    def followers_of(self, chosen: Sequence[Kernel]) -> list[list[Kernel]]:
        """Returns the followers of some of the kernels."""
        by_name = {k.name: f for k, f in zip(self.kernels, self.followers, strict=True)}
        return [by_name[kernel.name] for kernel in chosen]


def find(model: tf.keras.Model, groups: Sequence[Sequence[str]], data: Any) -> list[Found]:
    """Returns what groups of roles hold, a kernel that several share with the first only.

    Args:
        model: an `AgentTrainer` or a Keras model, which is its only network, the "actor".
        groups: of roles.
        data: that a plain model's criteria are taken on, or None.

    Raises:
        ValueError: the model has no such role.
    """
    available = networks_of(model)
    experience = _experience(model, data)
    known: list[Kernel] = []
    result = []
    for roles in groups:
        for role in roles:
            check_choice("networks", role, available)
        networks = [each for role in roles for each in available[role]]
        found = _kernels_of(networks, known)
        if not isinstance(model, HasNetworks):
            found = _without_frozen(found, model)
        known += [kernel for kernel, _ in found]
        around = Surroundings([network for network, _ in networks], [], experience)
        result.append((found, around))
    names = iter(_unique(known))
    finished = []
    for found, around in result:
        kernels = [next(names) for _ in found]
        followers = [each for _, each in found]
        finished.append(Found(kernels, followers, replace(around, kernels=kernels)))
    return finished


def _experience(model: tf.keras.Model, data: Any) -> Experience | None:
    if isinstance(model, Experience):
        return model
    return None if isinstance(model, HasNetworks) else Recorded(model, data)


def networks_of(model: tf.keras.Model) -> Mapping[str, Sequence[Followed]]:
    """Returns role -> the networks in it; a plain model is its only one, the "actor"."""
    return model.prunable_networks() if isinstance(model, HasNetworks) else {"actor": [(model, ())]}


def step_of(model: tf.keras.Model, batches: int) -> int:
    """Returns the number of optimizer steps so far, also after a resume.

    Args:
        model: an `AgentTrainer` or a Keras model.
        batches: of this fit, which count for an optimizer that does not.
    """
    if isinstance(model, HasNetworks):
        return model.optimizer_step()
    iterations = getattr(model.optimizer, "iterations", None)
    return batches if iterations is None else int(read(iterations))


def optimizers_of(model: tf.keras.Model) -> Sequence[Any]:
    """Returns the optimizers of a model, an agent's or the only one."""
    return model.optimizers() if isinstance(model, Experience) else [model.optimizer]


def state_variables(model: tf.keras.Model) -> list[tf.Variable]:
    """Returns what training changes and a restored state needs: weights and optimizers' moments.

    Counters go on, so integers are left out.
    """
    if isinstance(model, HasState):
        variables = model.state_variables()
    else:
        build_optimizer(model.optimizer, model.trainable_variables)
        variables = [*model.variables, *variables_of(model.optimizer)]
    return [each for each in variables if each.dtype.is_floating]


@runtime_checkable
class HasState(Protocol):
    """A model that knows what a restored state needs."""

    def state_variables(self) -> Sequence[tf.Variable]:
        """Returns the variables that training changes."""
        ...


def warn_of_others(networks: Sequence[tf.Module]) -> None:
    """Logs the weight tensors of some networks that cannot be pruned, where there are any."""
    names = [n for network in networks for n in unprunable(network, find_kernels(network))]
    if names:
        _log.warning("not prunable, and left dense: %s", ", ".join(dict.fromkeys(names)))


def _without_frozen(
    found: Sequence[tuple[Kernel, list[Kernel]]], model: tf.keras.Model
) -> list[tuple[Kernel, list[Kernel]]]:
    """Returns the kernels that a plain model trains; logs the names of the others."""
    trained = {id(variable) for variable in model.trainable_weights}
    frozen = [kernel.name for kernel, _ in found if id(kernel.variable) not in trained]
    if frozen:
        _log.warning("frozen (trainable=False), and left as they are: %s", ", ".join(frozen))
    return [pair for pair in found if id(pair[0].variable) in trained]


def _kernels_of(
    networks: Sequence[Followed], known: Sequence[Kernel]
) -> list[tuple[Kernel, list[Kernel]]]:
    """Returns the kernels of some networks, each with its followers, but for those known."""
    found: list[tuple[Kernel, list[Kernel]]] = []
    seen = {id(kernel.variable) for kernel in known}
    for number, (network, followed_by) in enumerate(networks):
        others = [find_kernels(other) for other in followed_by]
        for index, kernel in enumerate(find_kernels(network)):
            if id(kernel.variable) in seen:
                continue  # of a torso that two networks share
            seen.add(id(kernel.variable))
            found.append((replace(kernel, network=number), [each[index] for each in others]))
    return found


def _unique(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Numbers names that two networks share."""
    seen: dict[str, int] = {}
    unique: list[Kernel] = []
    for kernel in kernels:
        count = seen[kernel.name] = seen.get(kernel.name, 0) + 1
        suffix = "" if count == 1 else f"~{count}"
        unique.append(replace(kernel, name=kernel.name + suffix, layer=kernel.layer + suffix))
    return unique
