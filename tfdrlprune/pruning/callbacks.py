"""The Keras callback that prunes: in the fit loop around an agent, and in any ``model.fit``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

from tfdrlprune.pruning import schedules
from tfdrlprune.pruning.kernel_names import distribution_in, names_in, prunable
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masking import MaskingCallback, Networks
from tfdrlprune.pruning.models import Followed, Found, state_variables
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.return_gate import RAISE, ReturnGate
from tfdrlprune.pruning.schedules import DEFAULT_FREQUENCY, ReturnGated
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe, Selection
from tfdrlprune.recipe.checks import check_choice, check_seed

__all__ = ["Followed", "PruningCallback"]

_log = logging.getLogger("tfdrlprune")

# A step that no run reaches.
_NEVER = 2**62


class PruningCallback(MaskingCallback):
    """Prunes while the model trains; masks stay in force after ``fit``, until `strip`.

    Steps are optimizer steps. With PPO one update of ``E`` epochs and ``M`` minibatches is
    ``E * M`` of them. Where a batch fuses several steps, masks change between batches and hold
    within.

    Every batch adds ``sparsity`` and ``sparsity/<kernel>`` to the logs, and every epoch
    ``mask_change/<kernel>``, ``threshold/<kernel>`` and ``dead_units/<kernel>`` too (see
    `Telemetry`), from where TensorBoard, CSVLogger and the progress bar take them; put this
    callback before theirs.

    Args:
        schedule: one of ``tp.schedules``, of tfmot's such as ``tp.PolynomialDecay``, or a function
            step -> sparsity.
        granularity: what goes together; this and the next six are the fields of `Selection`.
        criterion: what is scored; the lowest scores go first.
        gradient_batches: that gradients and activations are averaged over.
        group_score: of a block, unit or layer.
        distribution: how kernels share the sparsity.
        threshold: only what scores below it goes.
        spare: names of kernels or layers that stay dense; they don't count into the sparsity.
        networks: roles to prune where the model has several: ``"actor"``, ``"critic"`` or both.
            Starving the critic hurts (Graesser et al. 2022), so the actor is the default.
            ``{"actor": None, "critic": 0.5}`` ends the critic at a sparsity of its own; other
            sparsities of the schedule are lower in proportion.
        frequency: steps between mask updates where ``schedule`` is a function, 100 if not given.
            Those of ``tp.schedules`` and of tfmot have their own.
        seed: of the random criterion.
        data: (x, y) arrays or batches, which gradients and activations are taken on where the model
            is a plain Keras one; an agent has its replay or roll-outs.
        mask_pictures: folder for TensorBoard's pictures of the masks, one for each kernel and
            epoch; None for none.

    Raises:
        ValueError, TypeError: an argument is out of range or names nothing; before training.

    Example:
        >>> import tensorflow as tf
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
        gradient_batches: int = 8,
        group_score: str = "mean",
        distribution: str | Mapping[str, float] = "erk",
        threshold: float | None = None,
        spare: str | Sequence[str] = (),
        networks: Networks = "actor",
        frequency: int | None = None,
        seed: int = 0,
        data: Any = None,
        mask_pictures: str | None = None,
    ):
        super().__init__(networks, data, mask_pictures)
        check_seed(seed)
        self._gated = schedule if isinstance(schedule, ReturnGated) else None
        self._source: Any = schedule
        if self._gated is not None:  # it asks, and the schedule only says where it ends
            self._source = schedules.one_shot(self._gated.final_sparsity, at=_NEVER)
        self._frequency = DEFAULT_FREQUENCY if frequency is None else frequency
        self._schedule = Schedule(self._source, self._frequency)
        if frequency is not None and self._schedule.has_own_frequency:
            raise ValueError(
                f"{type(schedule).__name__} has the times of its own updates. Received: "
                f"frequency={frequency!r} beside it. Leave it out, or give it to the schedule."
            )
        self._selection = Selection(
            granularity=granularity,
            criterion=criterion,
            gradient_batches=gradient_batches,
            group_score=group_score,
            distribution=distribution,
            threshold=threshold,
            spare=cast(Any, spare),  # it takes a name too, and says what it does not take
        )
        self._selection.check_gradients()
        self._seed = seed
        self._gate: ReturnGate | None = None

    @classmethod
    def from_recipe(cls, recipe: Recipe, steps: int, seed: int = 0) -> PruningCallback:
        """Returns the callback that prunes a run of ``steps`` optimizer steps by a recipe.

        Raises:
            ValueError: the recipe is one of sparse training.
        """
        check_choice("method", recipe.method, ["prune"])
        selection = {each.name: getattr(recipe, each.name) for each in fields(Selection)}
        schedule = schedules.from_recipe(recipe, steps)
        return cls(schedule, seed=seed, networks=recipe.networks, **selection)

    @property
    def needs_return(self) -> bool:
        """Whether an earlier callback has to put ``return`` into every epoch's log."""
        return self._gated is not None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Applies what is due at the step from which training starts or resumes.

        Raises:
            ValueError: an evaluation would put back a policy that a return gate has rejected.
        """
        if self._gated is not None and getattr(self.model, "keeps_best", False):
            raise ValueError(
                "A return-gated schedule puts the last good policy back itself. Write "
                "tp.EvaluationCallback() without keep_best=True."
            )
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lets a return-gated schedule see the return, and logs the masks."""
        if self._gate is not None and (logs is None or "return" not in logs):
            raise ValueError(
                "A return-gated schedule looks at 'return' in the log. Put "
                "tp.EvaluationCallback() before the PruningCallback."
            )
        # First, so that a row has the return and the sparsity that it was evaluated at.
        super().on_epoch_end(epoch, logs)
        if self._gate is not None and logs is not None:
            if self._gate.see(float(logs["return"]), self._step()) == RAISE:
                self._prune_to_gate()
            logs["return_reference"] = self._gate.state.reference

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Masks once more, and says so if the run ended before the schedule."""
        if self._gate is not None:
            self._end_gate(self._gate)
        super().on_train_end(logs)
        step, end = self._step(), self._schedule.end_step
        if self._gate is None and (
            step < self._schedule.begin_step or (end is not None and step < end)
        ):
            _log.warning(
                "the schedule is not done: it runs from step %d to %s, and training ended at step "
                "%d with a sparsity of %.3f",
                *(self._schedule.begin_step, end, step),
                self.sparsity().get("sparsity", 0.0),
            )

    def _engine(self, found: Found, everything: Sequence[Kernel], sparsity: float | None) -> Pruner:
        selection = self._selection_of(found.kernels, everything)
        chosen = prunable(found.kernels, selection)
        if not chosen:
            raise ValueError(
                "There is nothing to prune: the model has no Dense, convolution or recurrent kernel"
                f"{' that is not spared' if found.kernels else ''}."
            )
        schedule = Schedule(self._source, self._frequency, sparsity)
        followers = found.followers_of(chosen)
        return Pruner(chosen, schedule, selection, followers, self._seed, found.surroundings)

    def _selection_of(self, kernels: Sequence[Kernel], everything: Sequence[Kernel]) -> Selection:
        """Returns the selection with those of its names that stand for any of the kernels."""
        given = self._selection
        distribution = distribution_in(given.distribution, kernels, everything)
        spare = names_in(given.spare, kernels, everything, "to spare")
        return replace(given, distribution=distribution, spare=tuple(spare))

    def _put_in_force(self) -> None:
        super()._put_in_force()
        self._gate = None
        if self._gated is not None:
            masks = [each for engine in self._engines for each in engine.masks.variables]
            self._gate = ReturnGate(self._gated, [*state_variables(self.model), *masks])
            self.model.return_gate_state = self._gate.checkpointable

    def _attributes(self) -> list[str]:
        return [*super()._attributes(), *(["return_gate_state"] if self._gate else [])]

    def _prune_to_gate(self) -> None:
        assert self._gate is not None
        assert self._gated is not None
        share = self._gate.state.sparsity / self._gated.final_sparsity
        for engine in self._engines:
            assert isinstance(engine, Pruner)
            engine.prune(share * engine.final_sparsity)

    def _end_gate(self, gate: ReturnGate) -> None:
        taken_back = gate.finish()
        _log.info(
            "the return held at a sparsity of %.3f%s; the schedule goes to %.3f",
            gate.state.sparsity,
            ", and the last rise was taken back" if taken_back else "",
            gate.schedule.final_sparsity,
        )
