"""What all callbacks that mask weights share: finding kernels, masks in force, logs, the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Protocol

from tfdrlprune._tf import tf

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masks import Masks
from tfdrlprune.pruning.models import (
    Found,
    HasNetworks,
    find,
    optimizers_of,
    step_of,
    warn_of_others,
)
from tfdrlprune.pruning.telemetry import Telemetry
from tfdrlprune.recipe.forms import parse_networks
from tfdrlprune.specs import Array

_log = logging.getLogger("tfdrlprune")
Networks = str | Sequence[str] | Mapping[str, float | None]


class Engine(Protocol):
    """Changes the masks of some kernels as training goes on.

    Attributes:
        masks: in force from construction on.
        traced: whether the training step must be traced anew although masks were in force.
        checkpointable: all that it remembers, as a ``tf.train.Checkpoint``.
    """

    masks: Masks
    traced: bool
    checkpointable: tf.train.Checkpoint

    def begin(self) -> None:
        """Prepares, before the first step."""

    def update(self, step: int) -> bool:
        """Changes the masks if that is due at an optimizer step; returns whether it did."""

    def thresholds(self) -> dict[str, float]:
        """Returns kernel's name -> the lowest score that the last update kept."""

    def end(self) -> None:
        """Takes all but the masks out of the training step."""


