"""The Keras callback that prunes: in the fit loop around an agent, and in any ``model.fit``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Protocol, runtime_checkable

from tfdrlprune._tf import read, tf

from tfdrlprune.pruning import schedules
from tfdrlprune.pruning.kernels import Kernel, find_kernels, prunable
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.schedules import DEFAULT_FREQUENCY
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe, Selection
from tfdrlprune.recipe.checks import check_choice

_log = logging.getLogger("tfdrlprune")


# A network, and the networks that are copies or averages of it, such as its target.
Followed = tuple[tf.Module, Sequence[tf.Module]]


@runtime_checkable
class HasNetworks(Protocol):
    """A model that trains several networks, such as an `AgentTrainer`."""

    def prunable_networks(self) -> dict[str, Sequence[Followed]]:
        """Returns role -> the networks in it, each with those that follow it."""
        ...

    def optimizer_step(self) -> int:
        """Returns the number of optimizer steps so far."""
        ...


class PruningCallback(tf.keras.callbacks.Callback):
    """Prunes while the model trains; masks stay in force after ``fit``, until `strip`.

    Steps are optimizer steps. With PPO one update of ``E`` epochs and ``M`` minibatches is
    ``E * M`` of them. Where a batch fuses several steps, masks change between batches and hold
    within.

    Every batch adds ``sparsity`` and ``sparsity/<kernel>`` to the logs, from where TensorBoard,
    CSVLogger and the progress bar take them; put this callback before theirs.

    Args:
        schedule: one of ``tp.schedules``, of tfmot's such as ``tp.PolynomialDecay``, or a function
            step -> sparsity.
        granularity, criterion, group_score, distribution, threshold, spare: which weights go; see
            `Selection`. What is spared does not count into the sparsity.
        networks: roles to prune where the model has several: ``"actor"``, ``"critic"`` or both.
            Starving the critic hurts (Graesser et al. 2022), so the actor is the default.
        frequency: steps between mask updates, where ``schedule`` is a function.
        seed: of the random criterion.

    Raises:
        ValueError, TypeError: an argument is out of range or names nothing; before training.

    Example:
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(8, input_shape=(4,))])
        >>> model.compile("adam", "mse")
        >>> pruning = PruningCallback(lambda step: 0.5, frequency=1)
        >>> x = tf.ones((32, 4))
        >>> _ = model.fit(x, tf.ones((32, 8)), verbose=0, callbacks=[pruning])
        >>> int(tf.math.count_nonzero(model.layers[0].kernel))
        16
    """

    def __init__(  # noqa: PLR0913 (those of a Selection, spelled out)
        self,
        schedule: Any,
        *,
        granularity: str = "element",
        criterion: str = "magnitude",
        group_score: str = "mean",
        distribution: str | Mapping[str, float] = "erk",
        threshold: float | None = None,
        spare: str | Sequence[str] = (),
        networks: str | Sequence[str] = "actor",
        frequency: int = DEFAULT_FREQUENCY,
        seed: int = 0,
    ):
        super().__init__()
        self._schedule = Schedule(schedule, frequency)
        self._selection = Selection(
            granularity=granularity,
            criterion=criterion,
            group_score=group_score,
            distribution=distribution,
            threshold=threshold,
            spare=(spare,) if isinstance(spare, str) else tuple(spare),
        )
        self._networks = (networks,) if isinstance(networks, str) else tuple(networks)
        self._seed = seed
        self._batches = 0
        self._pruner: Pruner | None = None
        self._logged: dict[str, float] = {}

    @classmethod
    def from_recipe(cls, recipe: Recipe, steps: int, seed: int = 0) -> PruningCallback:
        """Returns the callback that prunes a run of ``steps`` optimizer steps by a recipe."""
        selection = {each.name: getattr(recipe, each.name) for each in fields(Selection)}
        return cls(schedules.from_recipe(recipe, steps), seed=seed, **selection)

    def set_model(self, model: tf.keras.Model) -> None:
        """Finds what to prune and puts the masks in force, before the training step is traced."""
        super().set_model(model)
        self._batches = 0
        self._pruner = None
        if isinstance(model, HasNetworks) or model.built:
            self._put_in_force()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Applies what is due at the step from which training starts or resumes."""
        self._update()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Updates the masks if a pruning step has passed, and logs the sparsity."""
        self._batches += 1
        if self._pruner is None:  # the first batch has built the model
            self._put_in_force()
            self.model.train_function = self.model.make_train_function(force=True)
        # Counting zeros takes as long as a small batch, so only where they may have changed; the
        # first batch may follow a restored checkpoint.
        if self._update() or batch == 0:
            self._logged = self.sparsity()
        if logs is not None:
            logs.update(self._logged)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the sparsity."""
        if logs is not None:
            logs.update(self.sparsity())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Masks once more, and says so if the run ended before the schedule."""
        if self._pruner is not None:
            # An optimizer with use_ema has just put its averages in the place of the weights.
            self._pruner.masks.assign(self._pruner.masks.numpy())
        step, end = self._step(), self._schedule.end_step
        if step < self._schedule.begin_step or (end is not None and step < end):
            _log.warning(
                "the schedule is not done: it runs from step %d to %s, and training ended at step "
                "%d with a sparsity of %.3f",
                *(self._schedule.begin_step, end, step),
                self.sparsity().get("sparsity", 0.0),
            )

    def sparsity(self) -> dict[str, float]:
        """Returns ``sparsity``, over all pruned kernels, and ``sparsity/<kernel>`` for each."""
        return {} if self._pruner is None else self._pruner.sparsity()

    def strip(self) -> None:
        """Takes the masks off; the zeros stay as long as nothing trains them."""
        if self._pruner is not None:
            self._pruner.masks.remove()
            self.model.train_function = None  # traced with the masks

    def _put_in_force(self) -> None:
        kernels: list[Kernel] = []
        followers: list[list[Any]] = []
        for number, (network, followed_by) in enumerate(self._chosen_networks()):
            others = [find_kernels(other) for other in followed_by]
            for index, kernel in enumerate(find_kernels(network)):
                if any(kernel.variable is known.variable for known in kernels):
                    continue  # of a torso that actor and critic share
                kernels.append(replace(kernel, network=number))
                followers.append([each[index].variable for each in others])
        chosen = prunable(_unique(kernels), self._selection)
        if not chosen:
            raise ValueError(
                "There is nothing to prune: the model has no Dense, convolution or recurrent kernel"
                f"{' that is not spared' if kernels else ''}."
            )
        follow = {k.name: f for k, f in zip(_unique(kernels), followers, strict=True)}
        self._pruner = Pruner(
            chosen,
            self._schedule,
            self._selection,
            [follow[kernel.name] for kernel in chosen],
            self._seed,
        )
        # Not as a tf.Module: Keras would count the masks among the model's weights.
        self.model.pruning_state = self._pruner.checkpointable
        if self._pruner.masks.new:
            # A step traced by an earlier fit does not know the constraints.
            self.model.train_function = None

    def _chosen_networks(self) -> list[Followed]:
        if not isinstance(self.model, HasNetworks):
            # A model is its only network.
            check_choice("networks", ", ".join(self._networks), ["actor"])
            return [(self.model, ())]
        available = self.model.prunable_networks()
        for role in self._networks:
            check_choice("networks", role, available)
        return [followed for role in self._networks for followed in available[role]]

    def _step(self) -> int:
        """Returns the number of optimizer steps so far, also after a resume."""
        if isinstance(self.model, HasNetworks):
            return self.model.optimizer_step()
        iterations = getattr(self.model.optimizer, "iterations", None)
        return self._batches if iterations is None else int(read(iterations))

    def _update(self) -> bool:
        return self._pruner is not None and self._pruner.update(self._step())


def _unique(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Numbers names that two networks share."""
    seen: dict[str, int] = {}
    unique: list[Kernel] = []
    for kernel in kernels:
        count = seen[kernel.name] = seen.get(kernel.name, 0) + 1
        suffix = "" if count == 1 else f"~{count}"
        unique.append(replace(kernel, name=kernel.name + suffix, layer=kernel.layer + suffix))
    return unique