class MaskingCallback(tf.keras.callbacks.Callback):
    """Masks weights while the model trains; subclasses say which, by `_engine`.

    Args:
        networks: roles; with numbers, sparsities of their own.
        data: for criteria, where the model is a plain one.
        pictures: folder for TensorBoard's pictures of masks, or None.
    """

    def __init__(self, networks: Networks, data: Any, pictures: str | None):
        super().__init__()
        self._roles = parse_networks(networks)
        self._data = data
        self._batches = 0
        self._engines: list[Engine] = []
        self._founds: list[Found] = []
        self._optimizers: list[Any] = []
        self._state = ""  # name of the model's attribute that holds it
        self._stripped: dict[str, float] = {}  # what the sparsity was when the masks were taken off
        self._logged: dict[str, float] = {}
        self._empty: set[str] = set()  # kernels that were told to have no weight left
        self._telemetry = Telemetry(pictures)

    def set_model(self, model: tf.keras.Model) -> None:
        """Finds what to prune and puts the masks in force, before the training step is traced.

        A further fit of the same model goes on with what the callback knows.
        """
        again = bool(self._engines) and self.model is model
        super().set_model(model)
        self._batches = 0
        pairs = zip_longest(self._optimizers, optimizers_of(model))
        if again and all(own is its for own, its in pairs):
            if any(engine.traced for engine in self._engines):
                model.train_function = None
            return
        self._engines = []
        if isinstance(model, HasNetworks) or model.built:
            self._put_in_force()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Applies what is due at the step from which training starts or resumes."""
        self._claim()
        for engine in self._engines:
            engine.begin()
        self._update()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the masks that the first epoch begins with, restored ones included."""
        for engine in self._engines:
            self._telemetry.begin(_by_name(engine.masks))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Updates the masks if a pruning step has passed, and logs the sparsity."""
        self._batches += 1
        if not self._engines:  # the first batch has built the model
            self._put_in_force()
            self._claim()
            for engine in self._engines:
                self._telemetry.begin(_by_name(engine.masks))
                engine.begin()
                # A restored state brings masks, and the first batch has trained without.
                engine.masks.assign(engine.masks.numpy())
            self.model.train_function = self.model.make_train_function(force=True)
        # Counting zeros takes as long as a small batch, so only where they may have changed; the
        # first batch may follow a restored checkpoint.
        if self._update() or batch == 0:
            self._logged = self.sparsity()
            self._warn_of_empty()
        if logs is not None:
            logs.update(self._logged)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the sparsity, and what only an epoch's log holds."""
        if logs is not None:
            logs.update(self.sparsity())
            for engine, found in zip(self._engines, self._founds, strict=True):
                logs.update(
                    self._telemetry.logs(
                        _by_name(engine.masks),
                        engine.thresholds(),
                        engine.masks.kernels,
                        found.surroundings,
                        self._step(),
                    )
                )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends the criteria, and masks once more what took the weights' place."""
        for engine in self._engines:
            engine.end()
            if engine.traced:
                self.model.train_function = None
            # An optimizer may have just put its averages in the place of the weights, or
            # EarlyStopping those of an epoch that was less sparse.
            engine.masks.assign(engine.masks.numpy())

    def sparsity(self) -> dict[str, float]:
        """Returns ``sparsity``, over all pruned kernels, and ``sparsity/<kernel>`` for each.

        Where roles have sparsities of their own, ``sparsity`` is the first role's, and there is
        ``sparsity/<role>`` for each.
        """
        found = dict(self._stripped)
        for role, engine in zip(self._roles, self._engines, strict=False):
            own = engine.masks.sparsity()
            if len(self._engines) > 1:
                found[f"sparsity/{role}"] = own["sparsity"]
            found = own | found
        return found

    def strip(self) -> None:
        """Takes the masks off; the zeros stay as long as nothing trains them."""
        for engine in self._engines:
            engine.end()
            engine.masks.remove()
            self.model.train_function = None  # traced with the masks
        for name in self._attributes() if self._engines else ():
            # Or a SavedModel would hold the masks. Keras forgets no attribute that is deleted.
            setattr(self.model, name, tf.train.Checkpoint())
        self._stripped, self._engines = self.sparsity(), []

    def _engine(self, found: Found, everything: Sequence[Kernel], sparsity: float | None) -> Engine:
        """Returns what masks some kernels.

        Args:
            found: the kernels of some roles.
            everything: those of all roles, which names are looked up among.
            sparsity: the role's own, or None.
        """
        raise NotImplementedError

    def _put_in_force(self) -> None:
        roles = list(self._roles)
        # Roles share their sparsity unless one has its own.
        shared = all(own is None for own in self._roles.values())
        groups = [roles] if shared else [[role] for role in roles]
        self._founds = find(self.model, groups, self._data)
        warn_of_others([n for found in self._founds for n in found.surroundings.networks])
        everything = [kernel for found in self._founds for kernel in found.kernels]
        self._engines = [
            self._engine(found, everything, self._roles[group[0]])
            for group, found in zip(groups, self._founds, strict=True)
        ]
        self._optimizers = list(optimizers_of(self.model))
        self._stripped = {}
        # Not as a tf.Module: Keras would count the masks among the model's weights.
        state = tf.train.Checkpoint(engines=[engine.checkpointable for engine in self._engines])
        self._state = self._state_name(roles, everything)
        setattr(self.model, self._state, state)
        if any(engine.masks.new or engine.traced for engine in self._engines):
            # A step traced by an earlier fit does not know the constraints.
            self.model.train_function = None

    def _attributes(self) -> list[str]:
        """Returns the names of the model's attributes that hold this callback's state."""
        return [self._state]

    def _state_name(self, roles: Sequence[str], everything: Sequence[Kernel]) -> str:
        """Returns what the state is saved under: another callback may prune other kernels."""
        masked = [kernel.name for engine in self._engines for kernel in engine.masks.kernels]
        spared = {kernel.name for kernel in everything} - set(masked)
        # Those of all kernels, which most are, go by their roles alone.
        names = [*roles, *(masked if spared else [])]
        return f"pruning_state_of_{'_'.join(names).replace('/', '_')}"

    def _warn_of_empty(self) -> None:
        """Logs once which kernels have no weight left."""
        empty = {name for name, share in self._logged.items() if share == 1.0 and "/" in name}
        if news := sorted(empty - self._empty):
            names = ", ".join(name.removeprefix("sparsity/") for name in news)
            _log.warning(
                "no weight is left in %s, so nothing gets through: ask for less, or spare it", names
            )
        self._empty |= empty

    def _claim(self) -> None:
        """Raises ValueError if another callback of this fit masks one of the kernels, too.

        The later one would win, and both would report its sparsity.
        """
        if self.params is None:  # driven by hand
            return
        # Keras gives all callbacks of one fit the same dictionary.
        claimed = self.params.setdefault("masked_kernels", {})
        for engine in self._engines:
            for kernel in engine.masks.kernels:
                if claimed.setdefault(id(kernel.variable), self) is not self:
                    raise ValueError(
                        f"One callback masks a kernel. Received: two for {kernel.name}. Give one "
                        "callback all of it: distribution={NAME: SPARSITY}, or networks={ROLE: "
                        "SPARSITY}, or spare what the other one prunes."
                    )

    def _step(self) -> int:
        return step_of(self.model, self._batches)

    def _update(self) -> bool:
        step = self._step() if self._engines else 0
        return any([engine.update(step) for engine in self._engines])


def _by_name(masks: Masks) -> dict[str, Array]:
    names = [kernel.name for kernel in masks.kernels]
    return dict(zip(names, masks.numpy(), strict=True))
